//! One file per verb. Here all layers below meet: config.json is read, planned, launched and
//! recorded, and every later command finds its container by the record.

mod agent;
pub mod check;
mod checkpoint;
mod create;
mod creation;
mod criu;
mod delete;
mod draft;
mod dry_run;
mod events;
mod exec;
mod foreground;
mod hooks;
mod host;
mod image;
mod kill;
mod list;
mod listeners;
mod monitor;
mod network;
mod oom;
mod pause;
mod ps;
mod readiness;
mod restore;
mod resume;
mod revival;
mod run;
pub mod shield;
mod sockets;
mod start;
mod state;
mod stop;
mod successor;
mod terminal;
mod update;
mod wait;

use std::path::PathBuf;

use nix::errno::Errno;

use crate::launch::fault::reason;
use crate::spec::unit::Manager;
use crate::{cgroup, launch, plan, spec, state as records};

pub use checkpoint::{CheckpointOptions, checkpoint};
pub use create::create;
pub use criu::message::GroupMode;
pub use criu::{ImageOptions, find as find_criu};
pub use delete::delete;
pub use dry_run::plan;
pub use events::{Event, Usage, events, stats};
pub use exec::{ExecOptions, exec};
pub use image::{ImageRun, id_maps, remove_by, run_image};
pub use kill::kill;
pub use list::{Listed, list};
pub use pause::pause;
pub use ps::ps;
pub use restore::{RestoreOptions, restore};
pub use resume::resume;
pub use run::{RunOptions, run};
pub use sockets::Sockets;
pub use start::start;
pub use state::{State, Status, state};
pub use stop::stop;
pub use update::update;
pub use wait::wait;

/// Where containers are kept and how their groups are made.
#[derive(Debug)]
pub struct Context {
    pub store: records::Store,
    pub groups: GroupDriver,
    /// `--rootless`; `None` for auto.
    pub rootless: Option<bool>,
}

/// Who makes the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupDriver {
    /// We do, in whatever hierarchies there are.
    Auto,
    /// Nobody: the container stays in the caller's group.
    Disabled,
    /// systemd does, the host's or the user's.
    Systemd(Manager),
}

/// How `create` and `run` are told to make a container.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    pub bundle: PathBuf,
    /// Instead of the bundle's config.json.
    pub config: Option<PathBuf>,
    /// The image store that made the bundle for this container alone: it goes with it.
    pub image_store: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    /// Where the pidfd of the first process goes; relative to the bundle.
    pub pidfd_socket: Option<PathBuf>,
    pub preserve_fds: u32,
    /// Before the preserved descriptors.
    pub sockets: Option<Sockets>,
    /// Where a service manager waits for the container to be ready: an absolute path, or `@` and an
    /// abstract name.
    pub notify_socket: Option<Vec<u8>>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Spec(#[from] spec::Error),
    #[error(transparent)]
    Group(#[from] cgroup::Error),
    #[error(transparent)]
    Rdt(#[from] cgroup::resctrl::Error),
    #[error(transparent)]
    Record(#[from] records::Error),
    #[error(transparent)]
    Image(#[from] crate::image::store::Error),
    #[error(transparent)]
    ImageBundle(#[from] crate::image::bundle::Error),
    /// What its own passwd or group is like.
    #[error("{0}")]
    ImageUsers(String),
    #[error("the files of the container in the image store: {0}")]
    ImageFiles(crate::sys::apart::Error),
    #[error("the ids of the container: {0}")]
    UserNamespace(launch::Error),
    #[error(transparent)]
    Criu(#[from] criu::Error),
    /// The texts around it are those that runc's callers look for.
    #[error("unable to start container process: {0}")]
    Plan(#[from] plan::Error),
    #[error("config.json: linux.netDevices: move {name} into the container: {}", reason(*.errno))]
    NetDevice { name: String, errno: Errno },
    #[error("config.json: linux.netDevices: enter the network namespace: {}", reason(*.errno))]
    NetDevices { errno: Errno },
    #[error("take the network device {name} back from the container: {}", reason(*.errno))]
    NetDeviceLost { name: String, errno: Errno },
    #[error("unable to start container process: error during container init: {0}")]
    Launch(#[from] launch::Error),
    /// The text is runc's.
    #[error(
        "unable to start container process: container init was OOM-killed (memory limit too low?)"
    )]
    OutOfMemory,
    /// A process that joins a container is no init of it.
    #[error("unable to start container process: {0}")]
    Join(launch::Error),
    #[error("unable to start container process: {0}")]
    Hook(String),
    #[error("bundle {path}: {}", reason(*.errno))]
    Bundle { path: PathBuf, errno: Errno },
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    #[error("unable to stat preserved-fd {number} (of {count}): {}", reason(*.errno))]
    PreservedFd {
        number: u32,
        count: u32,
        errno: Errno,
    },
    #[error("write the pid file {path}: {source}")]
    PidFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("send the pidfd to {path}: {}", reason(*.errno))]
    PidfdSocket { path: PathBuf, errno: Errno },
    #[error("connect to the console socket {path}: {}", reason(*.errno))]
    ConsoleSocket { path: PathBuf, errno: Errno },
    #[error("{act}: {}", reason(*.errno))]
    Call { act: &'static str, errno: Errno },
    /// A short text that callers match: the container is in the wrong state for the command.
    #[error("{0}")]
    State(&'static str),
    /// The text is runc's.
    #[error("container with id {0} is not running")]
    NotRunning(spec::Id),
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped { id: spec::Id, status: Status },
    /// The text is runc's.
    #[error("Container cannot be checkpointed in {0} state")]
    NotSavable(Status),
    #[error("unable to signal init: {}", reason(*.0))]
    Signal(Errno),
    #[error("container init still running")]
    StillRunning,
    /// `holder` is 0 where the kernel does not say.
    #[error(
        "container init still running: process {holder} works on container {id} and holds its lock"
    )]
    Busy { id: spec::Id, holder: i32 },
    /// As made by a user without groups to give, or with `--cgroup-manager disabled`.
    #[error("container {id} has no cgroup of its own, and {command} needs one")]
    NoGroup { id: spec::Id, command: &'static str },
    #[error("send the seccomp listener to linux.seccomp.listenerPath {path}: {}", reason(*.errno))]
    Agent { path: PathBuf, errno: Errno },
    #[error("connect to NOTIFY_SOCKET {name}: {}", reason(*.errno))]
    NotifySocket { name: String, errno: Errno },
    #[error("container {0}: its exit code is known only to the parent of its process")]
    ExitUnknown(spec::Id),
    #[error("the monitor of container {0} ended without a word")]
    MonitorLost(spec::Id),
    /// What the monitor of a detached container could not do, in its own words.
    #[error("{0}")]
    Monitor(String),
}

fn call(act: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Call { act, errno }
}
