//! `state`: what the record says, made true by what the kernel says.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use super::creation::GATE;
use super::{Context, Error, call, oom, successor};
use crate::cgroup::reopen;
use crate::spec::Id;
use crate::state::{Exit, Phase, Record};
use crate::sys::{channel, errno};

/// The words of runtime.md, and `paused` as runc has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What `state` and `list` tell.
#[derive(Clone, Debug)]
pub struct State {
    pub oci_version: String,
    pub id: Id,
    /// 0 when stopped.
    pub pid: i32,
    pub status: Status,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// RFC 3339 with the fraction that it has.
    pub created: String,
    pub annotations: BTreeMap<String, String>,
    /// The user whose container it is.
    pub owner: u32,
    /// Known for containers with a monitor.
    pub exit: Option<Exit>,
    /// It has stopped, and the kernel has killed in it for want of memory.
    pub oom: bool,
}

/// The state of one container; takes no lock.
pub fn state(cx: &Context, id: &Id) -> Result<State, Error> {
    look(cx, cx.store.load(id)?)
}

/// What a record tells that was read without the lock.
pub(super) fn look(cx: &Context, mut record: Record) -> Result<State, Error> {
    if is_unfinished(&record)
        // Its creator has the lock. One that was killed has not, and will write no more.
        && let Some(last) = cx.store.load_idle(&record.id)?
    {
        if is_unfinished(&last) {
            return Ok(of(last, Status::Stopped));
        }
        record = last;
    }
    let dir = cx.store.directory(&record.id)?;
    let status = status(&record, dir.as_fd())?;
    if status != Status::Stopped {
        successor::appoint(cx, &record);
    }
    Ok(of(record, status))
}

/// Whether other commands know of no process yet.
fn is_unfinished(record: &Record) -> bool {
    record.phase == Phase::Creating && record.pid.is_none()
}

pub(super) fn of(record: Record, status: Status) -> State {
    let oom = status == Status::Stopped && has_seen_oom(&record);
    State {
        oci_version: record.oci_version,
        id: record.id,
        pid: if status == Status::Stopped {
            0
        } else {
            record.pid.unwrap_or(0)
        },
        status,
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: record.created.to_string(),
        annotations: record.annotations,
        owner: record.owner,
        oom,
        exit: record.exit,
    }
}

/// By what its monitor wrote down, or by the group, which stays until it is deleted. Whatever became
/// of that, the state is told.
fn has_seen_oom(record: &Record) -> bool {
    if let Some(exit) = record.exit {
        return exit.oom;
    }
    oom::has_killed(record).unwrap_or(false)
}

/// What the container is doing now. `dir` is its directory. An unfinished one is `Creating`, be its
/// creator alive or not.
pub(super) fn status(record: &Record, dir: BorrowedFd<'_>) -> Result<Status, Error> {
    if is_unfinished(record) {
        return Ok(Status::Creating);
    }
    if !record.is_alive().map_err(read_process)? {
        return Ok(Status::Stopped);
    }
    if is_frozen(record)? {
        return Ok(Status::Paused);
    }
    Ok(match record.phase {
        Phase::Creating => Status::Creating,
        Phase::Created => Status::Created,
        // A `start` that was killed: the gate is open or it is not, and a look does not open it.
        Phase::Starting if channel::connect(dir, GATE).is_ok() => Status::Created,
        Phase::Starting | Phase::Running | Phase::Stopped => Status::Running,
    })
}

fn is_frozen(record: &Record) -> Result<bool, Error> {
    if record.group_paths.is_empty() {
        return Ok(false);
    }
    Ok(reopen(&record.group_paths, record.unit.as_ref())?.is_frozen()?)
}

pub(super) fn read_process(source: std::io::Error) -> Error {
    call("look at the container's process")(errno(&source))
}
