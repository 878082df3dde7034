//! CRIU, the program that saves a container's processes to images and brings them back (criu(8)).

mod ending;
mod images;
mod kept;
mod log;
pub(super) mod message;
mod mounts;
mod namespaces;
mod service;
mod streams;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::launch::fault::reason;
use crate::sys::exec;
pub(super) use ending::{save_ending, saved_ending};
pub use images::ImageOptions;
pub(super) use images::Images;
pub(super) use mounts::{check_mounts, restored_mounts, saved_mounts};
pub(super) use namespaces::{restore_namespaces, save_namespaces};
pub(super) use service::{Notice, Service};
pub(super) use streams::{own_streams, restored_streams, save_streams};

/// The least version that something takes, and what that is.
pub(super) type Need = (u32, &'static str);

/// The first that tells its version when it is asked.
const OLDEST: u32 = 3_00_00;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("criu not found in $PATH; containers are saved and restored by it")]
    Missing,
    #[error("criu {}.{} is too old: {what} needs {}.{}", found / 10_000, found / 100 % 100, needed / 10_000, needed / 100 % 100)]
    Old {
        found: u32,
        needed: u32,
        what: &'static str,
    },
    #[error("criu has no {0} on this kernel")]
    Feature(&'static str),
    #[error("talk to criu: {}", reason(*.errno))]
    Talk { errno: Errno },
    #[error("criu ended without an answer")]
    Silent,
    #[error("criu answered what is not understood")]
    Nonsense,
    #[error("criu refused{}", why(*.errno, .message))]
    Refused {
        errno: Option<i32>,
        message: Option<String>,
    },
    /// With what CRIU's log says.
    #[error("criu could not {act} the container: {reason} (see {log})")]
    Failed {
        act: &'static str,
        reason: String,
        log: PathBuf,
    },
    #[error("{act} {path}: {}", reason(*.errno))]
    Image {
        act: &'static str,
        path: PathBuf,
        errno: Errno,
    },
    #[error("--parent-path must be relative to the images: {0}")]
    AbsoluteParent(PathBuf),
    #[error("invalid --parent-path: {path}: {}", reason(*.errno))]
    Parent { path: PathBuf, errno: Errno },
    #[error("invalid --status-fd argument {0}: not open for writing")]
    StatusFd(i32),
    #[error("{path}: not what a checkpoint has written")]
    Alien { path: PathBuf },
    #[error(
        "the container ends with its runtime, as it was of run in the foreground: restore it without --detach"
    )]
    EndsWithRuntime,
    #[error("{0}: criu takes no path that is not UTF-8")]
    NotText(PathBuf),
    #[error("linux.namespaces: criu restores no container into a cgroup namespace that is there")]
    CgroupNamespace,
    #[error("mounts: {0}: it shows files with other ids, and criu would bring it back without")]
    Idmapped(String),
    #[error("mounts: {0}: what is there now is not what was mounted; it cannot be saved")]
    Moved(String),
}

impl Error {
    fn refused(answer: &message::Answer) -> Self {
        Self::Refused {
            errno: answer.errno,
            message: answer.message.clone(),
        }
    }
}

fn why(errno: Option<i32>, message: &Option<String>) -> String {
    match (message, errno) {
        (Some(message), _) => format!(": {}", message.trim()),
        (None, Some(errno)) if errno != 0 => format!(": {}", reason(Errno::from_raw(errno))),
        _ => String::new(),
    }
}

/// Where CRIU is installed.
pub fn find() -> Result<CString, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter_map(|dir| CString::new(dir.join("criu").as_os_str().as_bytes()).ok())
        .find(|program| exec::may_execute(program).is_ok())
        .ok_or(Error::Missing)
}

/// Refuses a CRIU that is older than what is asked of it.
pub(super) fn check_version(found: u32, needs: &[Need]) -> Result<(), Error> {
    let oldest = (OLDEST, "this program");
    let lacking = [oldest]
        .iter()
        .chain(needs)
        .find(|(needed, _)| found < *needed)
        .copied();
    lacking.map_or(Ok(()), |(needed, what)| {
        Err(Error::Old {
            found,
            needed,
            what,
        })
    })
}

/// A path as CRIU's messages have it.
pub(super) fn text(path: &Path) -> Result<String, Error> {
    let text = path.to_str().ok_or_else(|| Error::NotText(path.into()))?;
    Ok(text.to_owned())
}
