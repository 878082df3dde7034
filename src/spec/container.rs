//! What was asked, checked once: the first noun.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::PathBuf;
use std::time::Duration;

use super::intel_rdt::IntelRdt;
use super::limits::{GroupPath, Limits};
use super::mounts::{Mount, Propagation};
use super::net_devices::NetDevice;
use super::overlay::Overlay;
use super::scheduling::{Affinity, IoPriority, MemoryPolicy, Scheduler};
use super::seccomp::Profile;
use super::units::{AbsPath, InRoot};
use crate::sys::terminal::Size;

/// A container as config.json describes it, with nothing left to check but the host.
#[derive(Clone, Debug)]
pub struct Container {
    /// `ociVersion`, as written.
    pub oci_version: String,
    pub root: Root,
    /// Absent only for `create` without a process; `start` then refuses.
    pub process: Option<Process>,
    pub hostname: Option<CString>,
    pub domainname: Option<CString>,
    pub mounts: Vec<Mount>,
    pub namespaces: Namespaces,
    /// Ids inside a new user namespace. Beside one that is joined they only say what it has.
    pub id_maps: IdMaps,
    pub time_offsets: Option<TimeOffsets>,
    /// The document's own, not the default ones that every /dev gets.
    pub devices: Vec<Device>,
    pub intel_rdt: Option<IntelRdt>,
    pub net_devices: Vec<NetDevice>,
    pub sysctls: Vec<Sysctl>,
    pub masked_paths: Vec<InRoot>,
    pub readonly_paths: Vec<InRoot>,
    pub personality: Option<Personality>,
    pub memory_policy: Option<MemoryPolicy>,
    /// What SELinux calls the files of new filesystems.
    pub mount_label: Option<CString>,
    pub seccomp: Option<Profile>,
    pub group_path: GroupPath,
    pub limits: Limits,
    pub hooks: Hooks,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Root {
    /// Absolute: a relative `root.path` is taken from the bundle. Links in it are resolved.
    pub path: PathBuf,
    /// What is mounted at the path, in the container alone; `None`: it is the directory itself.
    pub overlay: Option<Overlay>,
    pub readonly: bool,
    /// `linux.rootfsPropagation`; `None`: the host's mounts reach in, none reach out (rslave).
    pub propagation: Option<Propagation>,
}

#[derive(Clone, Debug)]
pub struct Process {
    /// Whether its standard descriptors are a terminal of its own.
    pub terminal: Option<Terminal>,
    /// Never empty.
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: AbsPath,
    pub user: User,
    pub capabilities: Capabilities,
    pub rlimits: Vec<Rlimit>,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
    /// Never empty, as the labels.
    pub apparmor_profile: Option<CString>,
    pub selinux_label: Option<CString>,
    pub scheduler: Option<Scheduler>,
    pub io_priority: Option<IoPriority>,
    /// Heeded where it joins a container.
    pub exec_affinity: Affinity,
}

impl Process {
    /// Takes on what `first`, the container's own process, has and this one says nothing of, as under
    /// runc: a process that joins is not less confined for being described in brief.
    pub fn inherit(&mut self, first: &Self, has_capabilities: bool) {
        fn fill<T: Clone>(own: &mut Option<T>, other: &Option<T>) {
            if own.is_none() {
                own.clone_from(other);
            }
        }
        fill(&mut self.apparmor_profile, &first.apparmor_profile);
        fill(&mut self.selinux_label, &first.selinux_label);
        fill(&mut self.oom_score_adj, &first.oom_score_adj);
        fill(&mut self.scheduler, &first.scheduler);
        fill(&mut self.io_priority, &first.io_priority);
        if self.exec_affinity == Affinity::default() {
            self.exec_affinity.clone_from(&first.exec_affinity);
        }
        if self.rlimits.is_empty() {
            self.rlimits.clone_from(&first.rlimits);
        }
        if !has_capabilities {
            self.capabilities = first.capabilities;
        }
    }

    /// Sets a variable of the environment: `NAME=value`, in the place of whatever the document says.
    pub fn set_variable(&mut self, variable: CString) {
        let name = |text: &CString| {
            text.to_bytes()
                .split(|byte| *byte == b'=')
                .next()
                .map(<[u8]>::to_vec)
        };
        let own = name(&variable);
        self.env.retain(|other| name(other) != own);
        self.env.push(variable);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// `consoleSize`; `None` leaves it to whoever looks at it.
    pub size: Option<Size>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    pub umask: Option<u32>,
}

/// The five sets, as bits of the kernel's numbering. A name the kernel or we do not know is left
/// out with a warning, as runc does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub bounding: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub permitted: u64,
    pub ambient: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_*` number of this architecture.
    pub resource: u32,
    /// `NOFILE` and the like.
    pub name: &'static str,
    pub soft: u64,
    pub hard: u64,
}

/// Each kind of namespace is shared with the runtime, made anew or joined.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    pub pid: Namespace,
    pub network: Namespace,
    pub mount: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub user: Namespace,
    pub cgroup: Namespace,
    pub time: Namespace,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespace {
    #[default]
    Share,
    New,
    Join(AbsPath),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    pub uids: Vec<IdMap>,
    pub gids: Vec<IdMap>,
}

impl IdMaps {
    /// Whether no other group is mapped than this one: who has no CAP_SETGID outside may map his own alone,
    /// and only after giving up `setgroups` (user_namespaces(7)).
    pub fn have_only_group(&self, gid: u32) -> bool {
        matches!(self.gids[..], [map] if map.size == 1 && map.host == gid)
    }
}

/// `size` ids from `container` inside are those from `host` outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    pub container: u32,
    pub host: u32,
    pub size: u32,
}

/// A map as `uid_map` takes it (user_namespaces(7)): a line a range.
pub fn map_text(maps: &[IdMap]) -> String {
    let line = |map: &IdMap| format!("{} {} {}\n", map.container, map.host, map.size);
    maps.iter().map(line).collect()
}

/// How far the clocks of a new time namespace are from the host's: seconds, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOffsets {
    pub monotonic: Option<(i64, u32)>,
    pub boottime: Option<(i64, u32)>,
}

impl TimeOffsets {
    /// As `timens_offsets` takes them (time_namespaces(7)): a line a clock.
    pub fn lines(self) -> impl Iterator<Item = CString> {
        let clocks = [("monotonic", self.monotonic), ("boottime", self.boottime)];
        let line = |(clock, offset): (&str, Option<(i64, u32)>)| {
            let (seconds, nanoseconds) = offset?;
            CString::new(format!("{clock} {seconds} {nanoseconds}\n")).ok()
        };
        clocks.into_iter().filter_map(line)
    }
}

/// A node to make below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub path: InRoot,
    pub kind: NodeKind,
    pub major: u32,
    pub minor: u32,
    /// Permission bits; 0666 where the document is silent.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Char,
    Block,
    Fifo,
}

/// `net.ipv4.ip_forward` and its value; only keys of a namespace the container has to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    pub key: String,
    pub value: String,
}

/// What `personality(2)` is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    Linux,
    Linux32,
}

/// The six points, each in the order of the document.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    pub prestart: Vec<Hook>,
    pub create_runtime: Vec<Hook>,
    pub create_container: Vec<Hook>,
    pub start_container: Vec<Hook>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

/// A program to run, with the container's state on its standard input.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hook {
    /// Absolute.
    pub path: PathBuf,
    /// The whole argv; the path alone where the document gives none.
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub timeout: Option<Duration>,
}
