//! `events`: what a container uses, from time to time, and the moments when it runs out of memory.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::kill::{group_for, process};
use super::{Context, Error, call, successor};
use crate::cgroup::{Group, Stats};
use crate::spec::Id;
use crate::sys::poll;

/// What happens in a container.
#[derive(Clone, Debug)]
pub enum Event {
    /// The interval is over.
    Stats(Box<Stats>),
    /// The kernel has killed for want of memory.
    Oom,
}

/// What a container that has not stopped uses now.
pub fn stats(cx: &Context, id: &Id) -> Result<Stats, Error> {
    let (group, _) = living(cx, id)?;
    Ok(group.stats()?)
}

/// Tells of events, the stats after each `interval`, until the container's first process ends, its
/// group is gone or nobody listens any more. Takes no lock.
pub fn events(
    cx: &Context,
    id: &Id,
    interval: Duration,
    mut tell: impl FnMut(Event) -> ControlFlow<()>,
) -> Result<(), Error> {
    let (group, process) = living(cx, id)?;
    let mut oom = group.watch_oom()?;
    let mut clock = poll::Clock::start(Some(interval));
    let mut is_over = false;
    loop {
        if let Some(left) = clock.left().filter(|_| !is_over) {
            let mut sources = vec![process.as_fd()];
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
        let stats = match group.stats() {
            // The group is gone: so is the container, any moment.
            Ok(stats) if stats == Stats::default() => {
                is_over = true;
                continue;
            }
            Ok(stats) => Event::Stats(Box::new(stats)),
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

/// The group and the first process of a container that has not stopped.
fn living(cx: &Context, id: &Id) -> Result<(Box<dyn Group>, OwnedFd), Error> {
    let record = cx.store.load(id)?;
    let Some(process) = process(&record)? else {
        return Err(Error::NotRunning(id.clone()));
    };
    successor::appoint(cx, &record);
    Ok((group_for("events", &record)?, process))
}
