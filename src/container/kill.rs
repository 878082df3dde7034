//! `kill`: a signal for the container's first process.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::state::read_process;
use super::{Context, Error, call, successor};
use crate::cgroup::{Group, reopen};
use crate::spec::Id;
use crate::state::Record;
use crate::sys::signal::{self, LAST};

/// Sends `signal` to the first process; 0 only asks. SIGKILL goes to every process of the container,
/// frozen or not, also to those that a stopped or unfinished one has. A stopped container without
/// any is an error, unless `all` is set.
pub fn kill(cx: &Context, id: &Id, number: i32, all: bool) -> Result<(), Error> {
    let record = cx.store.load(id)?;
    if !(0..=LAST).contains(&number) {
        return Err(Error::Signal(Errno::EINVAL));
    }
    let process = process(&record)?;
    successor::appoint(cx, &record);
    let others = number == libc::SIGKILL && kill_group(&record)?;
    let Some(process) = process else {
        return if all || others {
            Ok(())
        } else {
            Err(Error::State("container not running"))
        };
    };
    match signal::send(process.as_fd(), number) {
        // It may have gone with its group just now.
        Err(Errno::ESRCH) if number == libc::SIGKILL => Ok(()),
        sent => sent.map_err(Error::Signal),
    }
}

/// The first process, held so that its number cannot come to mean another; `None` when it has ended.
pub(super) fn process(record: &Record) -> Result<Option<OwnedFd>, Error> {
    let Some(pid) = record.pid else {
        return Ok(None);
    };
    let process = match signal::open_process(Pid::from_raw(pid)) {
        Err(Errno::ESRCH) => return Ok(None),
        opened => opened.map_err(call("open the container's process"))?,
    };
    // Opened first, compared then: what is alive and of that start is what is held.
    let alive = record.is_alive().map_err(read_process)?;
    Ok(alive.then_some(process))
}

/// SIGKILL for every process of the container's group; whether there was any.
fn kill_group(record: &Record) -> Result<bool, Error> {
    let Some(group) = group(record)? else {
        return Ok(false);
    };
    let some = !group.pids()?.is_empty();
    group.kill()?;
    Ok(some)
}

/// SIGKILL for the group and the first process, whichever of them is left.
pub(super) fn kill_all(record: &Record) -> Result<(), Error> {
    kill_group(record)?;
    if let Some(process) = process(record)? {
        match signal::send(process.as_fd(), libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(Error::Signal(errno)),
        }
    }
    Ok(())
}

/// The container's group by its record; `None` where it has none.
pub(super) fn group(record: &Record) -> Result<Option<Box<dyn Group>>, Error> {
    if record.group_paths.is_empty() {
        return Ok(None);
    }
    Ok(Some(reopen(&record.group_paths, record.unit.as_ref())?))
}

/// The same for a command that can do nothing without one.
pub(super) fn group_for(command: &'static str, record: &Record) -> Result<Box<dyn Group>, Error> {
    group(record)?.ok_or_else(|| Error::NoGroup {
        id: record.id.clone(),
        command,
    })
}
