//! A container's group on a v2 host.

mod block_io;
pub(super) mod devices;
pub(super) mod limits;
pub(super) mod memory;

use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::{Pid, Uid};

use super::directory::Directory;
use super::seat::Seat;
use super::settings::{Need, Setting, change_all, needs};
use super::stats::read_v2;
use super::unified::{freeze, is_frozen, kill_all, thaw, value_of};
use super::{Below, Error, Group, Hierarchies, OomWatch, Room, Stats, below};
use crate::spec::limits::Limits;
use crate::sys::errno;

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

    /// The directory with `needs` enabled, and no limit set; for nobody or for `newcomer`.
    pub(super) fn make_bare(
        &mut self,
        needs: &[Need],
        newcomer: Option<Pid>,
    ) -> Result<&Directory, Error> {
        let group = self.seat.make(newcomer, |above, below| match below {
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

    /// Has the groups above a live one enable what its new limits need.
    pub(super) fn enable(&self, needs: &[Need]) -> Result<(), Error> {
        let group = self.seat.must_be_there()?;
        let enabled = group.text("cgroup.controllers")?;
        if !needs.iter().any(|need| lacks(&enabled, need)) {
            return Ok(());
        }
        let hierarchies = Hierarchies::detect()?;
        let v2 = hierarchies.all().find(|h| h.controllers.is_empty());
        let below = v2.and_then(|h| Some((h, group.path().strip_prefix(&h.mount_point).ok()?)));
        let Some((v2, names)) = below else {
            return needs.first().map_or(Ok(()), |n| Err(n.is_missing("v2")));
        };
        let mut above = Directory::open(&v2.mount_point)?;
        for name in names {
            let Some(at) = &above else {
                break;
            };
            pass_on(at, needs)?;
            above = at.below(name)?;
        }
        Ok(())
    }

    /// What sets `limits` beside what the group holds.
    fn settings(&self, limits: &Limits) -> Result<Vec<Setting>, Error> {
        let held = |_: &str, file: &str| self.dir()?.read(file).ok();
        limits::settings(limits, |_| true, &held)
    }
}

impl Group for V2 {
    fn paths(&self) -> Vec<PathBuf> {
        vec![self.seat.path()]
    }

    fn check_unused(&self) -> Result<(), Error> {
        self.seat.check_unused()
    }

    fn make(&mut self, limits: &Limits, newcomer: Option<Pid>) -> Result<(), Error> {
        // Without its controllers the group has no files, which the settings look at.
        self.make_bare(&needs(&self.settings(limits)?), newcomer)?;
        let settings = self.settings(limits)?;
        let group = self.seat.must_be_there()?;
        settings.iter().try_for_each(|s| s.put(group))?;
        devices::set(group, limits)
    }

    fn update(&self, limits: &Limits) -> Result<(), Error> {
        self.enable(&needs(&self.settings(limits)?))?;
        let group = self.seat.must_be_there()?;
        let settings = self.settings(limits)?.into_iter();
        let settings: Vec<_> = settings.map(|s| (group, s)).collect();
        change_all(&settings, || match limits.devices.is_empty() {
            true => Ok(()),
            false => devices::set(group, limits),
        })
    }

    fn delegate(&self, uid: Uid) -> Result<(), Error> {
        self.dir().map_or(Ok(()), |group| delegate(group, uid))
    }

    fn entrance(&self) -> Option<BorrowedFd<'_>> {
        self.dir().map(Directory::fd)
    }

    fn room_beside(&self, first: Pid, below: &Below) -> Result<Room, Error> {
        // In the runtime's groups instead it would be without limits.
        let group = self.seat.must_be_there()?;
        let entrance = match below {
            Below::Anywhere => entrance_beside(group, first)?,
            Below::Everywhere(path) => below::open(group, path)?.into_fd(),
            Below::Each(_) => {
                let first = below.controllers().remove(0);
                return Err(Error::UnknownController(first.into()));
            }
        };
        Ok(Room {
            entrance: Some(entrance),
            doors: Vec::new(),
        })
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

fn lacks(controllers: &str, need: &Need) -> bool {
    !controllers.split_whitespace().any(|c| c == need.controller)
}

fn entrance_beside(group: &Directory, first: Pid) -> Result<OwnedFd, Error> {
    let copy = |group: &Directory| {
        let fault = Error::call("open the group", group.path());
        let copied = group.fd().try_clone_to_owned();
        copied.map_err(|e| fault(errno(e)))
    };
    if group.text("cgroup.subtree_control")?.trim().is_empty() {
        return copy(group);
    }
    let mut found = None;
    group.walk(|_, _, below| {
        if below.members()?.contains(&first.as_raw()) {
            found = Some(copy(below)?);
        }
        Ok(())
    })?;
    // A first process that has ended has no place: then the kernel says why nobody may come in.
    found.map_or_else(|| copy(group), Ok)
}

/// Enables in `above` the controllers that groups below it need, and the others where that can be:
/// what limits nothing still counts, and tells who was killed for want of memory.
fn pass_on(above: &Directory, needs: &[Need]) -> Result<(), Error> {
    const FILE: &str = "cgroup.subtree_control";
    let enabled = above.text(FILE)?;
    let available = above.text("cgroup.controllers")?;
    if let Some(none) = needs.iter().find(|n| lacks(&available, n)) {
        return Err(none.is_missing("v2"));
    }
    let enabled: Vec<&str> = enabled.split_whitespace().collect();
    let missing = available.split_whitespace();
    let missing = missing.filter(|name| !enabled.contains(name));
    let commands: Vec<String> = missing.map(|name| format!("+{name}")).collect();
    if commands.is_empty() || above.write(FILE, &commands.join(" ")).is_ok() {
        return Ok(());
    }
    // One that cannot be enabled fails all that are written with it.
    for command in commands {
        let Err(errno) = above.write(FILE, &command) else {
            continue;
        };
        let Some(need) = needs.iter().find(|n| command[1..] == n.controller) else {
            continue;
        };
        return Err(match errno {
            // cgroups(7), "no internal processes".
            Errno::EBUSY => Error::InternalProcess {
                field: need.field,
                controller: need.controller.clone(),
                path: above.path().into(),
            },
            errno => Error::Limit {
                field: need.field,
                value: command,
                path: above.path().join(FILE),
                errno,
            },
        });
    }
    Ok(())
}
