//! A user namespace in which nobody lives: for its id maps alone.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::channel;
use super::clone::{self, Clone, Forked};
use super::errno;
use super::identity;
use super::signal;

/// A child in a new user namespace, which does nothing until it is let go: somebody maps its ids.
#[derive(Debug)]
pub struct Vacant {
    pid: Pid,
    process: OwnedFd,
    /// It ends when this is closed.
    hold: OwnedFd,
}

impl Vacant {
    /// The caller is the only thread of its process.
    pub fn make() -> Result<Self, Errno> {
        let (hold, there) = channel::pair()?;
        let what = Clone {
            namespaces: u64::from(libc::CLONE_NEWUSER.cast_unsigned()),
            group: None,
        };
        match clone::clone(&what)? {
            Forked::Child => {
                // The copy of the parent's end would keep this one from hearing that it was closed.
                drop(hold);
                let _closed = channel::receive(there.as_fd());
                clone::end(0)
            }
            Forked::Parent { pid, pidfd } => Ok(Self {
                pid,
                process: pidfd,
                hold,
            }),
        }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The namespace, in which nobody lives any more.
    pub fn leave(self) -> Result<OwnedFd, Errno> {
        let users = File::open(format!("/proc/{}/ns/user", self.pid)).map_err(errno);
        drop(self.hold);
        // ECHILD where SIGCHLD is ignored.
        let _ = signal::wait(self.process.as_fd(), true);
        users.map(OwnedFd::from)
    }
}

/// Makes this process root of a new user namespace that knows no ids but its own. The modes of its own files
/// bind it no longer. The caller is the only thread of its process.
pub fn become_root_alone() -> Result<(), Errno> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    // Else the files in /proc by which the ids are mapped would be the host's root's.
    identity::set_dumpable()?;
    clone::unshare(u64::from(libc::CLONE_NEWUSER.cast_unsigned()))?;
    // Without this no group may be mapped (user_namespaces(7)).
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        std::fs::write(format!("/proc/self/{file}"), text).map_err(errno)?;
    }
    Ok(())
}

/// A new user namespace with these maps, in the form of `uid_map` (user_namespaces(7)). A child makes
/// it, which ends before this returns; the caller is the only thread of its process.
pub fn namespace(uid_map: &str, gid_map: &str) -> Result<OwnedFd, Errno> {
    let vacant = Vacant::make()?;
    let map =
        |file, text| std::fs::write(format!("/proc/{}/{file}", vacant.pid), text).map_err(errno);
    let mapped = map("uid_map", uid_map).and_then(|()| map("gid_map", gid_map));
    let users = vacant.leave();
    mapped.and(users)
}
