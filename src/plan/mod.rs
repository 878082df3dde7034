//! [`Container`] and [`Host`] to [`Plan`]: whatever can be decided, opened, compiled or allocated
//! before the clone is done here. A plan is a list, and printing it is the dry run.

mod criu;
mod devices;
mod groups;
mod home;
pub mod host;
mod idmap;
mod join;
mod limits;
pub(crate) mod mountinfo;
mod namespaces;
mod outside;
mod process;
mod root;
pub mod seccomp;
mod security;
pub mod step;
mod words;

use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::spec::Container;
use crate::spec::container::{IdMaps, Namespace, Rlimit, TimeOffsets};
use crate::spec::numbers::Numbers;
use crate::spec::scheduling::{IoPriority, Scheduler};
use crate::spec::units::Id;
use crate::sys::reason;

pub use host::Host;
pub use join::{Target, join};
use security::Labels;
pub use step::{Gate, Step};

/// What is to be done, in order.
#[derive(Debug)]
pub struct Plan {
    pub birth: Birth,
    pub steps: Vec<Step>,
}

/// What the process is born with: the part of the runtime, not of the child.
#[derive(Debug, Default)]
pub struct Birth {
    /// `CLONE_NEW*`
    pub namespaces: u64,
    /// Where the runtime goes for the moment of the clone.
    pub joins: Vec<step::Join>,
    /// For a new time namespace, which must have its offsets before anybody lives in it.
    pub clocks: Option<TimeOffsets>,
    /// Written by the runtime from outside.
    pub id_maps: Option<IdMaps>,
    /// The files in /proc of a process that is not dumpable are root's: who is not root could not write
    /// its maps, nor it its own score.
    pub dumpable: bool,
    /// Given by the runtime, when the child is done with all but its program.
    pub grants: Grants,
    /// Where the runtime runs for the moment of the clone.
    pub affinity: Option<Numbers>,
    /// What else the runtime does, in words: groups, limits and its own hooks.
    pub outside: Vec<String>,
    /// Written by the runtime, where the child in its user namespace may not.
    pub oom_score: Option<i32>,
    /// The user outside who gets the container's v2 group, to make groups below it.
    pub group_owner: Option<u32>,
}

/// What takes the power of the host's root, and is set from outside where the child in its user
/// namespace has not got it.
#[derive(Debug, Default)]
pub struct Grants {
    pub rlimits: Vec<Rlimit>,
    pub scheduler: Option<Scheduler>,
    pub io_priority: Option<IoPriority>,
}

impl Grants {
    pub fn is_empty(&self) -> bool {
        self.rlimits.is_empty() && self.scheduler.is_none() && self.io_priority.is_none()
    }
}

/// What the caller of the runtime asked for, beside the document.
#[derive(Clone, Debug)]
pub struct Wishes {
    pub id: Id,
    /// `create` stops before the program, `run` does not.
    pub await_start: bool,
    pub ending: Ending,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// How many descriptors after stderr the program gets.
    pub preserve_fds: u32,
}

/// What a container does when the runtime that made it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `run` in the foreground takes it along.
    WithRuntime,
    OnItsOwn,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("process property must not be empty")]
    NoProcess,
    #[error("config.json: process.apparmorProfile: apparmor is not enabled on this host")]
    NoAppArmor,
    /// In runc's words.
    #[error(
        "config.json: {field}: selinux label is specified in config, but selinux is disabled or not supported"
    )]
    NoSelinux { field: &'static str },
    #[error("linux.seccomp: {0}")]
    Seccomp(#[from] seccomp::Error),
    #[error("open the {kind} namespace {path}: {}", reason(*.errno))]
    OpenNamespace {
        kind: &'static str,
        path: String,
        errno: Errno,
    },
    #[error("duplicate the descriptor of the container's process: {}", reason(*.errno))]
    Duplicate { errno: Errno },
    #[error("{path} is no {kind} namespace")]
    NotTheNamespace { kind: &'static str, path: String },
    #[error("clone the mounts at {path}: {}", reason(*.errno))]
    CloneTree { path: PathBuf, errno: Errno },
    #[error("open the root filesystem {path}: {}", reason(*.errno))]
    OpenRoot { path: PathBuf, errno: Errno },
    #[error(
        "mount at {target}: the option {option} has {length} bytes, and the kernel takes 255 at most"
    )]
    LongOption {
        target: String,
        option: String,
        length: usize,
    },
    /// The text is runc's.
    #[error("mount at {target}: id-mapped mounts are not supported for rootless containers")]
    MapIdsUnprivileged { target: String },
    #[error(
        "mount at {target}: {by} is the host's own user namespace, which has no other ids to show"
    )]
    MapIdsAsTheHost { target: String, by: String },
    #[error("mount at {target}: make a user namespace with its mappings: {}", reason(*.errno))]
    MakeUsers { target: String, errno: Errno },
    #[error("mount at {target}: show {path} with other ids: {}", idmap::reason(*.errno, .kinds))]
    MapIds {
        target: String,
        path: PathBuf,
        /// The filesystems there.
        kinds: String,
        errno: Errno,
    },
    #[error("linux.namespaces: the mount namespace to join is the runtime's own")]
    OwnMountNamespace,
}

/// Makes the plan of a container's first process.
pub fn plan(container: &Container, host: &Host, wishes: &Wishes) -> Result<Plan, Error> {
    let mut planner = Planner {
        container,
        host,
        wishes,
        labels: Labels::of(container, host)?,
        birth: Birth::default(),
        steps: Vec::with_capacity(96),
        users: Vec::new(),
    };
    planner.namespaces()?;
    planner.push(Step::NewSession);
    planner.keyring();
    planner.identity();
    if container.namespaces.mount == Namespace::New {
        planner.root()?;
    } else {
        log::warn!(
            "container {}: it joins a mount namespace and takes the tree there as it is: root, \
             mounts, devices, maskedPaths and readonlyPaths of config.json are not applied",
            wishes.id
        );
        planner.hook_steps();
        planner.terminal(false);
    }
    planner.process(Part::First)?;
    planner.birth.group_owner = planner.group_owner();
    planner.birth.outside = outside::lines(container, host);
    Ok(Plan {
        birth: planner.birth,
        steps: planner.steps,
    })
}

/// What a process is to its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// With it the container begins, and its startContainer hooks run.
    First,
    /// It joins one that is there.
    Guest,
}

/// A plan that grows; each file of this module adds its part.
struct Planner<'a> {
    container: &'a Container,
    host: &'a Host,
    wishes: &'a Wishes,
    labels: Labels,
    birth: Birth,
    steps: Vec<Step>,
    users: idmap::Users,
}

impl Planner<'_> {
    fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// A pid namespace holds for children only. The runtime goes there for the clone and comes back,
    /// which wants CAP_SYS_ADMIN where its own namespace belongs (setns(2)): one that is in a user
    /// namespace has not got that, nor one of a user's with power only in what it joins. For these a
    /// process of the container's goes, and hands over.
    fn can_come_back(&self, joins_user: bool) -> bool {
        !self.host.in_user_namespace && (self.host.uid == 0 || !joins_user)
    }

    /// Whether the container's root is not the host's.
    fn has_user_namespace(&self) -> bool {
        self.container.namespaces.user != Namespace::Share
    }
}

impl Plan {
    /// Where the child waits for the runtime, in order.
    pub fn gates(&self) -> impl Iterator<Item = Gate> + '_ {
        self.steps.iter().filter_map(|step| match step {
            Step::Gate(gate) => Some(*gate),
            _ => None,
        })
    }

    /// What the runtime itself does, in words.
    pub fn birth_lines(&self) -> Vec<String> {
        self.birth.lines()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.birth_lines() {
            writeln!(f, " -  {line}")?;
        }
        for (n, step) in self.steps.iter().enumerate() {
            writeln!(f, "{n:2}  {step}")?;
        }
        Ok(())
    }
}
