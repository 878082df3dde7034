//! Whether it was for want of memory that something ended.

use std::os::fd::BorrowedFd;

use super::{Error, call, kill};
use crate::cgroup::{self, Group, OomWatch};
use crate::launch;
use crate::state::Record;
use crate::sys::poll;

/// Whether the kernel has killed in the container's group for want of memory. The group stays until
/// the container is deleted, unless systemd has it; one that is gone tells of nothing.
pub(super) fn has_killed(record: &Record) -> Result<bool, Error> {
    let group = kill::group(record)?;
    Ok(group.map_or(Ok(false), |group| has_killed_in(group.as_ref()))?)
}

/// Looks at a group while its processes live: afterwards it may be gone. It is there for others, who
/// go on where it cannot tell.
#[derive(Debug)]
pub(super) struct Witness<'a> {
    group: Option<&'a dyn Group>,
    watch: Option<OomWatch<'a>>,
    oom: bool,
}

impl<'a> Witness<'a> {
    pub(super) fn of(group: Option<&'a dyn Group>) -> Self {
        let watch = group.and_then(|group| group.watch_oom().ok().flatten());
        let oom = false;
        Self { group, watch, oom }
    }

    /// To be waited for beside other things.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(OomWatch::fd)
    }

    /// Whether the kernel has killed there for want of memory by now.
    pub(super) fn look(&mut self) -> bool {
        if let Some(watch) = &mut self.watch {
            self.oom |= watch.has_news().unwrap_or(false) && watch.is_of_kills();
        }
        let killed = self.group.map(has_killed_in);
        self.oom |= matches!(killed, Some(Ok(true)));
        self.oom
    }
}

/// Waits for the end of the container's first process; whether the kernel had killed in its group for
/// want of memory.
pub(super) fn wait_for_end(record: &Record, process: BorrowedFd<'_>) -> Result<bool, Error> {
    // How it ended is worth telling also where nobody can say why.
    let group = kill::group(record).unwrap_or_else(|e| {
        log::warn!(
            "container {}: {e}; whether memory ran out is not seen",
            record.id
        );
        None
    });
    let mut witness = Witness::of(group.as_deref());
    loop {
        let mut sources = vec![process];
        sources.extend(witness.fd());
        let ready = poll::wait(&sources, None);
        let has_ended = ready.map_err(call("wait for the container's process"))? & 1 != 0;
        let oom = witness.look();
        if has_ended {
            return Ok(oom);
        }
    }
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
