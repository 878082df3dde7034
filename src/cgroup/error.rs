//! What can go wrong with a group, in words for the user.

use std::path::PathBuf;

use nix::errno::Errno;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is runc's, which callers match.
    #[error("container's cgroup is not empty: {count} process(es) found in {}", path.display())]
    InUse { path: PathBuf, count: usize },
    /// The text is runc's, which callers match.
    #[error("container's cgroup unexpectedly frozen: {}", path.display())]
    Frozen { path: PathBuf },
    /// A limit that this host has no controller for.
    #[error("{field}: the {controller} controller is not available in cgroup {version} here")]
    NoController {
        field: &'static str,
        controller: &'static str,
        version: &'static str,
    },
    /// A limit whose control file this kernel lacks, or that this version of cgroups does not know.
    #[error("{field}: {why}")]
    NotEnforceable {
        field: &'static str,
        why: &'static str,
    },
    /// The kernel refused the value of a limit.
    #[error("{field}: write {value:?} to {}: {}", path.display(), source.desc())]
    Limit {
        field: &'static str,
        value: String,
        path: PathBuf,
        source: Errno,
    },
    /// Not a directory of a cgroup filesystem: nothing is read, written or removed there.
    #[error("{}: not on a cgroup filesystem", path.display())]
    NotAGroup { path: PathBuf },
    #[error("no cgroup hierarchy is mounted at /sys/fs/cgroup or elsewhere")]
    NoHierarchy,
    /// A line of /proc that does not read as proc(5) and cgroups(7) say.
    #[error("{file}: cannot read {line:?} as a line of it")]
    Proc { file: &'static str, line: String },
    #[error("{act} {}: {}", path.display(), source.desc())]
    Call {
        act: &'static str,
        path: PathBuf,
        source: Errno,
    },
}

impl Error {
    /// For `map_err` after one call on `path`.
    pub(super) fn call(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Self {
        let path = path.into();
        move |source| Self::Call { act, path, source }
    }
}
