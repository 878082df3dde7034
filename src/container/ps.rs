//! `ps`: who lives in a container.

use nix::unistd::Pid;

use super::kill::group_for;
use super::{Context, Error, successor};
use crate::spec::Id;

/// The processes in the container's group and below it, in order, as the host counts; none when it
/// has stopped. Takes no lock.
pub fn ps(cx: &Context, id: &Id) -> Result<Vec<Pid>, Error> {
    let record = cx.store.load(id)?;
    let mut pids = group_for("ps", &record)?.pids()?;
    pids.sort_unstable();
    successor::appoint(cx, &record);
    Ok(pids)
}
