//! The container's groups: where they lie, what they limit, and how they end.
//!
//! ```text
//! Hierarchies::detect()          what this host has
//! place(&Hierarchies, &GroupPath, &Id) -> Result<Box<dyn Group>, Error>
//!                                names the container's groups; makes nothing
//! group.paths()                  to be recorded before …
//! group.make(limits)             … the directories exist, with their limits, empty
//! group.entrance(), admit(pid)   the first process goes in: by clone3, and then by writing
//! reopen(&[PathBuf]) -> Result<Box<dyn Group>, Error>
//!                                a later command finds them by the recorded paths
//! ```
//!
//! On a hybrid host the v1 controllers limit, and the v2 hierarchy still gives `cgroup.kill` and the
//! freezer, so a container has a group in both.

mod error;
mod hierarchies;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use nix::unistd::Pid;

use crate::spec::limits::Limits;

pub use error::Error;
pub use hierarchies::{Hierarchies, Hierarchy};

/// What one container has in every hierarchy. Named is not made: see [`Group::make`].
pub trait Group: fmt::Debug {
    /// All directories of the container, as absolute paths of the host. They are known, and to be
    /// recorded, before [`Group::make`].
    fn paths(&self) -> Vec<PathBuf>;

    /// Makes the directories that are missing and sets the limits on the empty group.
    ///
    /// A group that is there may be used when it is empty and thawed: otherwise [`Error::InUse`] or
    /// [`Error::Frozen`]. On an error what was made is left for [`Group::remove`].
    fn make(&mut self, limits: &Limits) -> Result<(), Error>;

    /// The v2 directory, for `CLONE_INTO_CGROUP`. `None` before [`Group::make`] or without v2.
    fn entrance(&self) -> Option<BorrowedFd<'_>>;

    /// Puts `process` where `clone3` could not: into the v1 hierarchies.
    fn admit(&self, process: Pid) -> Result<(), Error>;

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

    /// Removes the directories and the groups that the container made below them. Kills nothing: a
    /// group that stays in use is an error, one that is gone is not.
    fn remove(&self) -> Result<(), Error>;
}

/// Names the groups of a container.
pub fn place(
    _: &Hierarchies,
    _: &crate::spec::limits::GroupPath,
    _: &crate::spec::Id,
) -> Result<Box<dyn Group>, Error> {
    Err(Error::NoHierarchy)
}

/// Finds the groups of a record.
pub fn reopen(_: &[PathBuf]) -> Result<Box<dyn Group>, Error> {
    Err(Error::NoHierarchy)
}
