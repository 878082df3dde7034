//! What planning needs to know of this host.

use std::path::PathBuf;

use crate::spec::unit::Unit;
use crate::sys::identity::CapabilitySets;

/// Facts, found once.
#[derive(Clone, Debug)]
pub struct Host {
    /// The runtime's effective user.
    pub uid: u32,
    /// And group.
    pub gid: u32,
    /// The runtime's own sets: what it cannot give, a container cannot get.
    pub capabilities: CapabilitySets,
    /// The runtime's user namespace denies `setgroups`, and so do those below it
    /// (user_namespaces(7)).
    pub denies_setgroups: bool,
    pub has_apparmor: bool,
    pub has_selinux: bool,
    /// The runtime itself is in a user namespace: the kernel lets no root of one make devices.
    pub in_user_namespace: bool,
    /// Overlay takes layers one by one (`lowerdir+`, Linux 6.7); before, all in one string of a page.
    pub appends_layers: bool,
    /// Whether there is a /proc/kcore for /dev/core to name.
    pub has_kcore: bool,
    pub groups: Groups,
    /// The unit that systemd will make around the process; then the groups are the unit's.
    pub unit: Option<Unit>,
}

/// What a mount of type `cgroup` shows in a container.
#[derive(Clone, Debug)]
pub enum Groups {
    /// Nothing: the host has none, or nobody asks.
    Disabled,
    /// One hierarchy.
    V2 {
        /// The container's group, or the one it stays in.
        group: PathBuf,
        /// The group is the container's, and not the runtime's.
        owned: bool,
    },
    /// A directory for each hierarchy.
    V1 {
        hierarchies: Vec<Hierarchy>,
        /// Names by which single controllers are known beside that of their hierarchy: (text of
        /// the link, name).
        links: Vec<(String, String)>,
        /// The process has to go in by itself: clone reaches only v2.
        has_doors: bool,
    },
}

/// A cgroup v1 hierarchy.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    /// `cpu,cpuacct`, `systemd`: the directory under /sys/fs/cgroup.
    pub name: String,
    /// What the filesystem is mounted with: `cpu`, `cpuacct`, or `none` and `name=systemd`.
    pub options: Vec<String>,
    /// The container's group, or the one it stays in.
    pub group: PathBuf,
    /// The group is the container's, and not the runtime's.
    pub owned: bool,
}
