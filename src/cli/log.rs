//! The `log` back end: the lines that engines around us read.
//!
//! Without `--log` lines go to the standard error as they come. With it they go to the file, and a
//! failing command leaves exactly one there, its error: podman takes the whole file for one JSON
//! object, containerd shows the last error. So what is below an error waits until the command has
//! succeeded or flushes, as one that stays with its container does when that has started; unless
//! `--debug` asked for everything.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::output::cause;
use crate::state::Time;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug)]
pub(super) struct Setting {
    /// `None`: the standard error.
    pub(super) file: Option<PathBuf>,
    pub(super) format: Format,
    pub(super) level: LevelFilter,
    /// `--debug`: everything, with the place in the source that says it.
    pub(super) debug: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("open {}: {}", path.display(), cause(error))]
pub(super) struct Error {
    path: PathBuf,
    error: io::Error,
}

/// Where lines go, once [`start`] has opened it.
struct Backend {
    file: Option<File>,
    format: Format,
    debug: bool,
    begun: Instant,
    held: Mutex<Held>,
}

/// Lines for the file that wait for the command's success.
#[derive(Default)]
struct Held {
    /// Who has said them.
    process: u32,
    lines: Vec<u8>,
}

static BACKEND: OnceLock<Backend> = OnceLock::new();

/// Opens the log. Before that, and when it fails, only [`fail`] says anything.
pub(super) fn start(setting: Setting) -> Result<(), Error> {
    let file = match setting.file {
        // O_SYNC: a line that was reported is there, whatever happens to us next (runc's mode).
        Some(path) => Some(
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o644)
                .custom_flags(libc::O_SYNC)
                .open(&path)
                .map_err(|error| Error { path, error })?,
        ),
        None => None,
    };
    let backend = BACKEND.get_or_init(|| Backend {
        file,
        format: setting.format,
        debug: setting.debug,
        begun: Instant::now(),
        held: Mutex::default(),
    });
    // Only a second start could fail here, and it would find this very backend in place.
    if log::set_logger(backend).is_ok() {
        log::set_max_level(setting.level);
    }
    Ok(())
}

/// The last line of a failing command: its error. With `--log` it stands bare on the standard
/// error, too.
pub(super) fn fail(text: &str) {
    let line = Line {
        level: Level::Error,
        text: text.into(),
        file: file!(),
        number: line!(),
        module: module_path!(),
    };
    match BACKEND.get() {
        Some(backend) => {
            if backend.file.is_some() {
                write_to_stderr(format!("{text}\n").as_bytes());
            }
            backend.write(backend.form(&line).as_bytes());
        }
        None => write_to_stderr(line.as_text(false).as_bytes()),
    }
}

/// Lets go of what waited for the command to succeed.
pub(super) fn succeed() {
    if let Some(backend) = BACKEND.get() {
        backend.flush();
    }
}

impl Log for Backend {
    /// Only what this program says: libraries of the network tell whole addresses, signatures included.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(env!("CARGO_PKG_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = self.form(&Line {
            level: record.level(),
            text: record.args().to_string(),
            file: record.file().unwrap_or("?"),
            number: record.line().unwrap_or(0),
            module: record.module_path().unwrap_or("?"),
        });
        if self.file.is_some() && !self.debug {
            self.held().lines.extend_from_slice(line.as_bytes());
        } else {
            self.write(line.as_bytes());
        }
    }

    fn flush(&self) {
        let lines = std::mem::take(&mut self.held().lines);
        if !lines.is_empty() {
            self.write(&lines);
        }
    }
}

impl Backend {
    /// What this process holds. A fork has a copy of its parent's lines, which are the parent's to
    /// write.
    fn held(&self) -> MutexGuard<'_, Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if held.process != process {
            *held = Held {
                process,
                lines: Vec::new(),
            };
        }
        held
    }

    fn form(&self, line: &Line<'_>) -> String {
        match self.format {
            Format::Json => line.as_json(self.debug),
            Format::Text if self.file.is_none() && io::stderr().is_terminal() => {
                line.on_terminal(self.begun)
            }
            Format::Text => line.as_text(self.debug),
        }
    }

    /// One call a line, so that lines of several writers do not mix.
    fn write(&self, line: &[u8]) {
        match &self.file {
            // A full disk must not end a container.
            Some(file) => drop((&*file).write_all(line)),
            None => write_to_stderr(line),
        }
    }
}

/// Callers close their end at will; then nobody is left to be told.
fn write_to_stderr(text: &[u8]) {
    let _ = io::stderr().write_all(text);
}

/// What is said, and where in the source: the place is shown with `--debug`.
struct Line<'a> {
    level: Level,
    text: String,
    file: &'a str,
    number: u32,
    module: &'a str,
}

impl Line<'_> {
    fn level(&self) -> &'static str {
        match self.level {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    fn place(&self) -> String {
        format!("{}:{}", self.file, self.number)
    }

    /// `{"level":…,"msg":…,"time":…}`, keys sorted, as decoders of runc's log expect it.
    fn as_json(&self, debug: bool) -> String {
        let mut keys = serde_json::Map::new();
        if debug {
            keys.insert("file".into(), self.place().into());
            keys.insert("func".into(), self.module.into());
        }
        keys.insert("level".into(), self.level().into());
        keys.insert("msg".into(), self.text.as_str().into());
        let time = Time::now().whole_second().to_string();
        keys.insert("time".into(), time.into());
        format!("{}\n", serde_json::Value::Object(keys))
    }

    /// `time="…" level=error msg="…"`
    fn as_text(&self, debug: bool) -> String {
        let (time, level) = (Time::now().whole_second(), self.level());
        let mut line = format!("time=\"{time}\" level={level} msg={}", quoted(&self.text));
        if debug {
            let (func, file) = (quoted(self.module), quoted(&self.place()));
            line += &format!(" func={func} file={file}");
        }
        line + "\n"
    }

    /// What a person sees: `ERRO[0000] …` in colour, with seconds since the start.
    fn on_terminal(&self, begun: Instant) -> String {
        let (word, colour) = match self.level {
            Level::Error => ("ERRO", 31),
            Level::Warn => ("WARN", 33),
            Level::Info => ("INFO", 36),
            Level::Debug => ("DEBU", 37),
            Level::Trace => ("TRAC", 37),
        };
        let seconds = begun.elapsed().as_secs();
        format!("\x1b[{colour}m{word}\x1b[0m[{seconds:04}] {}\n", self.text)
    }
}

/// A value of a text line: in quotes unless it is one plain word.
fn quoted(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/@^+".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.into();
    }
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text += "\\n",
            '\r' => text += "\\r",
            '\t' => text += "\\t",
            c if c.is_control() => text += &format!("\\x{:02x}", u32::from(c)),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_when_it_is_not_one_word() {
        for (value, shown) in [
            ("debug", "debug"),
            ("src/cli/log.rs", "src/cli/log.rs"),
            ("", r#""""#),
            ("two words", r#""two words""#),
            ("say \"a\"\\b\n\t\u{1}", r#""say \"a\"\\b\n\t\x01""#),
            ("é", r#""é""#),
        ] {
            assert_eq!(quoted(value), shown);
        }
    }
}
