//! The built program, run where it needs neither root's rights nor a bundle.
#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A directory that goes away with the test; the state root is `root` in it, not made yet.
#[derive(Debug)]
pub(crate) struct Program {
    dir: TempDir,
    name: &'static str,
}

/// What one call left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self::called("bulkhead")
    }

    /// The program under another name, as by a link.
    pub(crate) fn called(name: &'static str) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            name,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program in its directory, without an environment; the state root is below
    /// `$XDG_RUNTIME_DIR` for a user and not touched by root, who names one where it matters.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bulkhead"));
        command
            .arg0(self.name)
            .current_dir(self.dir.path())
            .env_clear()
            .env("XDG_RUNTIME_DIR", self.dir.path());
        command
    }

    /// Runs it with `words`.
    pub(crate) fn run<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Outcome {
        outcome(self.command().args(words))
    }

    /// Runs it with the words of `line`, which are split at blanks.
    pub(crate) fn line(&self, line: &str) -> Outcome {
        self.run(line.split_ascii_whitespace())
    }
}

pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Outcome {
        code: output.status.code().expect("ended by itself"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The message of a text line of the log.
pub(crate) fn message(line: &str) -> &str {
    let (_, message) = line.split_once(" msg=").expect("a line of the log");
    message.trim_end()
}
