//! One act of the child, ready to be carried out: everything in it is opened, compiled and
//! allocated.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use super::seccomp::Program;
use crate::spec::container::NodeKind;
use crate::spec::mounts::{Attributes, FsOption};
use crate::spec::numbers::Numbers;
use crate::spec::overlay::Overlay as Asked;
use crate::spec::scheduling::{IoPriority, MemoryPolicy, Scheduler};
use crate::spec::units::{AbsPath, InRoot};
use crate::sys::exec::Words;
use crate::sys::identity::CapabilitySets;
use crate::sys::terminal::Size;

/// What the child does, in the order of the plan.
#[derive(Debug)]
pub enum Step {
    /// `PR_SET_PDEATHSIG`: a runtime that is killed takes an unfinished container along.
    DieWithRuntime,
    /// The container is on its own from here on.
    OutliveRuntime,
    /// Written by the child itself: its /proc still is the host's.
    OomScore(CString),
    Join(Join),
    /// Enter namespaces of a process, all at once.
    Enter(Enter),
    /// Wait for the runtime.
    Gate(Gate),
    /// Others may not look into the process any more; its maps are written.
    BecomeUndumpable,
    /// Become user and group 0 of the new user namespace.
    BecomeRoot,
    /// Enter the groups that clone could not make it be born in.
    JoinGroups,
    /// `CLONE_NEW*` bits of namespaces that clone could not make.
    Unshare(u64),
    /// A pid namespace is for children, and one of a user namespace is for who is in that: the rest is
    /// done by a new process in the place of this one, with namespaces of these `CLONE_NEW*` bits.
    HandOver(u64),
    /// A line for the clocks of the time namespace that children will live in.
    Clock(CString),
    /// In the network namespace that the child was born in or made.
    SetUpLoopback,
    NewSession,
    NewKeyring(CString),
    /// `MS_*` flags for every mount of the copied namespace.
    Propagate(u64),
    /// `pivot_root` refuses a parent mount that is shared.
    PrivateParent(CString),
    /// `at` is where it is attached: over itself, for a container that is made.
    AttachRoot {
        tree: Tree,
        at: CString,
    },
    /// In the place of AttachRoot: the root is stacked here and now.
    AttachOverlay(Overlay),
    Mount(Mount),
    Node(Node),
    /// The text of the link, and where it lies.
    Link {
        text: CString,
        at: InRoot,
        replace: bool,
    },
    Mask {
        path: InRoot,
        /// What SELinux calls the empty directory.
        label: Option<CString>,
    },
    ReadOnly(InRoot),
    Remount(Remount),
    /// Attributes for a mount that had to be writable while things were put into it.
    Seal {
        target: InRoot,
        attributes: Attributes,
    },
    Hook(Hook),
    /// Enter the new root for good. `shared`: keep the host from seeing the old one go.
    Pivot {
        shared: bool,
    },
    /// For roots that cannot be pivoted to, such as an initramfs. What shows the whole of /proc or
    /// /sys elsewhere goes first: it would let a user namespace mount another unmasked one.
    MoveRoot {
        views: Vec<CString>,
    },
    /// `MS_*` flags for the new root.
    RootPropagation(u64),
    ReadOnlyRoot,
    Hostname(CString),
    Domainname(CString),
    Sysctl {
        key: String,
        path: CString,
        value: CString,
    },
    Personality(u64),
    Rlimit {
        name: &'static str,
        resource: u32,
        soft: u64,
        hard: u64,
    },
    /// Keep the host's /proc at hand.
    HoldProc,
    /// An AppArmor profile for the program.
    Profile(CString),
    /// An SELinux label; an empty one takes the last one back.
    Label {
        what: Labelled,
        label: CString,
    },
    /// Of these processors; `EINVAL` where none of them is there.
    Affinity(Numbers),
    Scheduler(Scheduler),
    IoPriority(IoPriority),
    MemoryPolicy(MemoryPolicy),
    MakeWorkingDir(InRoot),
    Terminal(Terminal),
    /// For stdin, stdout and stderr.
    Standard(OwnedFd),
    /// Give pipes on stdin, stdout and stderr to the container's user.
    OwnPipes {
        uid: u32,
    },
    /// Close what is from this number on, but for what leads to the runtime and to nothing else: the
    /// channel, the gate of `start`, the state for hooks.
    CloseFrom(u32),
    /// Bits of the capabilities to keep.
    Bound(u64),
    BecomeUser {
        uid: u32,
        gid: u32,
        groups: OtherGroups,
    },
    Capabilities {
        sets: CapabilitySets,
        ambient: u64,
    },
    Umask(u32),
    /// `again`: as the container's user, if root was not let in (a root-squashing NFS).
    EnterWorkingDir {
        path: CString,
        again: bool,
    },
    /// Which of the candidates is the program: the first that may be executed.
    FindProgram(Candidates),
    NoNewPrivileges,
    /// Wait until `start` opens the gate.
    AwaitStart,
    Seccomp(Program),
    Execute {
        args: Words,
        env: Words,
    },
}

/// What has an SELinux label of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labelled {
    Program,
    Keys,
}

impl Labelled {
    /// In /proc (selinux(8)).
    pub fn file(self) -> &'static CStr {
        match self {
            Self::Program => c"thread-self/attr/exec",
            Self::Keys => c"thread-self/attr/keycreate",
        }
    }
}

/// A namespace that exists and is entered.
#[derive(Debug)]
pub struct Join {
    pub namespace: OwnedFd,
    pub kind: Kind,
    pub path: CString,
}

/// Where somebody lives.
#[derive(Debug)]
pub struct Enter {
    /// A pidfd.
    pub process: OwnedFd,
    /// `CLONE_NEW*` bits of the kinds to enter.
    pub namespaces: u64,
}

/// A pseudo terminal of the container's own devpts.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// The user of the process.
    pub owner: u32,
    pub size: Option<Size>,
    /// Whether it is /dev/console, too.
    pub console: bool,
}

/// The kinds of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Pid,
    Network,
    Mount,
    Ipc,
    Uts,
    Cgroup,
    Time,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::User,
        Self::Mount,
        Self::Pid,
        Self::Network,
        Self::Ipc,
        Self::Uts,
        Self::Cgroup,
        Self::Time,
    ];

    /// The `CLONE_NEW*` bit.
    pub fn bit(self) -> u64 {
        let bit = match self {
            Self::User => libc::CLONE_NEWUSER,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Network => libc::CLONE_NEWNET,
            Self::Mount => libc::CLONE_NEWNS,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Time => libc::CLONE_NEWTIME,
        };
        u64::from(bit.cast_unsigned())
    }

    /// In /proc/PID/ns.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Mount => "mnt",
            kind => kind.name(),
        }
    }

    /// As config.json names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Mount => "mount",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }
}

/// The names of the kinds in a word of `CLONE_NEW*` bits.
pub fn kinds(bits: u64) -> impl Iterator<Item = &'static str> {
    Kind::ALL
        .into_iter()
        .filter(move |kind| bits & kind.bit() != 0)
        .map(Kind::name)
}

/// Where the child waits until the runtime has done its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// systemd has made the container's group around the process.
    Grouped,
    /// The runtime has taken the new process in the place of the first.
    Adopted,
    /// The id maps of the new user namespace are written.
    Mapped,
    /// The interfaces of `linux.netDevices` are in its network namespace.
    Connected,
    /// The hooks of the runtime's side have run.
    Hooked,
    /// The record names the process.
    Recorded,
}

impl Gate {
    /// What goes over the channel.
    pub fn byte(self) -> u8 {
        self as u8 + 1
    }

    /// Whether the child says that it has come here. It saves a wake-up where the runtime acts
    /// ahead and does not need to know.
    pub fn is_told(self) -> bool {
        matches!(self, Self::Connected | Self::Hooked | Self::Recorded)
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        const ALL: [Gate; 6] = [
            Gate::Grouped,
            Gate::Adopted,
            Gate::Mapped,
            Gate::Connected,
            Gate::Hooked,
            Gate::Recorded,
        ];
        ALL.into_iter().find(|gate| gate.byte() == byte)
    }
}

/// A part of the host's tree.
#[derive(Debug)]
pub struct Tree {
    pub path: CString,
    pub recursive: bool,
    /// Already cloned by the runtime, where the child in its user namespace may not reach the path.
    pub opened: Option<OwnedFd>,
    /// What it shows other ids by, in words.
    pub ids: Option<String>,
}

/// Directories of the host that are stacked to one. The child opens them itself: a layer has to be on a
/// mount of the namespace that it is stacked in (`clone_private_mount` in the kernel's fs/namespace.c).
#[derive(Debug)]
pub struct Overlay {
    /// Top first, as the kernel takes them.
    pub layers: Vec<CString>,
    /// The upper directory and the kernel's workshop beside it; `None`: nothing can be written.
    pub changes: Option<(CString, CString)>,
    pub userxattr: bool,
    /// Where it is attached.
    pub at: CString,
    /// The kernel takes one layer after the other ([`super::Host::appends_layers`]).
    pub appends: bool,
}

impl Overlay {
    pub fn new(asked: &Asked, at: &Path, appends: bool) -> Self {
        let path = |path: &AbsPath| path.as_c_str().to_owned();
        let changes = asked.changes.as_ref();
        Self {
            layers: asked.layers.iter().rev().map(path).collect(),
            changes: changes.map(|changes| (path(&changes.upper), path(&changes.work))),
            userxattr: asked.userxattr,
            at: super::root::c_path(at),
            appends,
        }
    }
}

#[derive(Debug)]
pub struct Mount {
    pub source: Source,
    pub target: InRoot,
    pub attributes: Attributes,
    pub recursive: Attributes,
    /// `MS_*` flags, in order.
    pub propagation: Vec<u64>,
    pub copy_up: bool,
    /// A tmpfs gets the mode of the directory it covers, if there is one.
    pub keep_mode: bool,
    pub rule: TargetRule,
}

/// Changes to what is mounted at a target by now.
#[derive(Debug)]
pub struct Remount {
    pub target: InRoot,
    pub attributes: Attributes,
    pub recursive: Attributes,
    /// For the filesystem, which other mounts of it share.
    pub options: Vec<FsOption>,
}

#[derive(Debug)]
pub enum Source {
    /// A new filesystem.
    New {
        kind: CString,
        source: Option<CString>,
        options: Vec<FsOption>,
    },
    Bind(Tree),
}

/// What the target may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetRule {
    /// Anything that is not inside a procfs (CVE-2019-19921: a write to a faked file there
    /// misleads the runtime itself).
    NotProc,
    /// One of the files below /proc that may be covered, such as /proc/meminfo.
    InProc,
    /// A directory that no link leads to: /sys (CVE-2023-27561).
    NoLinks,
    /// /proc itself: the same, and nothing but a procfs may cover it (CVE-2019-16884).
    Proc,
}

/// A node to make.
#[derive(Debug)]
pub struct Node {
    pub at: InRoot,
    pub kind: NodeKind,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Node {
    /// Kind and permission bits as `mknod(2)` takes them.
    pub fn mode_word(&self) -> u32 {
        let kind = match self.kind {
            NodeKind::Char => libc::S_IFCHR,
            NodeKind::Block => libc::S_IFBLK,
            NodeKind::Fifo => libc::S_IFIFO,
        };
        kind | self.mode
    }

    pub fn device(&self) -> u64 {
        libc::makedev(self.major, self.minor)
    }
}

/// A program of the host or of the image that is told the state of the container.
#[derive(Debug)]
pub struct Hook {
    pub point: &'static str,
    pub index: usize,
    pub path: CString,
    pub args: Words,
    pub env: Words,
    pub timeout: Option<Duration>,
    /// Entered before the path is resolved; `None`: it stays where whoever runs it is.
    pub dir: Option<CString>,
    /// Loaded last: a program of the image has no more power as a hook than as the container.
    pub filter: Option<Program>,
}

impl Hook {
    /// With its words ready for execve.
    pub fn new(point: &'static str, index: usize, hook: &crate::spec::container::Hook) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let c = |text: &[u8]| CString::new(text).expect("checked: no NUL");
        let words = |list: &[String]| Words::new(list.iter().map(|w| c(w.as_bytes())).collect());
        Self {
            point,
            index,
            path: c(hook.path.as_os_str().as_bytes()),
            args: words(&hook.args),
            env: words(&hook.env),
            timeout: hook.timeout,
            dir: None,
            filter: None,
        }
    }
}

/// Where the program may lie.
#[derive(Debug)]
pub struct Candidates {
    /// What `args[0]` says.
    pub name: CString,
    /// Full paths, in the order of PATH; one where the name has a slash.
    pub candidates: Vec<CString>,
}

/// What becomes of the runtime's supplementary groups (setgroups(2)).
#[derive(Clone, Debug)]
pub enum OtherGroups {
    /// They stay: the kernel forbids `setgroups` (user_namespaces(7)).
    Stay,
    /// These take their place.
    Are(Vec<u32>),
    /// None takes their place, or they stay where the namespace that was joined forbids it.
    NoneIfAllowed,
}
