//! `events`: what a container uses, from time to time, and the moments when it runs out of memory.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use serde::Serialize;

use super::kill::{group_for, process};
use super::{Context, Error, call, successor};
use crate::cgroup::{self, Group, Stats, resctrl};
use crate::spec::Id;
use crate::spec::intel_rdt::RdtGroups;
use crate::sys::poll;

/// What happens in a container.
#[derive(Clone, Debug)]
pub enum Event {
    /// The interval is over.
    Stats(Box<Usage>),
    /// The kernel has killed for want of memory.
    Oom,
}

/// What a container uses.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Usage {
    #[serde(flatten)]
    pub group: Stats,
    /// Empty without groups in the resctrl filesystem.
    #[serde(rename = "intel_rdt")]
    pub rdt: resctrl::Stats,
}

/// What a container that has not stopped uses now.
pub fn stats(cx: &Context, id: &Id) -> Result<Usage, Error> {
    Ok(living(cx, id)?.usage()?)
}

/// Tells of events, the stats after each `interval`, until the container's first process ends, its
/// group is gone or nobody listens any more. Takes no lock.
pub fn events(
    cx: &Context,
    id: &Id,
    interval: Duration,
    mut tell: impl FnMut(Event) -> ControlFlow<()>,
) -> Result<(), Error> {
    let living = living(cx, id)?;
    let mut oom = living.group.watch_oom()?;
    let mut clock = poll::Clock::start(Some(interval));
    let mut is_over = false;
    loop {
        if let Some(left) = clock.left().filter(|_| !is_over) {
            let mut sources = vec![living.process.as_fd()];
            sources.extend(oom.as_ref().map(|oom| oom.fd()));
            let ready = poll::wait(&sources, left).map_err(call("wait for events"))?;
            is_over = ready & 1 != 0;
        }

        // Asked in any case: what kills the first process is heard of no later than its end.
        if let Some(oom) = &mut oom
            && oom.has_news()?
            && tell(Event::Oom).is_break()
        {
            return Ok(());
        }
        if is_over {
            return Ok(());
        }
        if clock.left().is_some() {
            continue;
        }
        clock = poll::Clock::start(Some(interval));
        let stats = match living.usage() {
            // The group is gone: so is the container, any moment.
            Ok(usage) if usage.group == Stats::default() => {
                is_over = true;
                continue;
            }
            Ok(usage) => Event::Stats(Box::new(usage)),
            Err(e) => {
                log::warn!("container {id}: {e}");
                continue;
            }
        };
        if tell(stats).is_break() {
            return Ok(());
        }
    }
}

/// A container that has not stopped.
struct Living {
    group: Box<dyn Group>,
    rdt_groups: Option<RdtGroups>,
    /// Its first.
    process: OwnedFd,
}

impl Living {
    fn usage(&self) -> Result<Usage, cgroup::Error> {
        let rdt = self.rdt_groups.as_ref().map(resctrl::Stats::read);
        Ok(Usage {
            group: self.group.stats()?,
            rdt: rdt.unwrap_or_default(),
        })
    }
}

fn living(cx: &Context, id: &Id) -> Result<Living, Error> {
    let record = cx.store.load(id)?;
    let Some(process) = process(&record)? else {
        return Err(Error::NotRunning(id.clone()));
    };
    successor::appoint(cx, &record);
    Ok(Living {
        group: group_for("events", &record)?,
        rdt_groups: record.rdt_groups,
        process,
    })
}
