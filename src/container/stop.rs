//! `stop`: asks a container to end, and makes it.

use std::os::fd::AsFd;
use std::time::Duration;

use super::{Context, Error, call, kill, successor, wait};
use crate::spec::Id;
use crate::spec::signal::parse;
use crate::state::{Exit, Record};
use crate::sys::{poll, signal};

/// Which signal an image wants to be ended by (image-spec, conversion.md).
const STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";

/// The signal that its image or its maker has chosen, or SIGTERM, which a paused container wakes up for, and SIGKILL for what still runs after `grace`.
pub fn stop(cx: &Context, id: &Id, grace: Duration) -> Result<Option<Exit>, Error> {
    let record = cx.store.load(id)?;
    let Some(process) = kill::process(&record)? else {
        // What an unfinished one has, or one without a pid namespace left, does not stay either.
        kill::kill_all(&record)?;
        return Ok(record.exit);
    };
    successor::appoint(cx, &record);
    match signal::send(process.as_fd(), stop_signal(&record)) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(errno) => return Err(Error::Signal(errno)),
    }
    // A paused one hears it only when it goes on.
    if let Some(group) = kill::group(&record)? {
        group.thaw()?;
    }
    let act = call("wait for the container's process");
    poll::wait(&[process.as_fd()], Some(grace)).map_err(act)?;
    kill::kill_all(&record)?;
    match wait::exit_with(cx, &record, Some(process)) {
        Ok(exit) => Ok(Some(exit)),
        Err(Error::ExitUnknown(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

fn stop_signal(record: &Record) -> i32 {
    let Some(word) = record.annotations.get(STOP_SIGNAL) else {
        return libc::SIGTERM;
    };
    parse(word).unwrap_or_else(|e| {
        log::warn!(
            "container {}: {STOP_SIGNAL}: {e}; it gets SIGTERM",
            record.id
        );
        libc::SIGTERM
    })
}
