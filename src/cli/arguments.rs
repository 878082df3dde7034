//! The words of the command line, sorted before clap sees them.
//!
//! runc reads its arguments as Go's `flag` package does, and callers rely on it: one dash serves for
//! long names, `--flag=false` unsets, flags may stand behind arguments, and the program's own flags
//! behind the command. What leaves this module is `--name` and `--name=value` alone, with each name
//! declared and each value present.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::Arg;

/// Where a command's flags may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Between and behind the arguments, too.
    Anywhere,
    /// The first argument ends the flags: `kill ID -9`.
    First,
}

/// What stops the reading: the user's fault, or the wish for help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: {0}")]
    NoValue(String),
    #[error("invalid boolean value {value:?} for -{name}: parse error")]
    NotBoolean { name: String, value: String },
    #[error("help requested")]
    Help,
    #[error("version requested")]
    Version,
}

/// Flags in the form for clap; the last word on a flag that does not repeat wins.
#[derive(Debug, Default)]
pub(super) struct Flags(Vec<OsString>);

impl Flags {
    pub(super) fn into_words(self) -> Vec<OsString> {
        self.0
    }

    fn set(&mut self, name: &str) {
        self.unset(name);
        self.0.push(format!("--{name}").into());
    }

    fn unset(&mut self, name: &str) {
        self.0
            .retain(|word| word.as_bytes().strip_prefix(b"--") != Some(name.as_bytes()));
    }

    fn put(&mut self, name: &str, value: &OsStr) {
        let mut word = OsString::from(format!("--{name}="));
        word.push(value);
        self.0.push(word);
    }
}

/// The words still to be read.
pub(super) type Words = std::vec::IntoIter<OsString>;

/// Reads the program's own flags and the word that follows them, the command's name.
pub(super) fn before_command(
    words: &mut Words,
    declared: &[Arg],
    flags: &mut Flags,
) -> Result<Option<OsString>, Stop> {
    while let Some(word) = words.next() {
        match Shape::of(&word) {
            Shape::Plain => return Ok(Some(word)),
            Shape::End => return Ok(words.next()),
            Shape::Flag { name, value } => {
                if matches!(name, b"v" | b"version") {
                    return Err(Stop::Version);
                }
                let flag = find(declared, name).ok_or_else(|| missing(name))?;
                take(flag, name, value, words, flags)?;
            }
        }
    }
    Ok(None)
}

/// Reads all that follows the command: its flags, those of the program, and the arguments, which are
/// the result. A name that both declare is the command's here.
pub(super) fn after_command(
    words: &mut Words,
    order: Order,
    (own, own_flags): (&[Arg], &mut Flags),
    (declared, flags): (&[Arg], &mut Flags),
) -> Result<Vec<OsString>, Stop> {
    let mut arguments = Vec::new();
    while let Some(word) = words.next() {
        match Shape::of(&word) {
            Shape::End => {
                arguments.extend(words);
                break;
            }
            Shape::Plain => {
                arguments.push(word);
                if order == Order::First {
                    arguments.extend(words);
                    break;
                }
            }
            Shape::Flag { name, value } => {
                if let Some(flag) = find(own, name) {
                    take(flag, name, value, words, own_flags)?;
                } else if let Some(flag) = find(declared, name) {
                    take(flag, name, value, words, flags)?;
                } else {
                    return Err(missing(name));
                }
            }
        }
    }
    Ok(arguments)
}

/// What a word is by its first letters.
enum Shape<'a> {
    Plain,
    /// `--`: no flags after it.
    End,
    Flag {
        name: &'a [u8],
        value: Option<&'a [u8]>,
    },
}

impl<'a> Shape<'a> {
    fn of(word: &'a OsStr) -> Self {
        let bytes = word.as_bytes();
        let name = match bytes {
            b"--" => return Self::End,
            [b'-', b'-', name @ ..] | [b'-', name @ ..] if !name.is_empty() => name,
            _ => return Self::Plain,
        };
        match name.iter().position(|b| *b == b'=') {
            Some(at) => Self::Flag {
                name: &name[..at],
                value: Some(&name[at + 1..]),
            },
            None => Self::Flag { name, value: None },
        }
    }
}

fn find<'a>(declared: &'a [Arg], name: &[u8]) -> Option<&'a Arg> {
    let name = std::str::from_utf8(name).ok()?;
    let mut letters = name.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    declared.iter().find(|flag| {
        flag.get_long() == Some(name) || (letter.is_some() && flag.get_short() == letter)
    })
}

fn missing(name: &[u8]) -> Stop {
    match name {
        b"h" | b"help" => Stop::Help,
        _ => Stop::Unknown(String::from_utf8_lossy(name).into_owned()),
    }
}

/// Puts one flag with its value into `flags`. `spelled` is how the user wrote it.
fn take(
    flag: &Arg,
    spelled: &[u8],
    value: Option<&[u8]>,
    words: &mut Words,
    flags: &mut Flags,
) -> Result<(), Stop> {
    let spelled = || String::from_utf8_lossy(spelled).into_owned();
    let name = flag.get_long().unwrap_or_default();
    // A boolean of which also the absence tells something has a value for clap, and need not have one here.
    let count = flag.get_num_args();
    let is_tri_state =
        count.is_some_and(|count| count.min_values() == 0 && count.max_values() == 1);
    if flag.get_action().takes_values() && !is_tri_state {
        match value
            .map(|v| OsString::from_vec(v.into()))
            .or_else(|| words.next())
        {
            Some(value) => flags.put(name, &value),
            None => {
                let spelled = spelled();
                let dashes = if spelled.len() == 1 { "-" } else { "--" };
                return Err(Stop::NoValue(format!("{dashes}{spelled}")));
            }
        }
        return Ok(());
    }
    // The words of Go's strconv.ParseBool.
    let is_set = match value {
        None | Some(b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True") => true,
        Some(b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False") => false,
        Some(other) => {
            return Err(Stop::NotBoolean {
                name: spelled(),
                value: String::from_utf8_lossy(other).into_owned(),
            });
        }
    };
    match is_set {
        _ if is_tri_state => flags.put(name, OsStr::new(if is_set { "true" } else { "false" })),
        true => flags.set(name),
        false => flags.unset(name),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn declared() -> Vec<Arg> {
        vec![
            Arg::new("root").long("root"),
            Arg::new("debug").long("debug").action(ArgAction::SetTrue),
            Arg::new("rootless").long("rootless"),
        ]
    }

    fn own() -> Vec<Arg> {
        vec![
            Arg::new("bundle").long("bundle").short('b'),
            Arg::new("detach")
                .long("detach")
                .short('d')
                .action(ArgAction::SetTrue),
            Arg::new("env")
                .long("env")
                .short('e')
                .action(ArgAction::Append),
            Arg::new("rootless")
                .long("rootless")
                .action(ArgAction::SetTrue),
            Arg::new("privs").long("privs").num_args(0..=1),
        ]
    }

    /// The program's flags, the command's flags and the arguments, each joined by blanks.
    fn read(line: &str, order: Order) -> Result<[String; 3], Stop> {
        let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
        let mut words = words.into_iter();
        let (mut flags, mut own_flags) = (Flags::default(), Flags::default());
        let command = before_command(&mut words, &declared(), &mut flags)?;
        assert_eq!(command.as_deref(), Some(OsStr::new("run")), "{line}");
        let arguments = after_command(
            &mut words,
            order,
            (&own(), &mut own_flags),
            (&declared(), &mut flags),
        )?;
        Ok([flags.0, own_flags.0, arguments].map(|list| {
            let list: Vec<String> = list.iter().map(|w| w.display().to_string()).collect();
            list.join(" ")
        }))
    }

    #[test]
    fn every_spelling_comes_out_as_one() {
        for (line, program, command, arguments) in [
            ("run a", "", "", "a"),
            ("--root /r run a", "--root=/r", "", "a"),
            ("-root=/r run a", "--root=/r", "", "a"),
            ("run a --root /r", "--root=/r", "", "a"),
            ("run --bundle /b a", "", "--bundle=/b", "a"),
            ("run -b /b a", "", "--bundle=/b", "a"),
            ("run -b=/b a", "", "--bundle=/b", "a"),
            ("run --b /b a", "", "--bundle=/b", "a"),
            ("run -bundle /b a", "", "--bundle=/b", "a"),
            ("run a -b /b", "", "--bundle=/b", "a"),
            ("run -b -x a", "", "--bundle=-x", "a"),
            ("run -b= a", "", "--bundle=", "a"),
            ("run -b x=y a", "", "--bundle=x=y", "a"),
            ("run -detach a", "", "--detach", "a"),
            ("run -d=true a", "", "--detach", "a"),
            ("run --detach=false a", "", "", "a"),
            ("run -d -d=0 a", "", "", "a"),
            ("run -d=f -d a", "", "--detach", "a"),
            ("run -d -d a", "", "--detach", "a"),
            ("run -e A=1,2 --env=B a", "", "--env=A=1,2 --env=B", "a"),
            ("run a -- -d", "", "", "a -d"),
            ("run -- -d --root", "", "", "-d --root"),
            ("run - a", "", "", "- a"),
            ("-- run a", "", "", "a"),
            ("--debug run --debug=false a", "", "", "a"),
            ("--rootless true run a", "--rootless=true", "", "a"),
            ("run --rootless a", "", "--rootless", "a"),
            ("run --privs a", "", "--privs=true", "a"),
            ("run --privs=f a", "", "--privs=false", "a"),
        ] {
            let read = read(line, Order::Anywhere).unwrap();
            assert_eq!(read, [program, command, arguments], "{line}");
        }
    }

    #[test]
    fn the_first_argument_can_end_the_flags() {
        let read = |line| read(line, Order::First).unwrap();
        assert_eq!(read("run a -9"), ["", "", "a -9"]);
        assert_eq!(read("run -d a --root /r"), ["", "--detach", "a --root /r"]);
        assert_eq!(read("run -- a -9"), ["", "", "a -9"]);
    }

    #[test]
    fn faults_have_the_words_that_callers_match() {
        for (line, text) in [
            ("--bogus run a", "flag provided but not defined: -bogus"),
            ("run -bogus=1 a", "flag provided but not defined: -bogus"),
            ("run -db a", "flag provided but not defined: -db"),
            ("run a -9", "flag provided but not defined: -9"),
            ("run a --bundle", "flag needs an argument: --bundle"),
            ("run a -bundle", "flag needs an argument: --bundle"),
            ("run a -b", "flag needs an argument: -b"),
            (
                "run -d=maybe a",
                "invalid boolean value \"maybe\" for -d: parse error",
            ),
        ] {
            let stop = read(line, Order::Anywhere).unwrap_err();
            assert_eq!(stop.to_string(), text, "{line}");
        }
        for line in ["-h", "--help", "run -h", "run a --help", "run -d --h b"] {
            assert_eq!(
                read(line, Order::Anywhere).unwrap_err(),
                Stop::Help,
                "{line}"
            );
        }
        for line in ["-v", "--version run a", "-version"] {
            assert_eq!(
                read(line, Order::Anywhere).unwrap_err(),
                Stop::Version,
                "{line}"
            );
        }
    }

    #[test]
    fn a_value_need_not_be_utf_8() {
        let words = vec!["-b".into(), OsString::from_vec(vec![0xff])];
        let mut own_flags = Flags::default();
        after_command(
            &mut words.into_iter(),
            Order::Anywhere,
            (&own(), &mut own_flags),
            (&[], &mut Flags::default()),
        )
        .unwrap();
        assert_eq!(own_flags.0[0].as_bytes(), b"--bundle=\xff");
    }
}
