//! `start`: opens the gate and hears whether the program runs.

use std::os::fd::{AsFd, OwnedFd};

use super::creation::GATE;
use super::hooks::{self, HookState};
use super::readiness::Readiness;
use super::{Context, Error, Status, agent, call, kill, oom};
use crate::launch::{self, GO, fault};
use crate::spec::Id;
use crate::spec::seccomp::Agent;
use crate::state::{Phase, Record, Slot};
use crate::sys::channel;
use crate::sys::report::{Fault, Report};

/// Runs the program of a created container; returns when it is executed. Where a service manager waits at
/// `notify_socket` (as in [`super::CreateOptions`], and then too), it returns when the container is ready.
pub fn start(cx: &Context, id: &Id, notify_socket: Option<&[u8]>) -> Result<(), Error> {
    let slot = cx.store.open(id)?;
    let mut record = slot.record()?;
    match super::state::status(&record, slot.lock_fd())? {
        Status::Created => {}
        Status::Running => return Err(Error::State("cannot start an already running container")),
        Status::Paused => {
            return Err(Error::State("cannot start a container in the paused state"));
        }
        Status::Stopped | Status::Creating => {
            return Err(Error::State("cannot start a container that has stopped"));
        }
    }

    let readiness = match notify_socket {
        Some(manager) => Readiness::listen(&slot, manager)?,
        None => None,
    };
    let process = kill::process(&record)?;

    record.phase = Phase::Starting;
    slot.save(&record)?;
    open_gate(&slot, &record)
        .or_else(|fault| Err(oom::explain(fault, kill::group(&record)?.as_deref())))?;
    record.phase = Phase::Running;
    slot.save(&record)?;
    poststart(&record)?;
    // It may take long, and others may work on the container meanwhile.
    slot.unlock();
    if let (Some(readiness), Some(process)) = (readiness, process) {
        readiness.wait(process.as_fd(), record.pid.unwrap_or(0));
    }
    Ok(())
}

/// Goes through the gate and waits until the other end is closed, by exec or by death.
fn open_gate(slot: &Slot, record: &Record) -> Result<(), Error> {
    let act = call("open the gate of the container");
    let gate = channel::connect(slot.lock_fd(), GATE).map_err(&act)?;
    channel::send(gate.as_fd(), GO).map_err(&act)?;
    let Some(page) = channel::receive_fd(gate.as_fd()).map_err(&act)? else {
        return Err(launch::Error::Lost.into());
    };
    let report = Report::open(page.as_fd()).map_err(&act)?;
    if let Some(agent) = &record.agent
        && let Some(listener) = channel::receive_fd(gate.as_fd()).map_err(&act)?
    {
        introduce(agent, &listener, record)?;
    }
    while channel::receive(gate.as_fd()).map_err(&act)?.is_some() {}
    Ok(launch::judge(&report.read(), None, |fault| {
        describe(record, fault)
    })?)
}

/// A container whose calls nobody answers does not go on.
fn introduce(agent: &Agent, listener: &OwnedFd, record: &Record) -> Result<(), Error> {
    let pid = record.pid.unwrap_or(0);
    let state = HookState {
        status: Status::Created,
        pid,
        record,
    };
    agent::introduce(agent, listener, pid, &state).inspect_err(|_| {
        // The error of the agent is the one to tell.
        let _ = kill::kill_all(record);
    })
}

fn describe(record: &Record, found: &Fault) -> String {
    let at = (found.step as usize).checked_sub(record.late_from);
    match at.and_then(|at| record.late_steps.get(at)) {
        Some(subject) => fault::sentence(subject, found),
        None => fault::sentence(&format!("step {}", found.step), found),
    }
}

/// A poststart hook that fails is an error, and the container does not go on without it.
pub(super) fn poststart(record: &Record) -> Result<(), Error> {
    let hooks = &record.hooks.poststart;
    if hooks.is_empty() {
        return Ok(());
    }
    let pid = record.pid.unwrap_or(0);
    let state = HookState {
        status: Status::Running,
        pid,
        record,
    };
    hooks::run("poststart", hooks, &state).inspect_err(|_| {
        // The error of the hook is the one to tell.
        let _ = kill::kill_all(record);
    })
}
