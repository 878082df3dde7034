//! One act of the child, ready to be carried out: everything in it is opened, compiled and
//! allocated.

use std::ffi::{CStr, CString};
use std::fmt::{self, Display};
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::seccomp::Program;
use crate::spec::container::NodeKind;
use crate::spec::mounts::{Attributes, FsOption};
use crate::spec::units::InRoot;
use crate::sys::exec::Words;
use crate::sys::identity::CapabilitySets;

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
    /// Wait for the runtime.
    Gate(Gate),
    /// Become user and group 0 of the new user namespace.
    BecomeRoot,
    /// `CLONE_NEW*` bits of namespaces that clone could not make.
    Unshare(u64),
    NewSession,
    NewKeyring(CString),
    /// `MS_*` flags for every mount of the copied namespace.
    Propagate(u64),
    /// `pivot_root` refuses a parent mount that is shared.
    PrivateParent(CString),
    AttachRoot(Tree),
    Mount(Mount),
    Node(Node),
    /// The text of the link, and where it lies.
    Link {
        text: CString,
        at: InRoot,
        replace: bool,
    },
    Mask(InRoot),
    ReadOnly(InRoot),
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
    /// For roots that cannot be pivoted to, such as an initramfs.
    MoveRoot,
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
    MakeWorkingDir(InRoot),
    /// Give pipes on stdin, stdout and stderr to the container's user.
    OwnPipes {
        uid: u32,
    },
    /// Close at exec what is from this number on.
    CloseFrom(u32),
    /// Bits of the capabilities to keep.
    Bound(u64),
    /// `groups` is `None` where the kernel forbids `setgroups` (user_namespaces(7)).
    BecomeUser {
        uid: u32,
        gid: u32,
        groups: Option<Vec<u32>>,
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

/// A namespace that exists and is entered.
#[derive(Debug)]
pub struct Join {
    pub namespace: OwnedFd,
    pub kind: Kind,
    pub path: CString,
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
    use Kind::{Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts};
    [User, Mount, Pid, Network, Ipc, Uts, Cgroup, Time]
        .into_iter()
        .filter(move |kind| bits & kind.bit() != 0)
        .map(Kind::name)
}

/// Where the child waits until the runtime has done its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The id maps of the new user namespace are written.
    Mapped,
    /// The process is in the groups that clone could not put it in.
    Admitted,
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
        matches!(self, Self::Hooked | Self::Recorded)
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Mapped, Self::Admitted, Self::Hooked, Self::Recorded]
            .into_iter()
            .find(|gate| gate.byte() == byte)
    }
}

/// A part of the host's tree.
#[derive(Debug)]
pub struct Tree {
    pub path: CString,
    pub recursive: bool,
    /// Already cloned by the runtime, where the child in its user namespace may not reach the path.
    pub opened: Option<OwnedFd>,
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
    pub rule: TargetRule,
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

fn show(text: &CStr) -> impl Display + '_ {
    String::from_utf8_lossy(text.to_bytes())
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DieWithRuntime => f.write_str("die with the runtime"),
            Self::OutliveRuntime => f.write_str("outlive the runtime"),
            Self::OomScore(score) => write!(f, "set the OOM score adjustment to {}", show(score)),
            Self::Join(join) => {
                write!(
                    f,
                    "join the {} namespace {}",
                    join.kind.name(),
                    show(&join.path)
                )
            }
            Self::Gate(gate) => f.write_str(match gate {
                Gate::Mapped => "wait for the id maps",
                Gate::Admitted => "wait for the cgroups",
                Gate::Hooked => "wait for the hooks of the runtime's side",
                Gate::Recorded => "wait for the record",
            }),
            Self::BecomeRoot => f.write_str("become root of the user namespace"),
            Self::Unshare(bits) => {
                write!(
                    f,
                    "make namespaces: {}",
                    kinds(*bits).collect::<Vec<_>>().join(", ")
                )
            }
            Self::NewSession => f.write_str("start a session"),
            Self::NewKeyring(name) => write!(f, "make the session keyring {}", show(name)),
            Self::Propagate(flags) => f.write_str(match flags & !libc::MS_REC {
                libc::MS_SLAVE => "make every mount a slave of the host's",
                libc::MS_SHARED => "share every mount with the host",
                _ => "make every mount private",
            }),
            Self::PrivateParent(path) => write!(f, "make the mount at {} private", show(path)),
            Self::AttachRoot(tree) => {
                write!(
                    f,
                    "attach the root filesystem {} and enter it",
                    show(&tree.path)
                )
            }
            Self::Mount(mount) => mount.fmt(f),
            Self::Node(node) => node.fmt(f),
            Self::Link { text, at, .. } => write!(f, "link {at} to {}", show(text)),
            Self::Mask(path) => write!(f, "mask {path}"),
            Self::ReadOnly(path) => write!(f, "make {path} read-only"),
            Self::Seal { target, .. } => write!(f, "make the mount at {target} read-only"),
            Self::Hook(hook) => {
                write!(
                    f,
                    "run the {} hook {}: {}",
                    hook.point,
                    hook.index,
                    show(&hook.path)
                )
            }
            Self::Pivot { .. } => f.write_str("make it the root and drop the host's tree"),
            Self::MoveRoot => f.write_str("move it over the root and change into it"),
            Self::RootPropagation(flags) => write!(f, "make the root {}", propagation(*flags)),
            Self::ReadOnlyRoot => f.write_str("make the root read-only"),
            Self::Hostname(name) => write!(f, "set the hostname {}", show(name)),
            Self::Domainname(name) => write!(f, "set the domain name {}", show(name)),
            Self::Sysctl { key, value, .. } => write!(f, "set sysctl {key} to {}", show(value)),
            Self::Personality(persona) => write!(f, "set the personality {persona:#x}"),
            Self::Rlimit {
                name, soft, hard, ..
            } => {
                write!(f, "limit {name} to {}:{}", Infinite(*soft), Infinite(*hard))
            }
            Self::MakeWorkingDir(path) => write!(f, "make the directory {path}"),
            Self::OwnPipes { uid } => write!(f, "give the standard pipes to user {uid}"),
            Self::CloseFrom(first) => write!(f, "close descriptors from {first} on at exec"),
            Self::Bound(keep) => write!(f, "bound the capabilities to {}", Names(*keep)),
            Self::BecomeUser { uid, gid, groups } => {
                write!(f, "become user {uid} and group {gid}")?;
                match groups {
                    Some(groups) if !groups.is_empty() => write!(f, " with groups {groups:?}"),
                    _ => Ok(()),
                }
            }
            Self::Capabilities { sets, ambient } => {
                write!(f, "take the capabilities {}", Names(sets.permitted))?;
                if sets.inheritable != 0 {
                    write!(f, ", inheritable {}", Names(sets.inheritable))?;
                }
                if *ambient != 0 {
                    write!(f, ", ambient {}", Names(*ambient))?;
                }
                Ok(())
            }
            Self::Umask(mask) => write!(f, "set the umask {mask:04o}"),
            Self::EnterWorkingDir { path, again: false } => write!(f, "change into {}", show(path)),
            Self::EnterWorkingDir { path, again: true } => {
                write!(f, "change into {}, if root was not let in", show(path))
            }
            Self::FindProgram(program) => write!(f, "find the program {}", show(&program.name)),
            Self::NoNewPrivileges => f.write_str("forbid new privileges"),
            Self::AwaitStart => f.write_str("wait for start"),
            Self::Seccomp(program) => {
                write!(
                    f,
                    "load the seccomp filter ({} instructions)",
                    program.len()
                )
            }
            Self::Execute { args, .. } => {
                f.write_str("execute")?;
                args.strings()
                    .iter()
                    .try_for_each(|word| write!(f, " {}", show(word)))
            }
        }
    }
}

/// A number of rlimits, where the largest means none.
struct Infinite(u64);

impl Display for Infinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == libc::RLIM64_INFINITY {
            f.write_str("unlimited")
        } else {
            self.0.fmt(f)
        }
    }
}

/// Capabilities by name.
struct Names(u64);

impl Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = caps::all()
            .into_iter()
            .filter(|c| self.0 & c.bitmask() != 0)
            .collect();
        names.sort_by_key(caps::Capability::index);
        match (names.len(), self.0.count_ones() as usize) {
            (_, 0) => f.write_str("none"),
            (known, all) if known == all && known >= caps::all().len() => f.write_str("all"),
            _ => {
                let text: Vec<_> = names
                    .iter()
                    .map(|c| c.to_string().trim_start_matches("CAP_").to_lowercase())
                    .collect();
                f.write_str(&text.join(" "))
            }
        }
    }
}

/// The word of config.json for `MS_*` flags.
pub fn propagation(flags: u64) -> &'static str {
    match (flags & libc::MS_REC != 0, flags & !libc::MS_REC) {
        (false, libc::MS_SLAVE) => "slave",
        (true, libc::MS_SLAVE) => "rslave",
        (false, libc::MS_SHARED) => "shared",
        (true, libc::MS_SHARED) => "rshared",
        (false, libc::MS_UNBINDABLE) => "unbindable",
        (true, libc::MS_UNBINDABLE) => "runbindable",
        (false, _) => "private",
        (true, _) => "rprivate",
    }
}

impl Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        match &self.source {
            Source::New { kind, options, .. } => {
                write!(f, "mount {} at {}", show(kind), self.target)?;
                words.extend(attributes(self.attributes, ""));
                words.extend(options.iter().map(|option| match option {
                    FsOption::Flag(key) => show(key).to_string(),
                    FsOption::Value(key, value) => format!("{}={}", show(key), show(value)),
                }));
            }
            Source::Bind(tree) => {
                let whole = if tree.recursive { "bind" } else { "bind only" };
                write!(f, "{whole} {} at {}", show(&tree.path), self.target)?;
                words.extend(attributes(self.attributes, ""));
            }
        }
        words.extend(attributes(self.recursive, "r"));
        words.extend(self.propagation.iter().map(|p| propagation(*p).to_string()));
        if self.copy_up {
            words.push("tmpcopyup".into());
        }
        if words.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", words.join(", "))
        }
    }
}

/// Mount attributes as words of config.json.
fn attributes(attributes: Attributes, prefix: &str) -> Vec<String> {
    const FLAGS: &[(u64, &str, &str)] = &[
        (libc::MOUNT_ATTR_RDONLY, "ro", "rw"),
        (libc::MOUNT_ATTR_NOSUID, "nosuid", "suid"),
        (libc::MOUNT_ATTR_NODEV, "nodev", "dev"),
        (libc::MOUNT_ATTR_NOEXEC, "noexec", "exec"),
        (libc::MOUNT_ATTR_NODIRATIME, "nodiratime", "diratime"),
        (libc::MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow", "symfollow"),
        (libc::MOUNT_ATTR_NOATIME, "noatime", ""),
        (libc::MOUNT_ATTR_STRICTATIME, "strictatime", ""),
    ];
    let mut words = Vec::new();
    for (bit, on, off) in FLAGS {
        if attributes.set & bit != 0 {
            words.push(format!("{prefix}{on}"));
        } else if attributes.clear & bit != 0 && !off.is_empty() {
            words.push(format!("{prefix}{off}"));
        }
    }
    let atime = libc::MOUNT_ATTR__ATIME;
    if attributes.clear & atime == atime && attributes.set & atime == 0 {
        words.push(format!("{prefix}relatime"));
    }
    words
}

impl Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            NodeKind::Char => "character device",
            NodeKind::Block => "block device",
            NodeKind::Fifo => return write!(f, "make the fifo {}", self.at),
        };
        write!(
            f,
            "make the {kind} {} ({}:{}, {:04o})",
            self.at, self.major, self.minor, self.mode
        )
    }
}
