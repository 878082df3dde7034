//! Sessions of a shell that are held against both runtimes.
//!
//!     Docker: what this is about
//!
//!     == [guest] a program's exit code is the engine's
//!     $ run busybox sh -c 'echo out
//!     > exit 3'
//!     out
//!     [3]
//!
//! First the engine, then rows, each with what it shows. `$` is a command, `>` its next line, `[3]` an
//! exit code that is not 0, and everything else what is printed. The commands of a row share a shell, in
//! which $R is the runtime's name for the engine, $N a name for a container, which is removed
//! afterwards, and $D a folder. Errors are compared only between the runtimes. A row with `[full]` is
//! left out of short runs; in a guest of `scripts/vm` short runs leave out all rows but those with
//! `[guest]`, and runc.

use super::PATH;
use crate::harness::{is_full, program, scratch, slowness, tell};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

/// An engine that runs, as a shell sees it.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Commands before those of each row: functions, mostly.
    pub(crate) prelude: String,
    /// The value of $R for our runtime, and for runc.
    pub(crate) runtimes: [String; 2],
}

#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    shows: &'a str,
    is_full: bool,
    is_for_guests: bool,
    script: String,
    prints: String,
}

fn rows(transcript: &str) -> Vec<Row<'_>> {
    let texts = transcript.split("\n== ").skip(1);
    texts.map(row).collect()
}

fn row(text: &str) -> Row<'_> {
    let (mut shows, rest) = text.split_once('\n').unwrap();
    let mut tag = |tag| {
        let left = shows.strip_prefix(tag);
        shows = left.unwrap_or(shows);
        left.is_some()
    };
    let (is_full, is_for_guests) = (tag("[full] "), tag("[guest] "));
    let (mut commands, mut prints): (Vec<String>, _) = (Vec::new(), String::new());
    for line in rest.trim_end().lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
        } else if let Some(more) = line.strip_prefix("> ") {
            let command = commands.last_mut().unwrap();
            command.push('\n');
            command.push_str(more);
        } else {
            prints.push_str(line);
            prints.push('\n');
        }
    }
    let told = "code=$?; [ $code = 0 ] || echo \"[$code]\"\n";
    let script = commands
        .iter()
        .map(|command| format!("{{ {command}\n}}; {told}"))
        .collect();
    Row {
        shows,
        is_full,
        is_for_guests,
        script,
        prints,
    }
}

/// What a caller sees of a row.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    stdout: String,
    stderr: String,
}

/// Runs the rows with either runtime, prints a table of them, and fails where one is not as written.
#[track_caller]
pub(crate) fn prove(engine: fn() -> &'static Engine, transcript: &str) {
    let name = transcript.split(':').next().unwrap();
    let is_guest = Path::new("/run/vm").exists();
    let is_short = is_guest && !is_full();
    let mut faults = Vec::new();
    for row in rows(transcript) {
        let place = if is_guest { "guest" } else { "host" };
        let is_wanted = if is_short {
            row.is_for_guests
        } else {
            !row.is_full || is_full()
        };
        let start = Instant::now();
        let verdict = match (is_wanted, is_short) {
            (false, _) => Ok("left out: --full"),
            (true, false) => judge(engine(), &row),
            (true, true) => judge_alone(engine(), &row),
        };
        let word = *verdict.as_ref().unwrap_or(&"DIFFERS");
        tell(&format!(
            "engines: {name:16} | {:66} | {place} | {word} | {:.1} s",
            row.shows,
            start.elapsed().as_secs_f32()
        ));
        faults.extend(
            verdict
                .err()
                .map(|fault| format!("--- {name}: {}\n{fault}", row.shows)),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn judge(engine: &Engine, row: &Row) -> Result<&'static str, String> {
    let [ours, theirs] = thread::scope(|scope| {
        let [ours, theirs] = [0, 1].map(|which| scope.spawn(move || answer(engine, row, which)));
        [ours.join().unwrap(), theirs.join().unwrap()]
    });
    let mut fault = String::new();
    let sections = [
        ("wanted", &row.prints, &ours.stdout),
        ("bulkhead's", &ours.stdout, &row.prints),
        ("runc's", &theirs.stdout, &row.prints),
        ("bulkhead's errors", &ours.stderr, &theirs.stderr),
        ("runc's errors", &theirs.stderr, &ours.stderr),
    ];
    let is_as_written = sections.iter().all(|(_, is, other)| is == other);
    for (name, is, other) in sections {
        if is != other {
            fault.push_str(&format!("- {name}\n{is}\n"));
        }
    }
    if is_as_written {
        Ok("as runc")
    } else {
        Err(fault)
    }
}

/// Without runc.
fn judge_alone(engine: &Engine, row: &Row) -> Result<&'static str, String> {
    let Answer { stdout, stderr } = answer(engine, row, 0);
    let prints = &row.prints;
    if stdout == *prints {
        return Ok("as written");
    }
    Err(format!(
        "- wanted\n{prints}- bulkhead's\n{stdout}- and its errors\n{stderr}"
    ))
}

fn answer(engine: &Engine, row: &Row, which: usize) -> Answer {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("row{:03}", COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = scratch(&name);
    let patience = 60 * slowness();
    // Files: what outlives the shell and holds its outputs is not waited for.
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| folder.join(name));
    Command::new("timeout")
        .args(["--kill-after=5", &patience.to_string(), "bash", "-c"])
        .arg(format!("{PRELUDE}{}\n{}", engine.prelude, row.script))
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", &folder)
        .env("SHELL", "/bin/bash")
        .env("R", &engine.runtimes[which])
        .env("N", &name)
        .env("D", &folder)
        .env("PATIENCE", (patience / 4).to_string())
        .stdin(Stdio::null())
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .status()
        .unwrap();
    let plain = |file: &Path| {
        let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        let text = text.replace(&*folder.to_string_lossy(), "$D");
        // `script` shows the end of its own input.
        text.replace(&name, "$N")
            .replace("^@", "")
            .replace('\r', "")
    };
    Answer {
        stdout: plain(&stdout),
        stderr: same_words(&plain(&stderr)),
    }
}

const PRELUDE: &str = r#"
await() { local end=$((SECONDS + PATIENCE)); while ((SECONDS < end)); do eval "$1" 2>/dev/null && return; sleep 0.1; done; echo "never: $1"; }
"#;

/// Without the time of log lines, and with what newer versions of runc say as Debian's does.
fn same_words(text: &str) -> String {
    let unstamped = |line: &str| match line.strip_prefix("time=\"") {
        Some(rest) => rest
            .split_once("\" ")
            .map_or(rest, |(_, rest)| rest)
            .to_owned(),
        None => line.to_owned(),
    };
    let lines: Vec<_> = text.lines().map(unstamped).collect();
    lines
        .join("\n")
        .replace("error during container init: ", "")
}

/// The runtimes that are compared: a copy of the built program, and the one that came with the engines.
pub(crate) fn runtimes() -> [PathBuf; 2] {
    [program(), OsStr::new("/usr/sbin/runc")].map(PathBuf::from)
}

#[test]
fn rows_are_read_as_they_are_meant() {
    let text =
        "what is before\n\n== [full] one\n$ echo 'a\n> b'\na\nb\n$ false\n[1]\n\n== two\n$ :\n";
    let rows = rows(text);
    assert_eq!((rows[0].shows, rows[0].is_full), ("one", true));
    assert_eq!(rows[0].prints, "a\nb\n[1]\n");
    assert!(rows[0].script.contains("{ echo 'a\nb'\n}; code=$?"));
    assert_eq!((rows[1].shows, rows[1].prints.as_str()), ("two", ""));
}
