//! What the kernel's security modules are told of the program. All of this runs in the child.

use std::ffi::CStr;
use std::os::fd::AsFd;

use nix::errno::Errno;

use super::child::Child;
use super::fault::{Call, Stop};
use crate::plan::step::Labelled;
use crate::sys::path::{self, HERE, Resolve};

/// What apparmor_setprocattr of the kernel takes before the name of a profile.
const AT_EXEC: &[u8] = b"exec ";
/// A name may have PATH_MAX bytes.
const LONGEST: usize = AT_EXEC.len() + libc::PATH_MAX as usize;

impl Child<'_> {
    pub(super) fn hold_proc(&mut self) -> Result<(), Stop> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let proc = path::open(HERE, c"/proc", flags, Resolve::Host)?;
        if path::filesystem(proc.as_fd())? != libc::PROC_SUPER_MAGIC {
            return Err(Stop::at(Call::NoProc, Errno::ENODEV));
        }
        self.found.host_proc = Some(proc);
        Ok(())
    }

    /// From the next exec on, in this process and those it makes.
    pub(super) fn confine(&self, profile: &CStr) -> Result<(), Stop> {
        let mut text = [0; LONGEST];
        let length = AT_EXEC.len() + profile.count_bytes();
        let name = text.get_mut(AT_EXEC.len()..length);
        name.ok_or(Errno::ENAMETOOLONG)?
            .copy_from_slice(profile.to_bytes());
        text[..AT_EXEC.len()].copy_from_slice(AT_EXEC);
        // The second where several modules cannot be at work at once.
        match self.write_attribute(c"thread-self/attr/apparmor/exec", &text[..length]) {
            Err(Errno::ENOENT) => {
                Ok(self.write_attribute(c"thread-self/attr/exec", &text[..length])?)
            }
            written => Ok(written?),
        }
    }

    pub(super) fn label(&self, what: Labelled, label: &CStr) -> Result<(), Stop> {
        Ok(self.write_attribute(what.file(), label.to_bytes())?)
    }

    /// Opened only now: the kernel lets nobody write who has other rights than when he opened it (Linux
    /// 5.13).
    fn write_attribute(&self, path: &CStr, text: &[u8]) -> Result<(), Errno> {
        let proc = self.found.host_proc.as_ref().ok_or(Errno::EBADF)?;
        let file = path::open(proc.as_fd(), path, libc::O_WRONLY, Resolve::InRoot)?;
        path::write_once(file.as_fd(), text)
    }
}
