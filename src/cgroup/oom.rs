//! Hearing of the kernel's OOM killer while it is at work in a group.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Error;
use super::directory::Directory;
use super::unified::value_of;
use crate::sys::errno;

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
    V2(Counters),
    V1(EventFd),
}

impl<'a> OomWatch<'a> {
    /// By `memory.events`, which counts for groups below too. `None`: memory is not accounted here.
    pub(super) fn v2(group: &'a Directory) -> Result<Option<Self>, Error> {
        let counters =
            Counters::open(group).map_err(Error::call("watch", group.path().join(V2_FILE)))?;
        let kind = counters.map(Kind::V2);
        Ok(kind.map(|kind| Self { group, kind }))
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
        let kind = Kind::V1(fired);
        Ok(Some(Self { group, kind }))
    }

    /// Can be read when there may be news.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::V2(counters) => counters.changed.0.as_fd(),
            Kind::V1(fired) => fired.as_fd(),
        }
    }

    /// Whether memory has run out since this was last asked. On v1 nobody need have been killed for
    /// it: that may be switched off.
    pub fn has_news(&mut self) -> Result<bool, Error> {
        match &mut self.kind {
            Kind::V2(counters) => counters
                .grow()
                .map_err(Error::call("read", self.group.path().join(V2_FILE))),
            // The removal of the group is told in the same way.
            Kind::V1(fired) => Ok(fired.read().is_ok() && self.group.has(V1_FILE)),
        }
    }

    /// Whether news are of kills alone.
    pub fn is_of_kills(&self) -> bool {
        matches!(self.kind, Kind::V2(_))
    }
}

/// The counts of a v2 group and of the one above it.
#[derive(Debug)]
struct Counters {
    /// Holds their files, which by themselves can always be read.
    changed: Epoll,
    own: Counter,
    above: Option<Counter>,
}

impl Counters {
    fn open(group: &Directory) -> Result<Option<Self>, Errno> {
        let Some(own) = Counter::open(group)? else {
            return Ok(None);
        };
        // Where it cannot be looked at, it is not asked.
        let parent = group.path().parent().map(Directory::open);
        let above = match parent {
            Some(Ok(Some(parent))) if parent.is_v2() => Counter::open(&parent)?,
            _ => None,
        };
        let changed = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for counter in [Some(&own), above.as_ref()].into_iter().flatten() {
            changed.add(&counter.file, EpollEvent::new(EpollFlags::EPOLLPRI, 0))?;
        }
        Ok(Some(Self {
            changed,
            own,
            above,
        }))
    }

    /// Whether somebody was killed in the group or below it since this was last asked.
    fn grow(&mut self) -> Result<bool, Errno> {
        let mut above_grows = || self.above.as_mut().is_some_and(|c| c.grows() == Ok(true));
        let before = above_grows();
        match self.own.grows() {
            Ok(news) => {
                // It is the same that was counted above.
                let _ = news && above_grows();
                Ok(news)
            }
            // systemd removes a group as soon as it is empty. What the group above has counted since
            // it was last looked at was here, or in a neighbour in this very moment.
            Err(Errno::ENODEV) => {
                let news = before || above_grows();
                // From here on it is neighbours alone; and the file that is gone would be ready for ever.
                self.above = None;
                self.changed = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
                Ok(news)
            }
            Err(errno) => Err(errno),
        }
    }
}

/// The number of kills in a group and below it, as it was last seen.
#[derive(Debug)]
struct Counter {
    file: File,
    seen: u64,
}

impl Counter {
    /// Reads before anybody watches: a change after that makes the file ready. `None`: nobody counts.
    fn open(group: &Directory) -> Result<Option<Self>, Errno> {
        let file = match group.open_file(V2_FILE, OFlag::O_RDONLY) {
            Err(Errno::ENOENT | Errno::ENODEV) => return Ok(None),
            opened => opened?,
        };
        let mut counter = Self { file, seen: 0 };
        counter.grows()?;
        Ok(Some(counter))
    }

    /// Whether it is more than it was.
    fn grows(&mut self) -> Result<bool, Errno> {
        let mut text = String::new();
        self.file.rewind().map_err(errno)?;
        self.file.read_to_string(&mut text).map_err(errno)?;
        let before = self.seen;
        self.seen = value_of(&text, "oom_kill").unwrap_or(0);
        Ok(self.seen > before)
    }
}
