//! The command line: one file per command.
//!
//! Words are sorted ([`arguments`]), then clap gets the flags of the one command that was chosen:
//! a tree of all of them would cost more than many a command does.

mod arguments;
mod check;
mod checkpoint;
mod context;
mod create;
mod creation;
mod criu;
mod delete;
mod duration;
mod events;
mod exec;
mod features;
mod globals;
mod image;
mod input;
mod kill;
mod list;
mod log;
mod output;
mod pause;
mod plan;
mod program;
mod ps;
mod restore;
mod resume;
mod run;
mod size;
mod spec;
mod start;
mod state;
mod stop;
mod supervisor;
mod table;
mod update;
mod usage;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgMatches};

use arguments::{Flags, Order, Stop, Words};
use globals::Globals;
use program::Program;
use usage::Count;

use crate::container::shield::shield;

/// What a command is: how it is called, and what it does.
struct Command {
    name: &'static str,
    /// For the list of commands: a phrase without a full stop.
    about: &'static str,
    /// The arguments as help shows them: `<container-id> [signal]`.
    arguments: &'static str,
    count: Count,
    order: Order,
    /// It puts a process into a container: that must not reach the program's own file.
    shielded: bool,
    detail: &'static str,
    flags: fn() -> Vec<Arg>,
    /// The exit code of the program; an error is 1.
    run: fn(&Call) -> Result<u8, anyhow::Error>,
}

/// In the order of the help.
static COMMANDS: &[Command] = &[
    create::COMMAND,
    start::COMMAND,
    run::COMMAND,
    exec::COMMAND,
    state::COMMAND,
    list::COMMAND,
    ps::COMMAND,
    kill::COMMAND,
    pause::COMMAND,
    resume::COMMAND,
    update::COMMAND,
    events::COMMAND,
    stop::COMMAND,
    wait::COMMAND,
    delete::COMMAND,
    checkpoint::COMMAND,
    restore::COMMAND,
    image::COMMAND,
    spec::COMMAND,
    plan::COMMAND,
    check::COMMAND,
    features::COMMAND,
];

/// One call of one command, its words checked for number and names.
struct Call {
    program: Program,
    globals: Globals,
    flags: ArgMatches,
    arguments: Vec<OsString>,
}

/// Why the program ends without having done what was asked.
enum Failure {
    /// The help goes to the standard output, the fault to both.
    Usage {
        headline: String,
        help: String,
        fault: String,
        code: u8,
    },
    UnknownCommand(String),
    Failed(anyhow::Error),
    /// The command of the user's could not be run: an exit code that it is not likely to have.
    NotRun(u8, anyhow::Error),
}

/// What the words ask for.
enum Wish {
    Print(String),
    Command {
        command: &'static Command,
        own: Vec<Arg>,
        flags: Flags,
        arguments: Vec<OsString>,
    },
}

/// The whole program: parses, runs, prints, and says with which code to exit.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().collect::<Vec<_>>().into_iter();
    let program = Program::called(words.next().as_deref());
    let (code, fault) = match run(program, words) {
        Ok(code) => {
            log::succeed();
            return ExitCode::from(code);
        }
        Err(Failure::Usage {
            headline,
            help,
            fault,
            code,
        }) => {
            // Whoever reads only the standard error is told all the same.
            let _ = output::print(&format!("{headline}\n\n{help}\n"));
            (code, fault)
        }
        Err(Failure::UnknownCommand(name)) => (3, format!("No help topic for '{name}'")),
        Err(Failure::Failed(error)) => (1, chain(&error)),
        Err(Failure::NotRun(code, error)) => (code, chain(&error)),
    };
    log::fail(&fault);
    ExitCode::from(code)
}

fn run(program: Program, mut words: Words) -> Result<u8, Failure> {
    let declared = globals::declared();
    let mut flags = Flags::default();
    let wish = read(&program, &mut words, &declared, &mut flags);
    if let Ok(Wish::Print(text)) = &wish {
        output::print(text).map_err(failed)?;
        return Ok(0);
    }

    // Before anything is opened: the program may be executed anew.
    let shield = match &wish {
        Ok(Wish::Command { command, .. }) if command.shielded => shield(),
        _ => Ok(()),
    };

    // The log next: what is wrong with the rest belongs into it.
    let help = || usage::program_help(&program, &globals::declared());
    let matches = parse(declared, flags).map_err(|fault| wrong_flag(fault, help()))?;
    let setting = globals::log_setting(&matches).map_err(failed)?;
    log::start(setting).map_err(failed)?;
    shield.map_err(failed)?;

    let (command, own, flags, arguments) = match wish? {
        Wish::Print(_) => return Ok(0),
        Wish::Command {
            command,
            own,
            flags,
            arguments,
        } => (command, own, flags, arguments),
    };
    let help = || usage::command_help(&program, command, &(command.flags)());
    let flags = parse(own, flags).map_err(|fault| wrong_use(command, fault, help()))?;
    if let Some(fault) = command.count.check(&program, command.name, arguments.len()) {
        return Err(Failure::Usage {
            headline: "Incorrect Usage.".into(),
            help: help(),
            fault,
            code: code_of_wrong_use(command),
        });
    }
    let call = Call {
        globals: globals::globals(&matches).map_err(failed)?,
        program,
        flags,
        arguments,
    };
    ::log::debug!(
        "{} {}: {} {:?} under {}",
        call.program.called,
        program::VERSION,
        command.name,
        call.arguments,
        call.globals.root.display()
    );
    (command.run)(&call).map_err(|error| match command.name {
        exec::NAME => Failure::NotRun(255, error),
        image::run::NAME => Failure::NotRun(image::run::failure(&error), error),
        _ => Failure::Failed(error),
    })
}

/// Finds out what is wished; `flags` has the program's own flags, as far as they were read.
fn read(
    program: &Program,
    words: &mut Words,
    declared: &[Arg],
    flags: &mut Flags,
) -> Result<Wish, Failure> {
    let program_help = || usage::program_help(program, declared);
    let name = match arguments::before_command(words, declared, flags) {
        Ok(Some(name)) => name.to_string_lossy().into_owned(),
        Ok(None) | Err(Stop::Help) => return Ok(Wish::Print(program_help())),
        Err(Stop::Version) => return Ok(Wish::Print(program.version())),
        Err(stop) => return Err(wrong_flag(stop.to_string(), program_help())),
    };
    if matches!(name.as_str(), "help" | "h") {
        let own = (&[][..], &mut Flags::default());
        let topics = match arguments::after_command(words, Order::Anywhere, own, (declared, flags))
        {
            Ok(topics) => topics,
            Err(Stop::Help) => return Ok(Wish::Print(program_help())),
            Err(stop) => return Err(wrong_flag(stop.to_string(), program_help())),
        };
        let topics: Vec<_> = topics.iter().map(|word| word.to_string_lossy()).collect();
        let topic = match &topics[..] {
            [] => return Ok(Wish::Print(program_help())),
            [group, command, ..] if group == image::NAME => format!("{group} {command}"),
            [topic, ..] => topic.to_string(),
        };
        return help_of(program, &topic).map(Wish::Print);
    }

    let command = match name.as_str() {
        image::NAME => match arguments::before_command(words, declared, flags) {
            Ok(Some(word)) if word != "help" => {
                find(&format!("{} {}", image::NAME, word.to_string_lossy()))?
            }
            Ok(_) | Err(Stop::Help) => return help_of(program, image::NAME).map(Wish::Print),
            Err(Stop::Version) => return Ok(Wish::Print(program.version())),
            Err(stop) => return Err(wrong_flag(stop.to_string(), help_of(program, image::NAME)?)),
        },
        name => find(name)?,
    };
    let own = (command.flags)();
    let mut own_flags = Flags::default();
    match arguments::after_command(
        words,
        command.order,
        (&own, &mut own_flags),
        (declared, flags),
    ) {
        Ok(arguments) => Ok(Wish::Command {
            command,
            own,
            flags: own_flags,
            arguments,
        }),
        Err(Stop::Help) => Ok(Wish::Print(usage::command_help(program, command, &own))),
        Err(stop) => {
            let help = usage::command_help(program, command, &own);
            Err(wrong_use(command, stop.to_string(), help))
        }
    }
}

/// A command by its name; one of a group has the group's before its own.
fn find(name: &str) -> Result<&'static Command, Failure> {
    let mut all = COMMANDS.iter().chain(image::COMMANDS);
    all.find(|command| command.name == name)
        .ok_or_else(|| Failure::UnknownCommand(name.into()))
}

fn help_of(program: &Program, name: &str) -> Result<String, Failure> {
    let command = find(name)?;
    Ok(match command.name {
        image::NAME => usage::group_help(program, command, image::COMMANDS),
        _ => usage::command_help(program, command, &(command.flags)()),
    })
}

/// Names and presence are settled: what clap can still find wrong is a value.
fn parse(declared: Vec<Arg>, flags: Flags) -> Result<ArgMatches, String> {
    clap::Command::new("")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .args(declared)
        .try_get_matches_from(flags.into_words())
        .map_err(|error| usage::bad_value(&error))
}

/// The error and its causes on one line. A type that shows its cause and has it as its source, too,
/// is not shown to say everything twice.
fn chain(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.ends_with(&cause) {
            line += ": ";
            line += &cause;
        }
    }
    line
}

fn wrong_flag(fault: String, help: String) -> Failure {
    Failure::Usage {
        headline: format!("Incorrect Usage: {fault}"),
        help,
        fault,
        code: 1,
    }
}

/// [`wrong_flag`] of a command.
fn wrong_use(command: &Command, fault: String, help: String) -> Failure {
    Failure::Usage {
        headline: format!("Incorrect Usage: {fault}"),
        help,
        fault,
        code: code_of_wrong_use(command),
    }
}

/// What runs a program of the user's ends by a code that says it was not the program.
fn code_of_wrong_use(command: &Command) -> u8 {
    match command.name {
        image::run::NAME => image::run::FAILED,
        _ => 1,
    }
}

fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::Failed(error.into())
}
