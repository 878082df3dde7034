//! A container's groups on a host with v1 controllers, and in the v2 hierarchy beside them.

mod block_io;
mod devices;
mod groups;
pub(super) mod limits;
mod memory;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::{Pid, Uid};

use super::devices::DeviceGuard;
use super::directory::Directory;
use super::seat::Seat;
use super::settings::{change_all, put_all};
use super::stats::read_v1;
use super::unified::{self, FREEZE_PATIENCE, kill_all, kill_each, value_of};
use super::v2::{self, V2};
use super::{Below, Error, Group, Hierarchies, Hierarchy, OomWatch, Room, Stats, below};
use crate::spec::Id;
use crate::spec::limits::{DeviceRule, GroupPath, Limits};
use groups::Groups;

/// Controllers in whose hierarchies every container has a group, as in runc: they limit, count or
/// guard, and an update can set what the document has not. Each costs some 0.2 ms.
const ALWAYS: [&str; 11] = [
    "memory", "pids", "devices", "cpu", "cpuacct", "cpuset", "blkio", "hugetlb", "net_cls",
    "net_prio", "rdma",
];

#[derive(Debug)]
pub(super) struct V1 {
    unified: Option<V2>,
    /// Controllers that only the v2 hierarchy has; unknown after [`super::reopen`].
    on_v2: String,
    seats: Vec<V1Seat>,
    /// Whether systemd has made the groups, and sets what it knows of them anew from time to time.
    is_unit: bool,
}

#[derive(Debug)]
struct V1Seat {
    /// Empty after [`super::reopen`], which knows only paths.
    controllers: Vec<String>,
    seat: Seat,
}

impl V1Seat {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

impl V1 {
    pub(super) fn place(
        controllers: &[Hierarchy],
        unified: Option<&Hierarchy>,
        path: &GroupPath,
        id: &Id,
    ) -> Result<Self, Error> {
        let wanted = |h: &&Hierarchy| {
            ALWAYS.iter().any(|c| h.has(c)) || h.has("freezer") && unified.is_none()
        };
        let seats = controllers.iter().filter(wanted).map(|hierarchy| {
            Ok(V1Seat {
                controllers: hierarchy.controllers.clone(),
                seat: Seat::below_own(hierarchy, path, id)?,
            })
        });
        let on_v2 = groups::on_v2(unified)?;
        let unified = unified.map(|h| Seat::below_own(h, path, id)).transpose()?;
        Ok(Self {
            unified: unified.map(V2::new),
            on_v2,
            seats: seats.collect::<Result<_, Error>>()?,
            is_unit: false,
        })
    }

    pub(super) fn reopen(seats: Vec<Seat>, is_unit: bool) -> Self {
        let is_v2 = |seat: &Seat| seat.dir().is_some_and(Directory::is_v2);
        let (unified, v1): (Vec<Seat>, Vec<Seat>) = seats.into_iter().partition(is_v2);
        let seats = v1.into_iter().map(|seat| V1Seat {
            controllers: Vec::new(),
            seat,
        });
        Self {
            unified: unified.into_iter().next().map(V2::new),
            on_v2: String::new(),
            seats: seats.collect(),
            is_unit,
        }
    }

    /// The same, made by systemd.
    pub(super) fn of_unit(self) -> Self {
        let is_unit = true;
        Self { is_unit, ..self }
    }

    /// At every daemon-reload systemd allows a unit's v1 group all devices that it was not told of, and
    /// it cannot be told of every rule: there the program on the v2 group guards.
    fn device_guard<'a>(&self, groups: &Groups<'a>) -> Result<DeviceGuard<&'a Directory>, Error> {
        if !self.is_unit {
            return groups.device_guard();
        }
        let program = groups.unified.map(DeviceGuard::Program);
        program.ok_or(Error::NotEnforceable {
            field: "linux.resources.devices",
            why: "systemd undoes it on cgroup v1, and there is no v2 hierarchy beside",
        })
    }

    fn unified(&self) -> Option<&Directory> {
        self.unified.as_ref().and_then(V2::dir)
    }

    fn open_seats(&self) -> impl Iterator<Item = &Directory> {
        self.seats.iter().filter_map(|s| s.seat.dir())
    }

    /// The group whose members are those of the container.
    fn roll(&self) -> Option<&Directory> {
        self.unified()
            .or_else(|| self.freezer())
            .or_else(|| self.open_seats().next())
    }

    fn freezer(&self) -> Option<&Directory> {
        self.open_seats().find(|dir| dir.has("freezer.state"))
    }

    /// Where it takes more than differences, nobody runs meanwhile: there is a moment when too much is
    /// allowed, or too little.
    fn change_devices(&self, group: &Directory, rules: &[DeviceRule]) -> Result<(), Error> {
        if devices::change(group, rules)? {
            return Ok(());
        }
        if self.is_frozen()? {
            return devices::replace(group, rules);
        }
        self.freeze()?;
        let result = devices::replace(group, rules);
        result.and(self.thaw())
    }
}

impl Group for V1 {
    fn paths(&self) -> Vec<PathBuf> {
        let unified = self.unified.iter().flat_map(Group::paths);
        unified
            .chain(self.seats.iter().map(|s| s.seat.path()))
            .collect()
    }

    fn check_unused(&self) -> Result<(), Error> {
        if let Some(unified) = &self.unified {
            unified.check_unused()?;
        }
        self.seats.iter().try_for_each(|s| s.seat.check_unused())
    }

    fn make(&mut self, limits: &Limits, newcomer: Option<Pid>) -> Result<(), Error> {
        let needs = groups::needs_of_v2(limits, self.unified.is_some(), &self.on_v2)?;
        if let Some(unified) = &mut self.unified {
            unified.make_bare(&needs, newcomer)?;
        }
        for one in &mut self.seats {
            let has_cpuset = one.has("cpuset");
            one.seat.make(newcomer, |above, below| match below {
                Some(below) if has_cpuset => limits::inherit_cpuset(above, below),
                _ => Ok(()),
            })?;
        }

        let v1 = self.seats.iter();
        let v1 = v1.filter_map(|s| Some((s.controllers.as_slice(), s.seat.dir()?)));
        let groups = Groups {
            v1: v1.collect(),
            unified: self.unified(),
            on_v2: &self.on_v2,
        };
        put_all(&groups.settings(limits)?)?;
        match self.device_guard(&groups)? {
            DeviceGuard::Controller(group) => devices::set(group, &limits.devices),
            DeviceGuard::Program(group) => v2::devices::set(group, limits),
        }
    }

    fn update(&self, limits: &Limits) -> Result<(), Error> {
        let hierarchies = Hierarchies::detect()?;
        let on_v2 = groups::on_v2(hierarchies.all().find(|h| h.controllers.is_empty()))?;
        let needs = groups::needs_of_v2(limits, self.unified.is_some(), &on_v2)?;
        if let Some(unified) = &self.unified {
            unified.enable(&needs)?;
        }

        let v1 = self.seats.iter().filter_map(|s| {
            let on = hierarchies.all().find(|h| h.shows(&s.seat.path()))?;
            Some((on.controllers.as_slice(), s.seat.dir()?))
        });
        let groups = Groups {
            v1: v1.collect(),
            unified: self.unified(),
            on_v2: &on_v2,
        };
        change_all(&groups.settings(limits)?, || {
            if limits.devices.is_empty() {
                return Ok(());
            }
            match self.device_guard(&groups)? {
                DeviceGuard::Controller(group) => self.change_devices(group, &limits.devices),
                DeviceGuard::Program(group) => v2::devices::set(group, limits),
            }
        })
    }

    fn delegate(&self, _: Uid) -> Result<(), Error> {
        Ok(())
    }

    fn entrance(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(Directory::fd)
    }

    fn room_beside(&self, first: Pid, below: &Below) -> Result<Room, Error> {
        // In the v2 hierarchy beside it is only held together.
        let unified = self.unified.as_ref();
        let room = unified.map(|group| group.room_beside(first, &Below::Anywhere));
        let room = room.transpose()?.unwrap_or_default();
        let mut unknown = below.controllers();
        let doors = self.seats.iter().map(|seat| {
            let group = seat.seat.must_be_there()?;
            below::open(group, below.within(group, &mut unknown)?)?.door()
        });
        let doors = doors.collect::<Result<_, _>>()?;
        match unknown.first() {
            Some(name) => Err(Error::UnknownController((*name).into())),
            None => Ok(Room { doors, ..room }),
        }
    }

    fn doors(&self) -> Result<Vec<OwnedFd>, Error> {
        self.open_seats().map(Directory::door).collect()
    }

    fn pids(&self) -> Result<Vec<Pid>, Error> {
        self.roll().map_or(Ok(Vec::new()), Directory::all_pids)
    }

    fn kill(&self) -> Result<(), Error> {
        match (self.unified(), self.freezer(), self.roll()) {
            (Some(group), _, _) => kill_all(group),
            (None, Some(group), _) => kill_each(group, freeze, thaw),
            (None, None, Some(group)) => {
                let cannot = |group: &Directory| Err(no_freezer(group));
                kill_each(group, cannot, |_| Ok(()))
            }
            (None, None, None) => Ok(()),
        }
    }

    fn freeze(&self) -> Result<(), Error> {
        match (self.unified(), self.freezer(), self.roll()) {
            (Some(group), _, _) => unified::freeze(group),
            (None, Some(group), _) => freeze(group),
            (None, None, Some(group)) => Err(no_freezer(group)),
            (None, None, None) => Ok(()),
        }
    }

    fn thaw(&self) -> Result<(), Error> {
        match (self.unified(), self.freezer()) {
            (Some(group), _) => unified::thaw(group),
            (None, Some(group)) => thaw(group),
            (None, None) => Ok(()),
        }
    }

    fn is_frozen(&self) -> Result<bool, Error> {
        match (self.unified(), self.freezer()) {
            (Some(group), _) => unified::is_frozen(group),
            (None, Some(group)) => Ok(group.text("freezer.state")?.trim() != "THAWED"),
            (None, None) => Ok(false),
        }
    }

    /// Only those in the container's own group, not in groups that it made below: v1 counts so.
    fn oom_kills(&self) -> Result<u64, Error> {
        for group in self.open_seats() {
            match group.read("memory.oom_control") {
                Ok(text) => return Ok(value_of(&text, "oom_kill").unwrap_or(0)),
                Err(Errno::ENOENT | Errno::ENODEV) => {}
                Err(errno) => {
                    let path = group.path().join("memory.oom_control");
                    return Err(Error::call("read", path)(errno));
                }
            }
        }
        self.unified.as_ref().map_or(Ok(0), Group::oom_kills)
    }

    fn watch_oom(&self) -> Result<Option<OomWatch<'_>>, Error> {
        for group in self.open_seats() {
            if let Some(watch) = OomWatch::v1(group)? {
                return Ok(Some(watch));
            }
        }
        self.unified().map_or(Ok(None), OomWatch::v2)
    }

    fn stats(&self) -> Result<Stats, Error> {
        read_v1(self.open_seats(), self.unified())
    }

    /// Goes on after an error, and tells of the first.
    fn remove(&self) -> Result<(), Error> {
        let mut result = self.unified.as_ref().map_or(Ok(()), Group::remove);
        for one in &self.seats {
            result = result.and(one.seat.remove());
        }
        result
    }
}

fn no_freezer(group: &Directory) -> Error {
    Error::call("freeze", group.path())(Errno::EOPNOTSUPP)
}

/// The v1 freezer has no event to wait for, and may stay at FREEZING when a process forks meanwhile:
/// writing again starts it over.
fn freeze(group: &Directory) -> Result<(), Error> {
    const FILE: &str = "freezer.state";
    let fault = || Error::call("freeze by", group.path().join(FILE));
    let deadline = Instant::now() + FREEZE_PATIENCE;
    loop {
        group.write(FILE, "FROZEN").map_err(fault())?;
        if group.text(FILE)?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > deadline {
            thaw(group)?;
            return Err(unified::restless(group));
        }
        sleep(Duration::from_millis(1));
    }
}

fn thaw(group: &Directory) -> Result<(), Error> {
    let path = group.path().join("freezer.state");
    match group.write("freezer.state", "THAWED") {
        // Gone: nobody is frozen any more.
        Ok(()) | Err(Errno::ENODEV | Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::call("thaw by", path)(errno)),
    }
}
