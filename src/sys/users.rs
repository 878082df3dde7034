//! A user namespace in which nobody lives: for its id maps alone.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::channel;
use super::clone::{self, Clone, Forked};
use super::errno;
use super::signal;

/// A new user namespace with these maps, in the form of `uid_map` (user_namespaces(7)). A child makes
/// it, which ends before this returns; the caller is the only thread of its process.
pub fn namespace(uid_map: &str, gid_map: &str) -> Result<OwnedFd, Errno> {
    let (here, there) = channel::pair()?;
    let what = Clone {
        namespaces: u64::from(libc::CLONE_NEWUSER.cast_unsigned()),
        group: None,
    };
    let (pid, process) = match clone::clone(&what)? {
        Forked::Child => {
            // The copy of the parent's end would keep this one from hearing that it was closed.
            drop(here);
            let _closed = channel::receive(there.as_fd());
            clone::end(0)
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(there);

    let map = |file, text| std::fs::write(format!("/proc/{pid}/{file}"), text).map_err(errno);
    let users = map("uid_map", uid_map)
        .and_then(|()| map("gid_map", gid_map))
        .and_then(|()| File::open(format!("/proc/{pid}/ns/user")).map_err(errno));

    drop(here);
    // ECHILD where SIGCHLD is ignored.
    let _ = signal::wait(process.as_fd(), true);
    users.map(OwnedFd::from)
}
