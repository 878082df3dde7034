//! `update`: other limits for a container that lives.

use super::kill::group_for;
use super::state::status;
use super::{Context, Error, Status, successor};
use crate::cgroup::resctrl;
use crate::spec::Id;
use crate::spec::limits::Limits;
use crate::state::Record;

/// Sets the limits and the lines of resctrl's `schemata` that are given, and leaves the others. They
/// are in the kernel and nowhere else: a later update reads there what holds.
pub fn update(cx: &Context, id: &Id, limits: &Limits, schemata: &[String]) -> Result<(), Error> {
    let slot = cx.store.open(id)?;
    let record = slot.record()?;
    match status(&record, slot.lock_fd())? {
        Status::Running | Status::Created | Status::Paused => change(&record, limits, schemata)?,
        Status::Creating | Status::Stopped => return Err(Error::State("container not running")),
    }
    slot.unlock();
    successor::appoint(cx, &record);
    Ok(())
}

/// All or nothing: the lines, too, are taken back when the kernel refuses a limit.
fn change(record: &Record, limits: &Limits, schemata: &[String]) -> Result<(), Error> {
    let limit = || {
        group_for("update", record)?
            .update(limits)
            .map_err(Error::from)
    };
    let Some(groups) = record.rdt_groups.as_ref().filter(|_| !schemata.is_empty()) else {
        return limit();
    };
    let former = resctrl::schemata(groups)?;
    resctrl::set_schemata(groups, schemata)?;
    if *limits == Limits::default() {
        return Ok(());
    }
    limit().inspect_err(|_| {
        if let Err(e) = resctrl::set_schemata(groups, &former) {
            log::warn!("container {}: {e}", record.id);
        }
    })
}
