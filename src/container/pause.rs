//! `pause`: every process of a container stands still.

use super::kill::group_for;
use super::state::status;
use super::{Context, Error, Status, successor};
use crate::spec::Id;

/// Freezes a running or created container; returns when all its processes stand still.
pub fn pause(cx: &Context, id: &Id) -> Result<(), Error> {
    let slot = cx.store.open(id)?;
    let record = slot.record()?;
    match status(&record, slot.lock_fd())? {
        Status::Running | Status::Created => group_for("pause", &record)?.freeze()?,
        _ => return Err(Error::State("container not running")),
    }
    slot.unlock();
    successor::appoint(cx, &record);
    Ok(())
}
