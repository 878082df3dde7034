//! Help, and what is said of a command line that is wrong: the texts runc's callers know.

use std::fmt::Write;

use clap::Arg;

use super::program::Program;
use super::{COMMANDS, Command};

/// How many arguments a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Exactly(usize),
    /// From the first to the second, both included.
    Between(usize, usize),
    AtLeast(usize),
}

impl Count {
    /// The fault in `given` arguments of `command`, if there is one.
    pub(super) fn check(self, program: &Program, command: &str, given: usize) -> Option<String> {
        let bound = match self {
            Self::Exactly(n) if given != n => format!("exactly {n}"),
            Self::Between(least, _) | Self::AtLeast(least) if given < least => {
                format!("a minimum of {least}")
            }
            Self::Between(_, most) if given > most => format!("a maximum of {most}"),
            _ => return None,
        };
        let called = &program.called;
        Some(format!(
            "{called}: {command:?} requires {bound} argument(s)"
        ))
    }
}

/// What `bulkhead` alone and `bulkhead --help` print.
pub(super) fn program_help(program: &Program, globals: &[Arg]) -> String {
    let name = program.name;
    let mut text = format!(
        "NAME:\n   {name} - Open Container Initiative runtime\n\n\
         USAGE:\n   {name} [global options] COMMAND [options] [arguments]\n\n\
         {name} runs the bundle of a container, a directory with a config.json and a root\n\
         filesystem, under namespaces, cgroup limits and seccomp. \"{name} plan BUNDLE\"\n\
         shows what would be done.\n\n\
         COMMANDS:\n"
    );
    for command in COMMANDS {
        let _ = writeln!(text, "   {:10}{}", command.name, command.about);
    }
    let _ = writeln!(text, "   {:10}show the help of a command", "help");
    text + &options("GLOBAL OPTIONS", globals) + "   --version, -v, --help, -h\n"
}

/// What `bulkhead COMMAND --help` prints.
pub(super) fn command_help(program: &Program, command: &Command, own: &[Arg]) -> String {
    let name = program.name;
    let options_word = if own.is_empty() { "" } else { " [options]" };
    let text = format!(
        "NAME:\n   {name} {} - {}\n\nUSAGE:\n   {name} {}{options_word} {}\n\n{}\n",
        command.name, command.about, command.name, command.arguments, command.detail,
    );
    text + &options("OPTIONS", own)
}

/// What `bulkhead GROUP --help` prints.
pub(super) fn group_help(program: &Program, group: &Command, commands: &[Command]) -> String {
    let name = program.name;
    let mut text = format!(
        "NAME:\n   {name} {} - {}\n\nUSAGE:\n   {name} {} {}\n\n{}\n\nCOMMANDS:\n",
        group.name, group.about, group.name, group.arguments, group.detail,
    );
    for command in commands {
        let own = command.name.trim_start_matches(group.name).trim_start();
        let _ = writeln!(text, "   {own:10}{}", command.about);
    }
    text
}

/// A list of flags, the explanations in one column.
fn options(title: &str, flags: &[Arg]) -> String {
    let shown: Vec<(String, String)> = flags
        .iter()
        .filter(|flag| !flag.is_hide_set())
        .map(|flag| (spelling(flag), explanation(flag)))
        .collect();
    let Some(width) = shown.iter().map(|(s, _)| s.len()).max() else {
        return String::new();
    };
    let mut text = format!("\n{title}:\n");
    for (spelling, explanation) in shown {
        let _ = writeln!(text, "   {spelling:width$}  {explanation}");
    }
    text
}

/// `--bundle value, -b value`
fn spelling(flag: &Arg) -> String {
    let value = if flag.get_action().takes_values() {
        " value"
    } else {
        ""
    };
    let long = flag.get_long().map(|name| format!("--{name}{value}"));
    let short = flag.get_short().map(|letter| format!("-{letter}{value}"));
    long.into_iter().chain(short).collect::<Vec<_>>().join(", ")
}

fn explanation(flag: &Arg) -> String {
    flag.get_help().map(ToString::to_string).unwrap_or_default()
}

/// clap's word on a value, in runc's form. Names and counts were settled before clap saw anything.
pub(super) fn bad_value(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    // clap shows the flag as it prints it in help: `--name <name>`.
    let shown = text(ContextKind::InvalidArg);
    let name = shown.trim_start_matches('-');
    let name = name.split(' ').next().unwrap_or(name);
    let value = text(ContextKind::InvalidValue);
    let mut said = format!("invalid value {value:?} for flag -{name}: parse error");
    if let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue)
        && !valid.is_empty()
    {
        said += &format!(": it is one of {}", valid.join(", "));
    }
    said
}
