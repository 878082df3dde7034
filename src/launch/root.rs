//! From the host's tree to the container's, and the kernel's values there.

use std::ffi::CStr;
use std::os::fd::AsFd;

use super::child::Child;
use super::fault::Stop;
use crate::sys::mount;
use crate::sys::path::{self, HERE, Resolve};

impl Child<'_> {
    pub(super) fn pivot(&mut self, shared: bool) -> Result<(), Stop> {
        let old = if shared {
            Some(path::open(
                HERE,
                c"/",
                libc::O_PATH | libc::O_DIRECTORY,
                Resolve::Host,
            )?)
        } else {
            None
        };
        path::enter(self.root())?;
        mount::pivot_to_here()?;
        if let Some(old) = old {
            // Its unmounting must not be seen by the host, which shares it.
            path::enter(old.as_fd())?;
            mount::set_propagation(c".", libc::MS_SLAVE | libc::MS_REC)?;
        }
        mount::detach(c".")?;
        path::change_dir(c"/")?;
        Ok(())
    }

    pub(super) fn move_root(&mut self, views: &[std::ffi::CString]) -> Result<(), Stop> {
        // Where the host shares its mounts, it must not see them go.
        mount::set_propagation(c"/", libc::MS_SLAVE | libc::MS_REC)?;
        for view in views {
            // A mount that a user namespace holds fast cannot be taken away, but covered.
            if mount::detach(view).is_err() {
                let view = path::open(HERE, view, libc::O_PATH, Resolve::Host)?;
                self.mask_directory(&view, None)?;
            }
        }
        path::enter(self.root())?;
        mount::move_to(c".", c"/")?;
        path::chroot_here()?;
        path::change_dir(c"/")?;
        Ok(())
    }

    /// Written through a procfs of our own: what is mounted in the container may lie
    /// (CVE-2025-52881).
    pub(super) fn set_sysctl(&mut self, name: &CStr, value: &CStr) -> Result<(), Stop> {
        if self.found.proc.is_none() {
            let fs = mount::fsopen(c"proc")?;
            mount::create(fs.as_fd())?;
            self.found.proc = Some(mount::fsmount(fs.as_fd(), 0)?);
        }
        let proc = self.found.proc.as_ref().map_or(HERE, AsFd::as_fd);
        let file = path::open(proc, name, libc::O_WRONLY, Resolve::Beneath)?;
        path::write_once(file.as_fd(), value.to_bytes())?;
        Ok(())
    }
}
