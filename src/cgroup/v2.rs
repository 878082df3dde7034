//! A container's group on a v2 host.

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::{Pid, Uid};

use super::directory::Directory;
use super::seat::Seat;
use super::stats::read_v2;
use super::unified::{freeze, is_frozen, kill_all, thaw, value_of};
use super::v2_limits::{self as limits, Need};
use super::{Error, Group, OomWatch, Stats};
use crate::spec::limits::Limits;

/// What is given away where the kernel has no list (config-linux.md, "Cgroup ownership").
const DELEGATED: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";

#[derive(Debug)]
pub(super) struct V2 {
    seat: Seat,
}

impl V2 {
    pub(super) fn new(seat: Seat) -> Self {
        Self { seat }
    }

    /// The directory with `needs` enabled, and no limit set.
    pub(super) fn make_bare(&mut self, needs: &[Need]) -> Result<&Directory, Error> {
        let group = self.seat.make(|above, below| match below {
            None => pass_on(above, needs),
            Some(_) => Ok(()),
        })?;
        // Below a threaded group nothing can be a domain, and clone3 would say just EOPNOTSUPP.
        if group.text("cgroup.type")?.trim() == "domain invalid" {
            return Err(Error::Threaded {
                path: group.path().into(),
            });
        }
        Ok(group)
    }

    pub(super) fn dir(&self) -> Option<&Directory> {
        self.seat.dir()
    }
}

impl Group for V2 {
    fn paths(&self) -> Vec<PathBuf> {
        vec![self.seat.path()]
    }

    fn check_unused(&self) -> Result<(), Error> {
        self.seat.check_unused()
    }

    fn make(&mut self, limits: &Limits) -> Result<(), Error> {
        let group = self.make_bare(&limits::needs(limits))?;
        limits::apply(group, limits)?;
        limits::set_devices(group, &limits.devices)
    }

    fn update(&self, limits: &Limits) -> Result<(), Error> {
        let group = self.seat.must_be_there()?;
        limits::apply(group, limits)?;
        if limits.devices.is_empty() {
            return Ok(());
        }
        limits::set_devices(group, &limits.devices)
    }

    fn delegate(&self, uid: Uid) -> Result<(), Error> {
        self.dir().map_or(Ok(()), |group| delegate(group, uid))
    }

    fn entrance(&self) -> Option<BorrowedFd<'_>> {
        self.dir().map(Directory::fd)
    }

    fn doors(&self) -> Result<Vec<OwnedFd>, Error> {
        Ok(Vec::new())
    }

    fn pids(&self) -> Result<Vec<Pid>, Error> {
        self.dir().map_or(Ok(Vec::new()), Directory::all_pids)
    }

    fn kill(&self) -> Result<(), Error> {
        self.dir().map_or(Ok(()), kill_all)
    }

    fn freeze(&self) -> Result<(), Error> {
        self.dir().map_or(Ok(()), freeze)
    }

    fn thaw(&self) -> Result<(), Error> {
        self.dir().map_or(Ok(()), thaw)
    }

    fn is_frozen(&self) -> Result<bool, Error> {
        self.dir().map_or(Ok(false), is_frozen)
    }

    fn oom_kills(&self) -> Result<u64, Error> {
        let Some(group) = self.dir() else {
            return Ok(0);
        };
        match group.read("memory.events") {
            Ok(text) => Ok(value_of(&text, "oom_kill").unwrap_or(0)),
            // The memory controller is not enabled here, or the group is gone.
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(0),
            Err(errno) => Err(Error::call("read", group.path().join("memory.events"))(
                errno,
            )),
        }
    }

    fn watch_oom(&self) -> Result<Option<OomWatch<'_>>, Error> {
        self.dir().map_or(Ok(None), OomWatch::v2)
    }

    fn stats(&self) -> Result<Stats, Error> {
        self.dir().map_or(Ok(Stats::default()), read_v2)
    }

    fn remove(&self) -> Result<(), Error> {
        self.seat.remove()
    }
}

/// The files are those of this kernel (cgroups(7), /sys/kernel/cgroup/delegate, Linux 4.15): with
/// any other he could lift his own limits.
fn delegate(group: &Directory, uid: Uid) -> Result<(), Error> {
    let listed = fs::read_to_string("/sys/kernel/cgroup/delegate");
    let files = listed.as_deref().unwrap_or(DELEGATED);
    group.give("", uid)?;
    files.lines().try_for_each(|file| group.give(file, uid))
}

/// Enables in `above` the controllers that groups below it need.
fn pass_on(above: &Directory, needs: &[Need]) -> Result<(), Error> {
    const FILE: &str = "cgroup.subtree_control";
    if needs.is_empty() {
        return Ok(());
    }
    let enabled = above.text(FILE)?;
    let lacks = |text: &str, need: &Need| !text.split_whitespace().any(|c| c == need.controller);
    let missing: Vec<&Need> = needs.iter().filter(|n| lacks(&enabled, n)).collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    let available = above.text("cgroup.controllers")?;
    if let Some(none) = missing.iter().find(|n| lacks(&available, n)) {
        return Err(none.is_missing());
    }
    let command: Vec<String> = missing
        .iter()
        .map(|n| format!("+{}", n.controller))
        .collect();
    let command = command.join(" ");
    match above.write(FILE, &command) {
        Ok(()) => Ok(()),
        // cgroups(7), "no internal processes".
        Err(Errno::EBUSY) => Err(Error::InternalProcess {
            field: first.field,
            controller: first.controller,
            path: above.path().into(),
        }),
        Err(errno) => Err(Error::Limit {
            field: first.field,
            value: command,
            path: above.path().join(FILE),
            errno,
        }),
    }
}
