//! The parent of a detached container: waits, and writes down how it ended.
//!
//! It is a fork of `run -d`, holds nothing of its caller's but the container, and takes no part in
//! the container's life: killed, it is replaced by the next command that meets the container (see
//! `successor`), and missed only by the exit code.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::parent_id;
use std::time::Duration;

use nix::errno::Errno;

use super::creation::{Creation, Made};
use super::draft::Draft;
use super::state::read_process;
use super::{
    Context, CreateOptions, Error, RunOptions, call, delete, kill, oom, run as foreground, start,
    wait,
};
use crate::plan::Ending;
use crate::spec::Id;
use crate::state::{self as records, Exit, Identity, Phase, Record, Slot, Time};
use crate::sys::clone::{self, Clone, Forked};
use crate::sys::signal::{self, Ended};
use crate::sys::{channel, errno, identity, linux_version, path, poll};

/// How long the exit of a container that is to be deleted can be read, where it is read only there; `wait`
/// looks far more often.
const READING: Duration = Duration::from_millis(200);

/// What the monitor says when the program runs; anything else is its error, in words.
const STARTED: &[u8] = b"\0";

/// Makes and starts the container in a process that stays; returns when the program runs.
pub(super) fn run(
    cx: &Context,
    id: &Id,
    options: &CreateOptions,
    how: &RunOptions,
) -> Result<(), Error> {
    let mut draft = Draft::new(cx, id, options, false, Ending::OnItsOwn)?;
    draft.is_transient = how.remove;
    draft.is_silent = how.is_silent;
    let (ours, theirs) = channel::pair().map_err(call("make the channel to the monitor"))?;
    let what = Clone {
        namespaces: 0,
        group: None,
    };
    let caller = std::process::id();
    match clone::clone(&what).map_err(call("fork the monitor"))? {
        Forked::Child => {
            drop(ours);
            // Until it runs, the container goes with its caller; one that has gone already sends no
            // signal.
            let bound = identity::set_parent_death_signal(libc::SIGKILL);
            if bound.is_ok() && parent_id() == caller {
                watch(cx, id, draft, theirs);
            }
            clone::end(0)
        }
        Forked::Parent { pidfd, .. } => {
            drop(theirs);
            hear(id, ours).inspect_err(|_| {
                // It has told its fault and ends: nothing of it is left when we do.
                let _ = signal::wait(pidfd.as_fd(), true);
            })
        }
    }
}

/// What became of it.
fn hear(id: &Id, channel: OwnedFd) -> Result<(), Error> {
    let mut words = Vec::new();
    let lost = |_| Error::MonitorLost(id.clone());
    std::fs::File::from(channel)
        .read_to_end(&mut words)
        .map_err(lost)?;
    match words.as_slice() {
        STARTED => Ok(()),
        [] => Err(Error::MonitorLost(id.clone())),
        words => Err(Error::Monitor(String::from_utf8_lossy(words).into_owned())),
    }
}

/// The life of the monitor.
fn watch(cx: &Context, id: &Id, draft: Draft, channel: OwnedFd) {
    let mut channel = std::fs::File::from(channel);
    let (record, process) = match begin(cx, id, draft) {
        Ok(begun) => begun,
        Err(e) => {
            // A caller that is gone cannot be told.
            let _ = channel.write_all(e.to_string().as_bytes());
            return;
        }
    };
    // Warnings are in the log when the caller hears that the program runs.
    log::logger().flush();
    let _ = channel.write_all(STARTED);
    drop(channel);
    let seen = oom::wait_for_end(&record, process.as_fd());
    let Ok(Some(ended)) = signal::wait(process.as_fd(), true) else {
        return;
    };
    if let Err(e) = seen.and_then(|oom| see_off(cx, &record, ended, oom)) {
        log::warn!("container {id}: {e}; how it ended is not recorded");
    }
    // This process does not end by way of `main`.
    log::logger().flush();
}

/// Leaves the caller's session and descriptors, and makes the container.
fn begin(cx: &Context, id: &Id, mut draft: Draft) -> Result<(Record, OwnedFd), Error> {
    identity::new_session().map_err(call("start a session"))?;
    // Recorded before the program runs: whoever finds the monitor dead takes its place.
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    draft.monitor = Identity::of(own).map_err(read_process)?;
    let made = Creation::complete(cx, id, draft)?.commit()?;
    if let Err(e) = settle(&made) {
        // The program runs, but nobody would know of it.
        // A child of ours that is not reaped takes a signal, be it alive or not.
        let _ = signal::send(made.process.as_fd(), libc::SIGKILL);
        let _ = signal::wait(made.process.as_fd(), true);
        if let Err(e) = delete::destroy(made.slot, &made.record, made.group.as_deref()) {
            log::warn!("container {id}: {e}; what is left goes with delete --force");
        }
        return Err(e);
    }
    // From here on others work on the container.
    made.slot.unlock();
    if let Some(readiness) = &made.readiness {
        readiness.wait(made.process.as_fd(), made.record.pid.unwrap_or(0));
    }
    Ok((made.record, made.process))
}

/// What is left to do when the program runs: to see that its end can be written down, and to let
/// the caller go.
fn settle(made: &Made) -> Result<(), Error> {
    made.slot.save(&made.record)?;
    start::poststart(&made.record)?;
    leave_caller()?;
    identity::set_parent_death_signal(0).map_err(call("outlive the caller"))
}

/// Lets go of the caller's descriptors and directory. It waits for the end of its pipes, which from
/// here on are the container's alone.
pub(super) fn leave_caller() -> Result<(), Error> {
    path::forget_standard().map_err(call("let go of the standard descriptors"))?;
    close_inherited().map_err(call("close the caller's descriptors"))?;
    path::change_dir(c"/").map_err(call("leave the working directory"))
}

/// Closes what the caller left open for us and for the container: all that is not closed at exec,
/// which whatever this program opens is.
fn close_inherited() -> Result<(), Errno> {
    let mut inherited = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(errno)? {
        let name = entry.map_err(errno)?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<i32>().ok());
        inherited.extend(number.filter(|number| *number > 2));
    }
    for number in inherited {
        if path::is_inherited(number) {
            nix::unistd::close(number)?;
        }
    }
    Ok(())
}

/// Locks the container that `of` tells of; `None` when somebody has deleted it by force, whether or
/// not its id is in use again.
pub(super) fn reopen(cx: &Context, of: &Record) -> Result<Option<Slot>, Error> {
    let slot = match cx.store.open(&of.id) {
        Err(records::Error::Missing) => return Ok(None),
        slot => slot?,
    };
    match slot.record() {
        Err(records::Error::Missing) => Ok(None),
        record => Ok(record?.is_of_same(of).then_some(slot)),
    }
}

/// Writes down how the container ended, for whoever waits for that; one that is to be deleted then is.
pub(super) fn see_off(cx: &Context, of: &Record, ended: Ended, oom: bool) -> Result<(), Error> {
    record_exit(cx, of, ended, oom)?;
    if !of.is_transient {
        return Ok(());
    }
    if !kernel_tells_exits() {
        poll::pause(READING);
    }
    foreground::tidy(cx, of, kill::group(of)?.as_deref())
}

/// Who waits for a container has its exit code from the kernel (`PIDFD_GET_INFO`), or from the record.
fn kernel_tells_exits() -> bool {
    linux_version().is_some_and(|version| version >= (6, 15))
}

/// Writes down how the container ended, if it is still there to be told of; `oom` if the kernel has
/// killed in it for want of memory.
pub(super) fn record_exit(cx: &Context, of: &Record, ended: Ended, oom: bool) -> Result<(), Error> {
    let Some(slot) = reopen(cx, of)? else {
        return Ok(());
    };
    let mut record = slot.record()?;
    record.exit = Some(Exit {
        end: wait::end(ended),
        oom,
        at: Time::now(),
    });
    record.phase = Phase::Stopped;
    Ok(slot.save(&record)?)
}
