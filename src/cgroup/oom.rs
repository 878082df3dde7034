//! Hearing of the kernel's OOM killer while it is at work in a group.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Error;
use super::directory::{Directory, errno};
use super::unified::value_of;

const V2_FILE: &str = "memory.events";
const V1_FILE: &str = "memory.oom_control";

/// A group under watch. What the kernel did before is no news.
#[derive(Debug)]
pub struct OomWatch<'a> {
    group: &'a Directory,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// `changed` holds `events` alone, which by itself can always be read.
    V2 {
        changed: Epoll,
        events: File,
        seen: u64,
    },
    V1 {
        fired: EventFd,
    },
}

impl<'a> OomWatch<'a> {
    /// By `memory.events`, which counts for groups below too. `None`: memory is not accounted here.
    pub(super) fn v2(group: &'a Directory) -> Result<Option<Self>, Error> {
        let fault = || Error::call("watch", group.path().join(V2_FILE));
        let mut events = match group.open_file(V2_FILE, OFlag::O_RDONLY) {
            Err(Errno::ENOENT | Errno::ENODEV) => return Ok(None),
            opened => opened.map_err(fault())?,
        };
        // Read before it is watched: a change after the read makes it ready.
        let seen = kills(&mut events).map_err(fault())?;
        let changed = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(fault())?;
        changed
            .add(&events, EpollEvent::new(EpollFlags::EPOLLPRI, 0))
            .map_err(fault())?;
        let kind = Kind::V2 {
            changed,
            events,
            seen,
        };
        Ok(Some(Self { group, kind }))
    }

    /// By an eventfd that the kernel is told of (Documentation/admin-guide/cgroup-v1/memory.rst,
    /// section 10): only the group itself.
    pub(super) fn v1(group: &'a Directory) -> Result<Option<Self>, Error> {
        let fault = || Error::call("watch", group.path().join(V1_FILE));
        let control = match group.open_file(V1_FILE, OFlag::O_RDONLY) {
            Err(Errno::ENOENT | Errno::ENODEV) => return Ok(None),
            opened => opened.map_err(fault())?,
        };
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let fired = EventFd::from_flags(flags).map_err(fault())?;
        let line = format!("{} {}", fired.as_raw_fd(), control.as_raw_fd());
        group
            .write("cgroup.event_control", &line)
            .map_err(fault())?;
        let kind = Kind::V1 { fired };
        Ok(Some(Self { group, kind }))
    }

    /// Can be read when there may be news.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::V2 { changed, .. } => changed.0.as_fd(),
            Kind::V1 { fired } => fired.as_fd(),
        }
    }

    /// Whether memory has run out since this was last asked: v2 tells of processes that were killed,
    /// v1 also of those that wait because killing is switched off.
    pub fn has_news(&mut self) -> Result<bool, Error> {
        match &mut self.kind {
            Kind::V2 { events, seen, .. } => {
                let before = *seen;
                match kills(events) {
                    Ok(now) => *seen = now,
                    // The group is gone.
                    Err(Errno::ENODEV) => {}
                    Err(errno) => {
                        let path = self.group.path().join(V2_FILE);
                        return Err(Error::call("read", path)(errno));
                    }
                }
                Ok(*seen > before)
            }
            // The removal of the group is told in the same way.
            Kind::V1 { fired } => Ok(fired.read().is_ok() && self.group.has(V1_FILE)),
        }
    }
}

fn kills(events: &mut File) -> Result<u64, Errno> {
    let mut text = String::new();
    events.rewind().map_err(errno)?;
    events.read_to_string(&mut text).map_err(errno)?;
    Ok(value_of(&text, "oom_kill").unwrap_or(0))
}
