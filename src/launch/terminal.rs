//! A terminal for the container's process, made in its own devpts. All of this runs in the child.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::child::Child;
use super::fault::{Call, Stop};
use super::target::{Want, open_or_make};
use crate::plan::step::Terminal;
use crate::sys::path::{self, Resolve};
use crate::sys::{channel, exec, mount, terminal};

/// How the master is called when it is sent; receivers do not look (runc's name for it).
pub const NAME: &[u8] = b"/dev/pts/ptmx";

impl Child<'_> {
    /// Makes the terminal, sends its master away, and takes the other end for standard descriptors.
    pub(super) fn make_terminal(&self, asked: &Terminal) -> Result<(), Stop> {
        let master = open_master(self.root())?;
        let peer = terminal::open_peer(master.as_fd());
        let peer = peer.map_err(|errno| Stop::at(Call::OpenTerminal, errno))?;
        if let Some(size) = asked.size {
            terminal::set_size(master.as_fd(), size)?;
        }
        let group = path::stat(peer.as_fd())?.st_gid;
        match path::set_owner(peer.as_fd(), asked.owner, group) {
            // A group that is not mapped in a user namespace; its root may use the terminal all the same.
            Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => {}
            Err(errno) => return Err(Stop::at(Call::SetOwner, errno)),
        }
        if asked.console {
            self.cover_console(peer.as_fd())?;
        }
        if let Some(console) = self.console {
            channel::send_fd(console, master.as_fd(), NAME)
                .map_err(|errno| Stop::at(Call::SendMaster, errno))?;
        }
        // Only now may the program be stopped by what is typed.
        terminal::take_control(peer.as_fd()).map_err(|errno| Stop::at(Call::TakeControl, errno))?;
        for number in 0..3 {
            exec::duplicate(peer.as_fd(), number)?;
        }
        Ok(())
    }

    /// By descriptor: a path to the terminal could have become another's (CVE-2025-52565).
    fn cover_console(&self, peer: BorrowedFd<'_>) -> Result<(), Stop> {
        let target = c"dev/console";
        let target = open_or_make(self.root(), target, Want::File, Resolve::InRootNoLinks)?;
        let tree = mount::clone_tree(peer, c"", false)?;
        mount::attach(tree.as_fd(), target.as_fd()).map_err(|errno| Stop::at(Call::Attach, errno))
    }
}

/// The multiplexer of the devpts at /dev/pts. In a devpts nothing lies that the kernel has not made,
/// while /dev/ptmx may be anything (CVE-2025-52565).
fn open_master(root: BorrowedFd<'_>) -> Result<OwnedFd, Stop> {
    let stop = |errno| Stop::at(Call::OpenMaster, errno);
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let dir = path::open(root, c"dev/pts", flags, Resolve::InRootNoLinks).map_err(stop)?;
    if path::filesystem(dir.as_fd()).map_err(stop)? != libc::DEVPTS_SUPER_MAGIC {
        return Err(stop(Errno::ENODEV));
    }
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    path::open(dir.as_fd(), c"ptmx", flags, Resolve::Beneath).map_err(stop)
}
