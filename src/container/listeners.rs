//! Who is told of a new process: whoever reads its pid file, or listens for its pidfd.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Error;
use crate::state::pid_file;
use crate::sys::channel;

/// Both paths are absolute, or taken from the current directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners {
    pub(super) pid_file: Option<PathBuf>,
    pub(super) pidfd_socket: Option<PathBuf>,
}

impl Listeners {
    /// `word` goes along with the pidfd: `standard` for a first process, `setns` for one that joins.
    pub(super) fn tell(&self, pid: i32, pidfd: BorrowedFd<'_>, word: &[u8]) -> Result<(), Error> {
        // Whoever sees the pid file can have taken the pidfd already.
        if let Some(path) = &self.pidfd_socket {
            send_pidfd(pidfd, path, word).map_err(|errno| Error::PidfdSocket {
                path: path.clone(),
                errno,
            })?;
        }
        if let Some(path) = &self.pid_file {
            pid_file::write(path, pid).map_err(|source| Error::PidFile {
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

fn send_pidfd(pidfd: BorrowedFd<'_>, path: &Path, word: &[u8]) -> Result<(), Errno> {
    let socket = UnixStream::connect(path).map_err(|e| {
        // A path that is too long has no number of the kernel's.
        Errno::from_raw(e.raw_os_error().unwrap_or(libc::ENAMETOOLONG))
    })?;
    channel::send_fd(socket.as_fd(), pidfd, word).map(drop)
}
