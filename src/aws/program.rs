//! A program that is asked for a secret: it has a minute, and says little.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Who asks holds a lock, and may be one of many.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// No secret is longer.
const LONGEST: u64 = 1024 * 1024;

#[derive(Debug)]
pub struct Answer {
    pub status: ExitStatus,
    pub output: Vec<u8>,
}

/// Runs it with `input`; its standard error goes where ours goes. One that takes longer than `patience`
/// is killed, and what it has started is waited for no more.
pub fn ask(command: &mut Command, input: &[u8], patience: Duration) -> io::Result<Answer> {
    let deadline = Instant::now() + patience;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A name fits into the pipe. One that wants no input has ended its reading; its answer counts.
        let _ = pipe.write_all(input);
    }
    let (told, answer) = mpsc::channel();
    if let Some(pipe) = child.stdout.take() {
        thread::spawn(move || {
            let mut output = Vec::new();
            let read = pipe.take(LONGEST + 1).read_to_end(&mut output);
            // Nobody listens any more where it took too long.
            let _ = told.send(read.map(|_| output));
        });
    }
    let left = || deadline.saturating_duration_since(Instant::now());
    let output = answer.recv_timeout(left()).map_err(|_| late(patience));
    let output = output.and_then(|read| read).and_then(|output| {
        let fits = output.len() as u64 <= LONGEST;
        fits.then_some(output)
            .ok_or_else(|| io::Error::other(format!("it printed more than {LONGEST} bytes")))
    });
    let ended = output.and_then(|output| {
        let status = wait(&mut child, deadline)?.ok_or_else(|| late(patience))?;
        Ok(Answer { status, output })
    });
    if ended.is_err() {
        // It may have ended by itself, and then there is nothing to kill.
        let _ = child.kill();
        child.wait()?;
    }
    ended
}

/// `None`: it still runs.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn late(patience: Duration) -> io::Error {
    io::Error::other(format!(
        "no answer in {} s; it was killed",
        patience.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, patience: Duration) -> io::Result<Answer> {
        ask(
            Command::new("/bin/sh").args(["-c", script]),
            b"name",
            patience,
        )
    }

    #[test]
    fn a_program_is_given_its_input_and_answers() {
        let answer = run("cat; exit 3", PATIENCE).unwrap();
        assert_eq!(answer.output, b"name");
        assert_eq!(answer.status.code(), Some(3));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        for script in ["exec sleep 50", "exec sleep 50 >&-"] {
            let start = Instant::now();
            let error = run(script, Duration::from_millis(300)).unwrap_err();
            assert!(error.to_string().contains("no answer in"), "{error}");
            assert!(start.elapsed() < Duration::from_secs(30));
        }
    }

    #[test]
    fn a_program_that_prints_for_ever_is_killed() {
        let error = run("exec cat /dev/zero", PATIENCE).unwrap_err();
        assert!(
            error.to_string().contains("it printed more than"),
            "{error}"
        );
    }
}
