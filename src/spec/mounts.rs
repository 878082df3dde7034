//! `mounts`: what is to be mounted where, and with which attributes.

use std::ffi::CString;

use super::units::{AbsPath, InRoot};

/// One entry of `mounts`.
#[derive(Clone, Debug)]
pub struct Mount {
    pub target: InRoot,
    pub what: What,
    /// Attributes of this mount alone.
    pub attributes: Attributes,
    /// The `r*` options: attributes of this mount and of all below it (`mount_setattr` with
    /// `AT_RECURSIVE`).
    pub recursive: Attributes,
    /// Applied in order after the mount is in place.
    pub propagation: Vec<Propagation>,
    /// Copy what the root has at the target into a fresh tmpfs (`tmpcopyup`).
    pub copy_up: bool,
}

#[derive(Clone, Debug)]
pub enum What {
    /// A part of the host's tree.
    Bind { source: AbsPath, recursive: bool },
    /// A new filesystem, or one by its device.
    Filesystem(Filesystem),
    /// The container's own groups: what is mounted depends on the host's hierarchies.
    Cgroup,
}

#[derive(Clone, Debug)]
pub struct Filesystem {
    /// As the kernel names it: `tmpfs`, `proc`, `ext4`.
    pub kind: CString,
    /// `source`, where given.
    pub source: Option<CString>,
    /// For the superblock: options that are no mount attribute, in order.
    pub options: Vec<FsOption>,
}

/// One call of `fsconfig(2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsOption {
    /// `newinstance`
    Flag(CString),
    /// `mode=755`
    Value(CString, CString),
}

/// Bits of `MOUNT_ATTR_*` (`mount_setattr(2)`) to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
}

/// How mount events travel, for one mount or with all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    pub kind: PropagationKind,
    pub recursive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationKind {
    Private,
    Slave,
    Shared,
    Unbindable,
}
