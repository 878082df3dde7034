//! `resume`: a paused container goes on.

use super::kill::group_for;
use super::state::status;
use super::{Context, Error, Status, successor};
use crate::spec::Id;

/// Thaws a paused container. One that was created goes on waiting for `start`.
pub fn resume(cx: &Context, id: &Id) -> Result<(), Error> {
    let slot = cx.store.open(id)?;
    let record = slot.record()?;
    match status(&record, slot.lock_fd())? {
        Status::Paused => group_for("resume", &record)?.thaw()?,
        _ => return Err(Error::State("container not paused")),
    }
    slot.unlock();
    successor::appoint(cx, &record);
    Ok(())
}
