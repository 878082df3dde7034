//! A monitor in the place of one that was killed: the next command that meets the container forks it.
//!
//! It is not the parent of the container's process, so it learns the end from the kernel alone
//! (`PIDFD_GET_INFO`, Linux 6.15); on an older one the exit code stays unknown.

use std::os::fd::{AsFd, OwnedFd};

use super::{Context, Error, call, delete, kill, monitor, oom, run, wait};
use crate::state::{Identity, Record};
use crate::sys::clone::{self, Clone, Forked};
use crate::sys::identity;

/// Gives the container that `record` tells of a new monitor if it has lost its own. That is a favour
/// to others: where it cannot be done, the command goes on.
pub(super) fn appoint(cx: &Context, record: &Record) {
    if let Err(e) = fork(cx, record) {
        log::debug!("container {}: no new monitor: {e}", record.id);
    }
}

fn fork(cx: &Context, record: &Record) -> Result<(), Error> {
    if !is_unwatched(record)? {
        return Ok(());
    }
    let Some(process) = kill::process(record)? else {
        return Ok(());
    };
    let what = Clone {
        namespaces: 0,
        group: None,
    };
    match clone::clone(&what).map_err(call("fork the monitor"))? {
        Forked::Child => {
            // Nobody is left to be told; the next command tries again.
            let _ = watch(cx, record, &process);
            clone::end(0)
        }
        Forked::Parent { .. } => Ok(()),
    }
}

/// Whether the container had a monitor that is gone, and nobody knows its end.
fn is_unwatched(record: &Record) -> Result<bool, Error> {
    match record.monitor {
        Some(monitor) if record.exit.is_none() => {
            Ok(!monitor.is_alive().map_err(super::state::read_process)?)
        }
        _ => Ok(false),
    }
}

/// The life of the new monitor.
fn watch(cx: &Context, of: &Record, process: &OwnedFd) -> Result<(), Error> {
    identity::new_session().map_err(call("start a session"))?;
    monitor::leave_caller()?;
    let Some(slot) = cx.store.try_open(&of.id)? else {
        return Ok(());
    };
    let mut record = slot.record()?;
    // Of several that were forked at once one finds the place vacant.
    if !record.is_of_same(of) || !is_unwatched(&record)? {
        return Ok(());
    }
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    record.monitor = Identity::of(own).ok().flatten();
    slot.save(&record)?;
    slot.unlock();
    let oom = oom::wait_for_end(&record, process.as_fd())?;
    match wait::exit_of(process) {
        Some(ended) => monitor::see_off(cx, &record, ended, oom),
        None if record.is_transient => run::tidy(cx, &record, kill::group(&record)?.as_deref()),
        None => Ok(()),
    }
}

/// Deletes the container that `of` tells of if it has ended, was to be deleted then, and nobody is left who
/// would; whether it did. A favour, too.
pub(super) fn bury(cx: &Context, of: &Record) -> bool {
    try_to_bury(cx, of).unwrap_or_else(|e| {
        log::debug!("container {}: it was to be deleted: {e}", of.id);
        false
    })
}

fn try_to_bury(cx: &Context, of: &Record) -> Result<bool, Error> {
    if !is_forsaken(of)? {
        return Ok(false);
    }
    // Whoever has the lock may be about to.
    let Some(slot) = cx.store.try_open(&of.id)? else {
        return Ok(false);
    };
    let record = slot.record()?;
    if !record.is_of_same(of) || !is_forsaken(&record)? {
        return Ok(false);
    }
    delete::destroy(slot, &record, kill::group(&record)?.as_deref())?;
    Ok(true)
}

fn is_forsaken(record: &Record) -> Result<bool, Error> {
    let Some(monitor) = record.monitor.filter(|_| record.is_transient) else {
        return Ok(false);
    };
    let is_alive = monitor.is_alive().map_err(super::state::read_process)?;
    Ok(!is_alive && kill::process(record)?.is_none())
}
