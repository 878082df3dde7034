//! `update`: other limits for a container that lives.

use super::kill::group_for;
use super::state::status;
use super::{Context, Error, Status, successor};
use crate::cgroup::resctrl;
use crate::spec::Id;
use crate::spec::limits::Limits;

/// Sets the limits and the lines of `schemata` of resctrl that are given, and leaves the others. They are in the kernel and nowhere else: a
/// later update reads there what holds.
pub fn update(cx: &Context, id: &Id, limits: &Limits, schemata: &[String]) -> Result<(), Error> {
    let slot = cx.store.open(id)?;
    let record = slot.record()?;
    match status(&record, slot.lock_fd())? {
        Status::Running | Status::Created | Status::Paused => {
            group_for("update", &record)?.update(limits)?;
            if let Some(groups) = &record.rdt_groups {
                resctrl::set_schemata(groups, schemata)?;
            }
        }
        Status::Creating | Status::Stopped => return Err(Error::State("container not running")),
    }
    slot.unlock();
    successor::appoint(cx, &record);
    Ok(())
}
