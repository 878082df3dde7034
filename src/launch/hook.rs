//! Runs a hook: a program that is told the container's state on its standard input.
//!
//! The same code serves the runtime and the child, so it allocates nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::child::clean_slate;
use super::fault::{Call, Stop};
use crate::plan::step::Hook;
use crate::sys::clone::{self, Clone, Forked};
use crate::sys::poll::{self, Clock};
use crate::sys::{channel, exec, identity, path, seccomp, signal};

/// Runs `hook` to its end. The beginning of what it says goes to `note`, for whoever tells of its fault; an
/// orphan of the hook that holds its pipes is not waited for.
pub fn run(
    hook: &Hook,
    state: BorrowedFd<'_>,
    note: &mut [u8],
    note_length: &mut usize,
) -> Result<(), Stop> {
    let (output, input) = channel::pipe()?;
    let what = Clone {
        namespaces: 0,
        group: None,
    };
    match clone::clone(&what)? {
        Forked::Child => become_hook(hook, state, &input),
        Forked::Parent { pidfd, .. } => {
            drop(input);
            *note_length = 0;
            let ended = attend(hook.timeout, &pidfd, &output, note, note_length);
            // Also when attending failed: the hook must not outlive its container's creation.
            if ended != Ok(true) {
                let _ = signal::send(pidfd.as_fd(), libc::SIGKILL);
            }
            let status = signal::wait(pidfd.as_fd(), true)?;
            if !ended? {
                return Err(Stop::at(Call::HookTimedOut, Errno::ETIMEDOUT));
            }
            verdict(status)
        }
    }
}

fn verdict(status: Option<signal::Ended>) -> Result<(), Stop> {
    // The number travels in the place of an errno.
    match status {
        Some(signal::Ended::Code(0)) | None => Ok(()),
        Some(signal::Ended::Code(code)) => Err(Stop::number(Call::HookEnded, code)),
        Some(signal::Ended::Signal(number)) => Err(Stop::number(Call::HookSignalled, number)),
    }
}

fn become_hook(hook: &Hook, state: BorrowedFd<'_>, input: &OwnedFd) -> ! {
    clean_slate();
    // A hook does not outlive who runs it.
    let _ = identity::set_parent_death_signal(libc::SIGKILL);
    // The state is read from its beginning by each hook in turn.
    let ready = path::rewind(state)
        .and_then(|()| exec::duplicate(state, 0))
        .and_then(|()| exec::duplicate(input.as_fd(), 1))
        .and_then(|()| exec::duplicate(input.as_fd(), 2))
        .and_then(|()| exec::close_all_but(3, &mut []));
    if let Some(dir) = &hook.dir {
        // A bundle may be gone when poststop hooks run; they run all the same.
        let _ = path::change_dir(dir);
    }
    let ready = ready.and_then(|()| match &hook.filter {
        Some(filter) => seccomp::load_filter(filter.instructions(), filter.flags()).map(drop),
        None => Ok(()),
    });
    let errno = match ready {
        Ok(()) => exec::execute(&hook.path, &hook.args, &hook.env),
        Err(errno) => errno,
    };
    let _ = path::write_once(path::standard(2), errno.desc().as_bytes());
    // As a shell says it: 127 not found, 126 not executable.
    clone::end(if errno == Errno::ENOENT { 127 } else { 126 })
}

/// Reads what the hook says until it has ended (`true`) or its time is over (`false`).
fn attend(
    timeout: Option<Duration>,
    hook: &OwnedFd,
    output: &OwnedFd,
    note: &mut [u8],
    length: &mut usize,
) -> Result<bool, Errno> {
    let clock = Clock::start(timeout);
    let mut open = true;
    loop {
        let Some(left) = clock.left() else {
            return Ok(false);
        };
        let streams = [hook.as_fd(), output.as_fd()];
        let ready = poll::wait(if open { &streams } else { &streams[..1] }, left)?;
        if ready & 0b10 != 0 {
            open = listen(output, note, length)?;
        }
        if ready & 0b01 != 0 {
            if ready & 0b10 == 0 {
                listen(output, note, length)?;
            }
            return Ok(true);
        }
    }
}

/// Keeps the beginning of what is said and reads the rest away; `false` at its end.
fn listen(output: &OwnedFd, note: &mut [u8], length: &mut usize) -> Result<bool, Errno> {
    let mut rest = [0; 512];
    let full = *length == note.len();
    let into = if full {
        &mut rest[..]
    } else {
        &mut note[*length..]
    };
    match path::read(output.as_fd(), into) {
        Ok(0) => Ok(false),
        Ok(count) => {
            *length += if full { 0 } else { count };
            Ok(true)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(true),
        Err(errno) => Err(errno),
    }
}
