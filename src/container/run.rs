//! `run`: create and start in one, and stay until the end.

use super::creation::{Creation, Made};
use super::draft::Draft;
use super::foreground::Foreground;
use super::image::Lookups;
use super::oom::Witness;
use super::terminal::Terminal;
use super::{Context, CreateOptions, Error, call, delete, monitor, start};
use nix::unistd::Pid;

use crate::cgroup::Group;
use crate::plan::Ending;
use crate::spec::Id;
use crate::state::Record;
use crate::sys::identity;
use crate::sys::signal::{self, Ended, Mask};

/// What `run` takes beside what `create` does.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Return when the program runs.
    pub detach: bool,
    /// Leave the record and the group of an ended container.
    pub keep: bool,
    /// Delete a detached one when it has ended.
    pub remove: bool,
    pub no_subreaper: bool,
    /// What a detached one writes goes nowhere: who reads the caller's output to its end is not kept
    /// waiting for the container's.
    pub is_silent: bool,
    /// Say which flag gives it a network, where it fails and has asked for names without one.
    pub tells_of_network: bool,
}

/// Runs the container `id` and returns its exit code, 128 + n for signal n; 0 when detached.
pub fn run(cx: &Context, id: &Id, options: &CreateOptions, how: &RunOptions) -> Result<u8, Error> {
    if how.detach {
        return monitor::run(cx, id, options, how).map(|()| 0);
    }
    let draft = Draft::new(cx, id, options, false, Ending::WithRuntime)?;
    attend(cx, id, draft, how)
}

/// Makes the container of `draft`, stays until its end and removes it; its exit code.
pub(super) fn attend(cx: &Context, id: &Id, draft: Draft, how: &RunOptions) -> Result<u8, Error> {
    let is_new = draft.revival.is_none();
    if !how.no_subreaper {
        identity::set_subreaper().map_err(call("become a subreaper"))?;
    }
    // Blocked before the process exists, so that no signal is lost between its birth and our wait.
    signal::set_mask(Mask::ALL).map_err(call("block signals"))?;
    let signals = signal::descriptor(Mask::ALL).map_err(call("make a signal descriptor"))?;
    let made = Creation::complete(cx, id, draft)?.commit()?;
    // One that is brought back was started long ago.
    let begun = if is_new {
        start::poststart(&made.record)
    } else {
        Ok(())
    };
    if begun.is_ok() {
        // The container may run for long, and we may be killed before it ends.
        log::logger().flush();
    }
    // Other commands may work on the container while it runs.
    let Made {
        slot,
        record,
        group,
        process,
        console,
        readiness,
    } = made;
    slot.unlock();
    let mut foreground = Foreground {
        pid: Pid::from_raw(record.pid.unwrap_or(0)),
        process: &process,
        signals: &signals,
        witness: Witness::of(group.as_deref()),
        terminal: Terminal::receive(console.as_ref()),
        readiness,
    };
    let mut lookups = match how.tells_of_network {
        true => Lookups::of(record.pid.unwrap_or(0)),
        false => None,
    };
    let ended = foreground.attend();
    let oom = foreground.witness.look();
    drop(foreground);
    if oom && matches!(ended, Ok(Ended::Signal(libc::SIGKILL))) {
        log::warn!("container {id}: killed for want of memory");
    }

    if !matches!(ended, Ok(Ended::Code(0)) | Err(_))
        && lookups.as_mut().is_some_and(Lookups::were_lost)
    {
        log::warn!(
            "container {id}: it has no network, and nobody answered its datagrams (names are looked up by \
             them); --network host gives it the host's"
        );
    }

    // The code is the program's, whatever becomes of what it leaves.
    let tidied = match ended {
        Ok(ended) if how.keep => monitor::record_exit(cx, &record, ended, oom),
        _ => tidy(cx, &record, group.as_deref()),
    };
    if let Err(e) = tidied {
        log::warn!("container {id}: {e}; what is left goes with delete --force");
    }
    begun?;
    Ok(super::wait::end(ended?).exit_code())
}

/// Removes what an ended container leaves.
pub(super) fn tidy(cx: &Context, record: &Record, group: Option<&dyn Group>) -> Result<(), Error> {
    match monitor::reopen(cx, record)? {
        Some(slot) => delete::destroy(slot, record, group),
        None => Ok(()),
    }
}
