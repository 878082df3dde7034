//! `wait`: until a container ends, and how it did.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::state::read_process;
use super::{Context, Error, kill, oom, successor};
use crate::spec::Id;
use crate::state::{End, Exit, Record, Time};
use crate::sys::poll;
use crate::sys::signal::{self, Ended};

/// How long the monitor may take to write down what it has seen.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for the end of the container's first process. Its exit code is known to the monitor of a
/// detached `run`; for others Linux 6.15 tells it to whoever was waiting.
pub fn wait(cx: &Context, id: &Id) -> Result<Exit, Error> {
    exit(cx, &cx.store.load(id)?)
}

/// Waits for the end of the container that `record` tells of, and of no other by its id.
pub(super) fn exit(cx: &Context, record: &Record) -> Result<Exit, Error> {
    successor::appoint(cx, record);
    exit_with(cx, record, kill::process(record)?)
}

/// The same, by whoever holds the process already; it may have ended since.
pub(super) fn exit_with(
    cx: &Context,
    record: &Record,
    process: Option<OwnedFd>,
) -> Result<Exit, Error> {
    let seen = match process {
        None => None,
        Some(process) => {
            let oom = oom::wait_for_end(record, process.as_fd())?;
            exit_of(&process).map(|ended| Exit {
                end: end(ended),
                oom,
                at: Time::now(),
            })
        }
    };
    recorded(cx, record)?
        .or(seen)
        .ok_or_else(|| Error::ExitUnknown(record.id.clone()))
}

/// The exit as it is written down, by a monitor that may be about to.
fn recorded(cx: &Context, of: &Record) -> Result<Option<Exit>, Error> {
    let clock = poll::Clock::start(Some(PATIENCE));
    loop {
        // Looked at first: what it wrote before it ended is read then.
        let alive = match of.monitor {
            Some(monitor) => monitor.is_alive().map_err(read_process)?,
            None => false,
        };
        match cx.store.load(&of.id) {
            Ok(record) if !record.is_of_same(of) => return Ok(None),
            Ok(record) if record.exit.is_some() => return Ok(record.exit),
            Ok(_) if alive && clock.left().is_some() => poll::pause(Duration::from_millis(5)),
            _ => return Ok(None),
        }
    }
}

/// The kernel tells it from when the parent has reaped the process, which it does soon or never.
pub(super) fn exit_of(process: &OwnedFd) -> Option<Ended> {
    let clock = poll::Clock::start(Some(Duration::from_millis(500)));
    while clock.left().is_some() {
        if let Some(ended) = signal::exit_of(process.as_fd()) {
            return Some(ended);
        }
        poll::pause(Duration::from_millis(5));
    }
    None
}

pub(super) fn end(ended: Ended) -> End {
    let byte = |number: i32| u8::try_from(number & 0xff).unwrap_or(u8::MAX);
    match ended {
        Ended::Code(code) => End::Code(byte(code)),
        Ended::Signal(number) => End::Signal(byte(number)),
    }
}
