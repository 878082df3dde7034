//! Whether it was for want of memory that something ended.

use super::{Error, kill};
use crate::cgroup::{self, Group};
use crate::launch;
use crate::state::Record;

/// Whether the kernel has killed in the container's group for want of memory. The group stays until
/// the container is deleted; one that is gone tells of nothing.
pub(super) fn has_killed(record: &Record) -> Result<bool, Error> {
    let group = kill::group(record)?;
    Ok(group.map_or(Ok(false), |group| has_killed_in(group.as_ref()))?)
}

pub(super) fn has_killed_in(group: &dyn Group) -> Result<bool, cgroup::Error> {
    Ok(group.oom_kills()? > 0)
}

/// The fault of a process that ended before its program ran, told with its cause.
pub(super) fn explain(fault: Error, group: Option<&dyn Group>) -> Error {
    let launch = match &fault {
        Error::Launch(launch) => launch,
        _ => return fault,
    };
    let has_ended = matches!(launch, launch::Error::Killed { .. } | launch::Error::Lost);
    match group.map(has_killed_in) {
        Some(Ok(true)) if has_ended => Error::OutOfMemory,
        _ => fault,
    }
}
