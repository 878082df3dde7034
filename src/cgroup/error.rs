//! What can go wrong with a group, in words for the user.

use std::path::PathBuf;

use nix::errno::Errno;

use crate::sys::apart;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is runc's, which callers match.
    #[error("container's cgroup is not empty: {count} process(es) found in {}", path.display())]
    InUse { path: PathBuf, count: usize },
    /// The text is runc's, which callers match.
    #[error("container's cgroup unexpectedly frozen: {}", path.display())]
    Frozen { path: PathBuf },
    /// Something sleeps where the kernel cannot stop it, for a disk or a server that does not answer.
    #[error("freeze {}: some processes do not stand still after {seconds} s; all go on", path.display())]
    Restless { path: PathBuf, seconds: u64 },
    /// A limit that this host has no controller for.
    #[error("{field}: the {controller} controller is not available in cgroup {version} here")]
    NoController {
        field: &'static str,
        controller: String,
        version: &'static str,
    },
    /// A limit whose control file this kernel lacks.
    #[error("{field}: this kernel has no {file}")]
    NoFile { field: &'static str, file: String },
    /// A limit that this version of cgroups does not know.
    #[error("{field}: {why}")]
    NotEnforceable {
        field: &'static str,
        why: &'static str,
    },
    /// cgroups(7): a v2 group other than the root either has processes or passes controllers on.
    #[error("{field}: {} has processes of its own, so it cannot pass the {controller} controller on", path.display())]
    InternalProcess {
        field: &'static str,
        controller: String,
        path: PathBuf,
    },
    #[error("{}: the group above is threaded, so this one can have no processes", path.display())]
    Threaded { path: PathBuf },
    /// The kernel refused the value of a limit.
    #[error("{field}: write {value:?} to {}: {}", path.display(), reason(*errno))]
    Limit {
        field: &'static str,
        value: String,
        path: PathBuf,
        errno: Errno,
    },
    /// cgroup v1 does not take a memory limit below what it cannot write back. The text is runc's.
    #[error("unable to set memory limit to {limit} (current usage: {used}, peak usage: {peak})")]
    MemoryInUse {
        limit: String,
        used: String,
        peak: String,
    },
    /// The kernel took the value and holds another, beyond what it is known to round.
    #[error("{field}: asked for {asked:?}, but {} holds {held:?}", path.display())]
    NotHeld {
        field: &'static str,
        asked: String,
        held: String,
        path: PathBuf,
    },
    /// A change of several limits that failed on the way, and could not be taken back whole.
    #[error("{cause}; and what was changed before could not be taken back: {left}")]
    HalfChanged { cause: Box<Error>, left: String },
    /// `checkBeforeUpdate`. The text is runc's.
    #[error("rejecting {what} limit {limit} <= usage {used}")]
    BelowUse {
        what: &'static str,
        limit: u64,
        used: u64,
    },
    #[error("linux.resources.devices: {act} the eBPF program: {}", reason(*errno))]
    DeviceProgram { act: &'static str, errno: Errno },
    #[error("linux.resources.devices: cgroup v1 cannot except {rule:?} from {wider:?}")]
    DeviceHole { rule: String, wider: String },
    /// A path that is the runtime's own group or above it: to kill there would be to kill ourselves.
    #[error("linux.cgroupsPath: {} is in use by the runtime itself", path.display())]
    OwnGroup { path: PathBuf },
    /// The texts of these four are runc's, which callers match.
    #[error("invalid --cgroup argument: {word}: {why}")]
    Below { word: String, why: &'static str },
    #[error("bad sub cgroup path: {path}")]
    OutsideGroup { path: String },
    #[error("unknown controller {0} in --cgroup")]
    UnknownController(String),
    #[error("error adding pid to {}: {}", path.display(), reason(*errno))]
    NoGroupBelow { path: PathBuf, errno: Errno },
    /// Not a directory of a cgroup filesystem: nothing is read, written or removed there.
    #[error("{}: not on a cgroup filesystem", path.display())]
    NotAGroup { path: PathBuf },
    #[error("--systemd-cgroup: systemd does not run here: there is no /run/systemd/system")]
    NoSystemd,
    /// What systemd said, or why it could not be asked.
    #[error("{act} the systemd unit {unit}: {cause}")]
    Unit {
        act: &'static str,
        unit: String,
        cause: apart::Error,
    },
    /// An annotation `org.systemd.property.NAME`.
    #[error("annotations: org.systemd.property.{name}: {why}")]
    UnitProperty { name: String, why: String },
    #[error("no cgroup hierarchy is mounted at /sys/fs/cgroup or elsewhere")]
    NoHierarchy,
    /// A line of /proc that does not read as proc(5) and cgroups(7) say.
    #[error("{file}: cannot read {line:?} as a line of it")]
    Proc { file: &'static str, line: String },
    #[error("{act} {}: {}", path.display(), reason(*errno))]
    Call {
        act: &'static str,
        path: PathBuf,
        errno: Errno,
    },
}

/// Lower case, as callers look for it.
fn reason(errno: Errno) -> String {
    errno.desc().to_ascii_lowercase()
}

impl Error {
    /// Whether the kernel said that we may not, rather than that it cannot be.
    pub fn is_refusal(&self) -> bool {
        if let Self::HalfChanged { cause, .. } = self {
            return cause.is_refusal();
        }
        let (Self::Call { errno, .. }
        | Self::Limit { errno, .. }
        | Self::DeviceProgram { errno, .. }) = self
        else {
            return false;
        };
        matches!(errno, Errno::EACCES | Errno::EPERM | Errno::EROFS)
    }

    /// For `map_err` after one call on `path`.
    pub(super) fn call(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Self {
        let path = path.into();
        move |errno| Self::Call { act, path, errno }
    }
}
