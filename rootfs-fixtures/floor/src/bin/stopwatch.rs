//! `stopwatch MILLISECONDS COMMAND [ARGUMENT …] [; COMMAND …]`: runs the commands one after the
//! other and prints one line of JSON: what each took, and all together. The word `reap` in place of
//! a command waits for the orphans that the commands before it have left: a container that was
//! created and started.
//!
//! Small and static, since a program's peak memory counts from the one that started it
//! (getrusage(2): the peak is kept over execve), and since an interpreter between two commands
//! would be measured with them. As the subreaper it also gets the processor time of a container
//! whose runtime has ended before it.
//!
//! Every command gets at most MILLISECONDS, then it is killed and so are the commands after it
//! skipped; its exit code is 137 then, and this program's own is 1.

use std::ffi::{CStr, CString};
use std::fmt::Write;
use std::io::{Error, Result};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use floor::calls;

/// What one command took.
struct Lap {
    code: i32,
    wall: Duration,
    /// Microseconds.
    cpu: u64,
    /// KiB.
    memory: u64,
}

fn main() -> ExitCode {
    match measure() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("stopwatch: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure() -> Result<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let limit = args
        .next()
        .and_then(|n| n.to_str()?.parse().ok())
        .ok_or_else(|| Error::other("the first argument is a time-out in milliseconds"))?;
    let words = args
        .map(|a| CString::new(a.into_vec()))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let commands: Vec<Vec<&CStr>> = words
        .split(|w| w.as_bytes() == b";")
        .map(|c| c.iter().map(CString::as_c_str).collect())
        .collect();
    if commands.iter().any(Vec::is_empty) {
        return Err(Error::other("a command is empty"));
    }
    calls::set_subreaper()?;

    let begin = Instant::now();
    let mut laps = Vec::with_capacity(commands.len());
    for command in &commands {
        let lap = match command.as_slice() {
            [word] if *word == c"reap" => reap(limit)?,
            command => run(command, limit)?,
        };
        let good = lap.code == 0;
        laps.push(lap);
        if !good {
            break;
        }
    }
    let wall = begin.elapsed();

    // A run that left a process behind is a failure of the runtime that is measured.
    let orphan = calls::has_children()?;
    print(&laps, wall, orphan);
    let good = laps.iter().all(|lap| lap.code == 0) && !orphan;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run(command: &[&CStr], limit: u32) -> Result<Lap> {
    let begin = Instant::now();
    let pid = calls::spawn(command)?;
    let ended = wait_within(pid, limit, || calls::kill(pid))?;
    Ok(Lap {
        code: ended.code,
        wall: begin.elapsed(),
        cpu: ended.cpu,
        memory: ended.memory,
    })
}

/// Waits for all children there are, which here are orphans.
fn reap(limit: u32) -> Result<Lap> {
    let begin = Instant::now();
    let mut lap = Lap {
        code: 0,
        wall: Duration::ZERO,
        cpu: 0,
        memory: 0,
    };
    loop {
        // Whose pid is not known is not killed: the caller's jail ends it.
        let hung = || Err(Error::other("an orphan does not end"));
        match wait_within(-1, limit, hung) {
            Ok(ended) => {
                lap.code = lap.code.max(ended.code);
                lap.cpu += ended.cpu;
                lap.memory = lap.memory.max(ended.memory);
            }
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
            Err(error) => return Err(error),
        }
    }
    lap.wall = begin.elapsed();
    Ok(lap)
}

fn wait_within(
    pid: libc::pid_t,
    limit: u32,
    late: impl Fn() -> Result<()>,
) -> Result<calls::Ended> {
    calls::set_timer(limit)?;
    let ended = loop {
        match calls::wait(pid) {
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => late()?,
            result => break result,
        }
    };
    calls::set_timer(0)?;
    ended
}

#[allow(clippy::unwrap_used, reason = "writing into a String cannot fail")]
fn print(laps: &[Lap], wall: Duration, orphan: bool) {
    let mut out = format!(
        r#"{{"wall_us":{},"cpu_us":{},"memory_kib":{},"orphan":{orphan},"laps":["#,
        wall.as_micros(),
        laps.iter().map(|l| l.cpu).sum::<u64>(),
        laps.iter().map(|l| l.memory).max().unwrap_or(0),
    );
    for (at, lap) in laps.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(
            out,
            r#"{comma}{{"code":{},"wall_us":{},"cpu_us":{},"memory_kib":{}}}"#,
            lap.code,
            lap.wall.as_micros(),
            lap.cpu,
            lap.memory
        )
        .unwrap();
    }
    println!("{out}]}}");
}
