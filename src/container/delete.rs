//! `delete`: removes what is left of a container.

use std::os::fd::AsFd;
use std::time::Duration;

use super::state::status;
use super::{Context, Error, Status, call, hooks, image, kill};
use crate::cgroup::{Group, resctrl};
use crate::spec::Id;
use crate::state::{self as records, Record, Slot};
use crate::sys::poll;

/// How long processes may take to die of SIGKILL, as long as runc waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes the container. A running or paused one is refused without `force`; a missing one is no
/// error with it. Deleting twice is deleting once.
pub fn delete(cx: &Context, id: &Id, force: bool) -> Result<(), Error> {
    let slot = if force {
        match seize(cx, id)? {
            Some(slot) => slot,
            None => return Ok(()),
        }
    } else {
        cx.store.open(id)?
    };
    let record = match slot.record() {
        Ok(record) => record,
        // A creator that was killed before its first record made nothing else.
        Err(records::Error::Missing) => {
            slot.remove()?;
            return if force {
                Ok(())
            } else {
                Err(records::Error::Missing.into())
            };
        }
        Err(e @ (records::Error::Damaged { .. } | records::Error::Version { .. })) if force => {
            log::warn!("container {id}: {e}; its directory is removed, whatever it had is not");
            slot.remove()?;
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    let status = status(&record, slot.lock_fd())?;
    // We hold the lock: whoever was creating it is dead.
    let startable = matches!(status, Status::Created | Status::Creating | Status::Stopped);
    if !force && !startable {
        return Err(Error::NotStopped {
            id: id.clone(),
            status,
        });
    }
    end(&record)?;
    destroy(slot, &record, kill::group(&record)?.as_deref())
}

/// Locks the container. A command that has the lock may be waiting for the container, in a hook for
/// one: that ends when the container does, which is killed by its record, without the lock. `None`
/// when there is no such container.
fn seize(cx: &Context, id: &Id) -> Result<Option<Slot>, Error> {
    let clock = poll::Clock::start(Some(PATIENCE));
    loop {
        match cx.store.try_open(id) {
            Ok(None) => {}
            Err(records::Error::Missing) => return Ok(None),
            slot => return Ok(slot?),
        }
        if clock.left().is_none() {
            return Err(Error::Busy {
                id: id.clone(),
                holder: cx.store.holder(id).unwrap_or(0),
            });
        }
        // Whoever has the lock may be removing the group just now; under the lock it is killed again.
        if let Ok(record) = cx.store.load(id)
            && let Err(e) = kill::kill_all(&record)
        {
            log::debug!("container {id}: {e}");
        }
        poll::pause(Duration::from_millis(10));
    }
}

/// Kills what lives and waits for it.
pub(super) fn end(record: &Record) -> Result<(), Error> {
    let process = kill::process(record)?;
    kill::kill_all(record)?;
    if let Some(process) = process {
        let ready = poll::wait(&[process.as_fd()], Some(PATIENCE));
        if ready.map_err(call("wait for the container's process"))? == 0 {
            return Err(Error::StillRunning);
        }
    }
    Ok(())
}

/// Removes group, hooks' last word and record of a container without a first process.
pub(super) fn destroy(slot: Slot, record: &Record, group: Option<&dyn Group>) -> Result<(), Error> {
    if let Some(group) = group {
        // Also without a private pid namespace nothing outlives the container.
        group.kill()?;
        group.remove()?;
    }
    if let Some(groups) = &record.rdt_groups {
        resctrl::remove(groups)?;
    }
    hooks::run_poststop(record);
    image::remove(&slot, record)?;
    Ok(slot.remove()?)
}
