//! The container's groups: where they lie, what they limit, and how they end.
//!
//! ```text
//! Hierarchies::detect()          what this host has
//! place(&Hierarchies, &GroupPath, &Id) -> Result<Box<dyn Group>, Error>
//!                                names the container's groups; makes nothing
//! group.paths()                  to be recorded before …
//! group.make(limits, None)       … the directories exist, with their limits, empty
//! group.entrance(), doors()      the first process goes in: by clone3, and then by writing
//! reopen(&[PathBuf], Option<&Unit>) -> Result<Box<dyn Group>, Error>
//!                                a later command finds them by the recorded paths
//! ```
//!
//! Where systemd makes the groups (`place_unit`), it makes them around a process: the first one waits
//! at a gate, and then it is `group.make(limits, Some(pid))`.
//!
//! On a hybrid host the v1 controllers limit, and the v2 hierarchy still gives `cgroup.kill` and the
//! freezer, so a container has a group in both.

mod below;
mod device_program;
mod devices;
mod directory;
mod error;
mod flags;
mod hierarchies;
mod oom;
mod removal;
pub mod resctrl;
mod seat;
mod settings;
pub mod stats;
mod systemd;
mod unified;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::unistd::{Pid, Uid};

use crate::spec::Id;
use crate::spec::limits::{GroupPath, Limits};
use crate::spec::unit::Unit;
use directory::Directory;
use seat::Seat;
pub use stats::Stats;
use systemd::Systemd;
use v1::V1;
use v2::V2;

pub use below::Below;
pub use devices::DeviceGuard;
pub use error::Error;
pub use flags::HierarchyFlags;
pub use hierarchies::{Hierarchies, Hierarchy};
pub use oom::OomWatch;

/// For one process more: see [`Group::entrance`] and [`Group::doors`].
#[derive(Debug, Default)]
pub struct Room {
    pub entrance: Option<OwnedFd>,
    pub doors: Vec<OwnedFd>,
}

/// What one container has in every hierarchy. Named is not made: see [`Group::make`].
pub trait Group: fmt::Debug {
    /// All directories of the container, as absolute paths of the host. They are known, and to be
    /// recorded, before [`Group::make`].
    fn paths(&self) -> Vec<PathBuf>;

    /// Refuses a group that is there and has processes ([`Error::InUse`]) or is frozen
    /// ([`Error::Frozen`]): it is another's. To be asked before the paths are recorded, since what
    /// is recorded is killed and removed in the end.
    fn check_unused(&self) -> Result<(), Error>;

    /// The unit of systemd that the group is. It can be made only with a newcomer.
    fn unit(&self) -> Option<&Unit> {
        None
    }

    /// Makes the directories that are missing and sets the limits on the empty group, or on the one
    /// with `newcomer` alone, who is moved in. Refuses as [`Group::check_unused`] does. On another
    /// error what was made is left for [`Group::remove`].
    fn make(&mut self, limits: &Limits, newcomer: Option<Pid>) -> Result<(), Error>;

    /// Sets the limits that are given on a group in use, and leaves the others as they are. Device
    /// rules replace those before; without any they stay.
    fn update(&self, limits: &Limits) -> Result<(), Error>;

    /// Lets user `uid` make groups below the container's, and move processes among them: makes him the
    /// owner of the v2 directory and of the files that the kernel lists for it. Nothing on v1.
    fn delegate(&self, uid: Uid) -> Result<(), Error>;

    /// The v2 directory, for `CLONE_INTO_CGROUP`. `None` before [`Group::make`] or without v2.
    fn entrance(&self) -> Option<BorrowedFd<'_>>;

    /// Where a process goes that comes later than `first`, the container's first one: where the v2 group
    /// passes controllers on, and so may have no processes of its own (cgroups(7), "no internal
    /// processes"), it goes to the group below in which the first one is. Unless `below` says where.
    fn room_beside(&self, first: Pid, below: &Below) -> Result<Room, Error>;

    /// Where the process goes in that `clone3` could not put it: the `tasks` files of its v1 groups.
    /// The process itself, while it has one thread, writes `0` to each. Whoever moves another
    /// process, or moves one by `cgroup.procs`, takes a lock that waits for an RCU grace period, 5
    /// to 10 ms; a thread that moves itself does not (Linux 5.16, cgroup_procs_write_start).
    fn doors(&self) -> Result<Vec<OwnedFd>, Error>;

    /// Every process in the group and below it, as this pid namespace counts them. A group that is
    /// gone has none.
    fn pids(&self) -> Result<Vec<Pid>, Error>;

    /// Sends SIGKILL to every process in the group and below it, frozen or not. They may still be
    /// dying on return.
    fn kill(&self) -> Result<(), Error>;

    /// Stops every process in the group and below it; returns when they have stopped.
    fn freeze(&self) -> Result<(), Error>;

    fn thaw(&self) -> Result<(), Error>;

    /// Whether [`Group::freeze`] is in force. A group that is gone is not frozen.
    fn is_frozen(&self) -> Result<bool, Error>;

    /// How many processes the kernel has killed here for want of memory. 0 when the group is gone or
    /// memory is not accounted.
    fn oom_kills(&self) -> Result<u64, Error>;

    /// A watch for the OOM killer's next act here; `None` where memory is not accounted.
    fn watch_oom(&self) -> Result<Option<OomWatch<'_>>, Error>;

    /// What the kernel has counted. A group that is gone counts nothing.
    fn stats(&self) -> Result<Stats, Error>;

    /// Removes the directories and the groups that the container made below them. Kills nothing: a
    /// group that stays in use is an error, one that is gone is not.
    fn remove(&self) -> Result<(), Error>;
}

/// Names the groups of container `id`; makes nothing.
///
/// Paths are as runc has them. Absolute: below the root of each hierarchy. Relative: on v1 below the
/// runtime's own group; on v2 beside it, since a v2 group with processes can have no limited groups
/// below. Default: the same with the id for a path. `..` stops at the root. The runtime's own group
/// and those above it are refused ([`Error::OwnGroup`]).
pub fn place(
    hierarchies: &Hierarchies,
    path: &GroupPath,
    id: &Id,
) -> Result<Box<dyn Group>, Error> {
    Ok(match hierarchies {
        Hierarchies::V2(one) => Box::new(V2::new(Seat::beside_own(one, path, id)?)),
        Hierarchies::V1 {
            controllers,
            unified,
        } => Box::new(V1::place(controllers, unified.as_ref(), path, id)?),
    })
}

/// Names the groups of `unit`, which systemd will make for container `id`; makes nothing. What the
/// annotations ask of the unit (`org.systemd.property.NAME`) is checked here.
pub fn place_unit(
    hierarchies: &Hierarchies,
    unit: Unit,
    id: &Id,
    annotations: &BTreeMap<String, String>,
) -> Result<Box<dyn Group>, Error> {
    let group = Systemd::place(hierarchies, unit, id, annotations)?;
    Ok(Box::new(group))
}

/// Whether this process may have a program decide on devices ([`DeviceGuard::Program`]): loads one and
/// lets go of it.
pub fn try_device_program() -> Result<(), Error> {
    v2::devices::load(&[]).map(drop)
}

/// The groups at recorded `paths`, and the unit that they are. One that is gone is fine; a path that
/// is no longer on a cgroup filesystem is [`Error::NotAGroup`].
pub fn reopen(paths: &[PathBuf], unit: Option<&Unit>) -> Result<Box<dyn Group>, Error> {
    let mut seats = Vec::with_capacity(paths.len());
    for path in paths {
        seats.push(Seat::reopen(path)?);
    }
    let is_v2 = |seat: &Seat| seat.dir().is_some_and(Directory::is_v2);
    let group: Box<dyn Group> = match <[Seat; 1]>::try_from(seats) {
        Ok([one]) if is_v2(&one) => Box::new(V2::new(one)),
        seats => {
            let seats = seats.map_or_else(|several| several, Vec::from);
            Box::new(V1::reopen(seats, unit.is_some()))
        }
    };
    Ok(match unit {
        Some(unit) => Box::new(Systemd::reopen(unit.clone(), group)),
        None => group,
    })
}
