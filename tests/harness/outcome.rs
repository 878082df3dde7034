//! What a command did: its exit, what it wrote, and what the probe answered through it.

use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) command: String,
    /// The exit code; 128 + n where signal n ended the command itself.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    stdout_file: PathBuf,
}

impl Outcome {
    pub(crate) fn new(command: &Command, status: ExitStatus, out: PathBuf, err: &Path) -> Self {
        let signal = status.signal().map(|signal| 128 + signal);
        Self {
            command: format!("{command:?}"),
            code: status.code().or(signal).unwrap(),
            stdout: read(&out),
            stderr: read(err),
            stdout_file: out,
        }
    }

    /// What a container that outlives the command has written by now.
    pub(crate) fn stdout_now(&self) -> String {
        read(&self.stdout_file)
    }

    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.told());
        self
    }

    /// Fails the test unless the command failed and said `text`, quoted in a log line or not.
    #[track_caller]
    pub(crate) fn failed_with(self, text: &str) -> Self {
        assert_ne!(self.code, 0, "{}", self.told());
        let said = self.stderr.replace("\\\"", "\"");
        assert!(
            said.contains(text),
            "no {text:?} in the error: {}",
            self.told()
        );
        self
    }

    /// The lines of JSON among what was written, one for each command given to the probe.
    #[track_caller]
    pub(crate) fn answers(&self) -> Vec<Value> {
        let lines = self.stdout.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The only answer of the probe: its report, or `{"ok"}` or `{"errno"}` of one command.
    #[track_caller]
    pub(crate) fn answer(&self) -> Value {
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "not one answer: {}", self.told());
        answers.remove(0)
    }

    fn told(&self) -> String {
        let Self {
            command,
            code,
            stdout,
            stderr,
            ..
        } = self;
        format!("{command}\nexit {code}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}
