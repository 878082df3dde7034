//! What a layer removes of those below it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::error::Fault;
use super::leanings::Leanings;
use super::policy::Form;
use super::tar::{Entry, Kind};
use super::walk::{DIRECTORY, Missing, Walk, make_plain};
use super::write::{Removed, Writer};
use crate::sys::xattr;

impl Writer<'_> {
    /// A whiteout of a name in the directory where the walk stands. It says nothing of what the layer itself
    /// has there, but that below it nothing of other layers is to be seen (layer.md, 'Whiteouts').
    pub(super) fn remove(&mut self, name: &CStr) -> Result<(), Fault> {
        if self.how.form == Form::Flat {
            let path = self.walk.path(name);
            self.done.leanings.pay(path.len())?;
            self.done.removed.push(Removed::Entry(path));
            return Ok(());
        }
        match mknodat(self.walk.dir(), name, SFlag::S_IFCHR, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            Err(Errno::EEXIST) => {
                if self.look(name)?.st_mode & libc::S_IFMT == libc::S_IFDIR {
                    self.walk.step(name)?;
                    self.hide_content()?;
                }
                Ok(())
            }
            Err(errno) => Err(Fault::call("make the whiteout")(errno)),
        }
    }

    /// Makes the directory where the walk stands opaque.
    pub(super) fn hide_content(&mut self) -> Result<(), Fault> {
        if self.how.form == Form::Flat {
            let path = self.walk.path(c"");
            self.done.leanings.pay(path.len())?;
            self.done.removed.push(Removed::Content(path));
            return Ok(());
        }
        mark_opaque(self.walk.dir(), self.how.form)
    }
}

/// What is made of directories that no entry has named yet.
pub(super) struct Making<'a> {
    pub(super) form: Form,
    pub(super) leanings: &'a mut Leanings,
}

impl Missing for Making<'_> {
    fn make(&mut self, walk: &Walk, name: &CStr) -> Result<bool, Fault> {
        make_plain(walk.dir(), name)?;
        self.leanings.add_directory(walk.path(name))?;
        Ok(true)
    }

    /// The layer has removed what was there, and now has something below it.
    fn replace(&mut self, walk: &Walk, name: &CStr) -> Result<bool, Fault> {
        let act = Fault::call("look at a directory on the way");
        let stat = fstatat(walk.dir(), name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(&act)?;
        if self.form == Form::Flat || !is_overlay_whiteout(&stat) {
            return Ok(false);
        }
        unlinkat(walk.dir(), name, UnlinkatFlags::NoRemoveDir).map_err(&act)?;
        make_plain(walk.dir(), name)?;
        let dir: OwnedFd = openat(walk.dir(), name, DIRECTORY, Mode::empty()).map_err(&act)?;
        mark_opaque(dir.as_fd(), self.form)?;
        Ok(true)
    }
}

/// overlayfs.rst, 'whiteouts and opaque directories'.
pub(super) fn mark_opaque(dir: BorrowedFd<'_>, form: Form) -> Result<(), Fault> {
    let name = match form {
        Form::UserOverlay => c"user.overlay.opaque",
        _ => c"trusted.overlay.opaque",
    };
    xattr::set(dir, name, b"y").map_err(Fault::call("mark the directory as opaque"))
}

/// A character device 0:0.
pub(super) fn is_overlay_whiteout(stat: &libc::stat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == 0
}

/// image-spec, layer.md: a whiteout is an empty file; what its content would be is passed over.
pub(super) fn check_whiteout(entry: &Entry) -> Result<(), Fault> {
    match entry.kind {
        Kind::File(None) => Ok(()),
        _ => Err(Fault::Whiteout(
            String::from_utf8_lossy(&entry.name).into_owned(),
        )),
    }
}
