//! Doing something apart: in a short child, for what starts threads.
//!
//! A process that clones containers has one thread: in a copy of its memory, a lock that another
//! thread held would never be released. A library that starts threads is called in a child of its
//! own, which hands over one answer and ends.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::errno;
use super::signal::{self, Ended};
use super::{clone, identity, poll, reason};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{act}: {}", reason(*.errno))]
    Call { act: &'static str, errno: Errno },
    #[error("this process has {0} threads, and one only may do this apart")]
    Threads(usize),
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the child that was to do it ended without an answer{}", how(*.0))]
    Lost(Option<Ended>),
    /// What `act` itself said.
    #[error("{0}")]
    Said(String),
}

fn how(ended: Option<Ended>) -> String {
    match ended {
        Some(Ended::Code(code)) => format!(", with exit code {code}"),
        Some(Ended::Signal(signal)) => format!(", by signal {signal}"),
        None => String::new(),
    }
}

const OK: u8 = b'+';

fn call(act: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::Call { act, errno }
}

/// Runs `act` in a child and returns what it returns: its answer, or its error in words.
///
/// The caller is the only thread of its process ([`Error::Threads`]), so that `act` may do as it likes:
/// allocate, lock, start threads. The child has copies of all descriptors until it ends, the signal mask of
/// its parent, and ends with it; a SIGKILL also comes when `patience` is over.
pub fn apart(
    patience: Duration,
    act: impl FnOnce() -> Result<String, String>,
) -> Result<String, Error> {
    check_is_alone()?;
    let pipe = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC);
    let (ours, theirs) = pipe.map_err(call("make a pipe"))?;
    let parent = nix::unistd::getpid();
    // SAFETY: this is the only thread, as was just checked, and starts no other meanwhile. So the child's
    // copy of the memory is whole: no lock in it is held by a thread that it has not got.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(ours);
        answer(parent, theirs, act);
    }
    drop(theirs);
    let pid = Errno::result(pid).map_err(call("fork"))?;
    // Ours and not reaped: the number is still its own.
    let child = signal::open_process(Pid::from_raw(pid)).map_err(call("open the child"))?;
    let heard = listen(ours, patience);
    if heard.is_err() {
        let _ = signal::send(child.as_fd(), libc::SIGKILL);
    }
    // ECHILD where SIGCHLD is ignored: it is the answer that counts.
    let ended = signal::wait(child.as_fd(), true).unwrap_or(None);
    match heard?.split_first() {
        Some((&OK, text)) => Ok(String::from_utf8_lossy(text).into_owned()),
        Some((_, text)) => Err(Error::Said(String::from_utf8_lossy(text).into_owned())),
        None => Err(Error::Lost(ended)),
    }
}

/// proc(5): a directory for each thread.
fn check_is_alone() -> Result<(), Error> {
    let threads = fs::read_dir("/proc/self/task").map_err(|e| {
        let errno = errno(&e);
        call("count threads in /proc/self/task")(errno)
    })?;
    match threads.count() {
        1 => Ok(()),
        count => Err(Error::Threads(count)),
    }
}

/// Ends a child that unwinds, as it does in test builds: the rest of the stack is the parent's.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        clone::end(1)
    }
}

fn answer(parent: Pid, pipe: OwnedFd, act: impl FnOnce() -> Result<String, String>) -> ! {
    let _end = End;
    // A parent that ended before this call would not be missed by it.
    if identity::set_parent_death_signal(libc::SIGKILL).is_ok() && nix::unistd::getppid() == parent
    {
        let (mark, text) = match act() {
            Ok(text) => (OK, text),
            Err(text) => (b'-', text),
        };
        let mut message = vec![mark];
        message.extend(text.bytes());
        // A parent that is gone needs none.
        let _ = File::from(pipe).write_all(&message);
    }
    clone::end(0)
}

/// All that comes until the other end is closed.
fn listen(pipe: OwnedFd, patience: Duration) -> Result<Vec<u8>, Error> {
    let clock = poll::Clock::start(Some(patience));
    let mut pipe = File::from(pipe);
    let (mut heard, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let left = clock.left().ok_or(Error::TimedOut(patience))?;
        if poll::wait(&[pipe.as_fd()], left).map_err(call("wait for the child"))? == 0 {
            continue;
        }
        match pipe.read(&mut part) {
            Ok(0) => return Ok(heard),
            Ok(count) => heard.extend(&part[..count]),
            Err(e) => {
                let errno = errno(&e);
                return Err(call("hear from the child")(errno));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// The test programs' own threads are many: runs `test` in a child, which has one.
    #[track_caller]
    fn alone(test: fn()) {
        let parent = nix::unistd::getpid();
        // SAFETY: the allocator's locks are glibc's, which fork leaves usable in the child, and
        // `test` takes no other.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let _end = End;
            // A test that hangs ends with those that wait for it.
            if identity::set_parent_death_signal(libc::SIGKILL).is_ok()
                && nix::unistd::getppid() == parent
            {
                test();
                clone::end(0);
            }
            clone::end(1);
        }
        let child = signal::open_process(Pid::from_raw(pid)).unwrap();
        let ended = signal::wait(child.as_fd(), true).unwrap();
        assert!(matches!(ended, Some(Ended::Code(0))), "{ended:?}");
    }

    #[test]
    fn a_thread_among_others_is_refused() {
        let error = std::thread::spawn(|| apart(LONG, || Ok(String::new())).unwrap_err());
        let error = error.join().unwrap();
        assert!(matches!(error, Error::Threads(2..)), "{error}");
    }

    #[test]
    fn an_answer_and_an_error_come_as_they_were_given() {
        alone(|| {
            let own = std::process::id().to_string();
            let text = "x".repeat(100_000);
            assert_eq!(apart(LONG, || Ok(text.clone())).unwrap(), text);
            let other = apart(LONG, || Ok(std::process::id().to_string())).unwrap();
            assert_ne!(own, other);
            let error = apart(LONG, || Err("no".into())).unwrap_err();
            assert!(matches!(&error, Error::Said(why) if why == "no"), "{error}");
        });
    }

    #[test]
    fn a_thread_in_the_child_is_no_thread_of_ours() {
        alone(|| {
            let act = || {
                Ok(std::thread::spawn(|| "from a thread")
                    .join()
                    .unwrap()
                    .into())
            };
            assert_eq!(apart(LONG, act).unwrap(), "from a thread");
        });
    }

    #[test]
    fn a_child_that_hangs_is_ended() {
        alone(|| {
            let hang = || -> Result<String, String> {
                loop {
                    poll::pause(LONG);
                }
            };
            let error = apart(Duration::from_millis(50), hang).unwrap_err();
            assert!(matches!(error, Error::TimedOut(_)), "{error}");
        });
    }

    #[test]
    fn a_child_that_dies_is_told() {
        alone(|| {
            let error = apart(LONG, || clone::end(3)).unwrap_err();
            assert!(
                matches!(error, Error::Lost(Some(Ended::Code(3)))),
                "{error}"
            );
        });
    }
}
