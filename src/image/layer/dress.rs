//! What an entry says of owner, mode, attributes and time, given to what was made of it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};

use super::error::Fault;
use super::policy::{self, Owners, Verdict};
use super::tar::Entry;
use super::write::{Dropped, Writer};
use crate::sys::{process, xattr};

impl Writer<'_> {
    /// Gives the directory where the walk stands what the entry says.
    pub(super) fn dress_top(&mut self, entry: &Entry, set_mode: bool) -> Result<(), Fault> {
        let dir = self.walk.top().dir.as_fd();
        // Always: a directory above may have given it its group, and one that was there has another's.
        if let Some((uid, gid)) = self.owner(entry) {
            fchown(dir, Some(uid), Some(gid)).map_err(|e| unowned(entry, e))?;
        }
        set_xattrs(dir, entry, self.how.owners, &mut self.done.dropped)?;
        let mode = bits(entry.mode);
        let is_open = entry.mode & 0o700 == 0o700;
        let top = self.walk.top_mut();
        if set_mode {
            let now = if is_open { mode } else { mode | Mode::S_IRWXU };
            fchmod(&top.dir, now).map_err(Fault::call("set the mode"))?;
        }
        top.mode = (!is_open).then_some(mode);
        top.gives_group = entry.mode & 0o2000 != 0;
        top.time = Some(time(entry));
        self.count_owner(entry);
        Ok(())
    }

    /// Gives a file what the entry says, after its content: writing to a file, and changing its owner, takes
    /// capabilities and set-id bits away.
    pub(super) fn dress_file(&mut self, file: &File, entry: &Entry) -> Result<(), Fault> {
        if let Some((uid, gid)) = self.owner_to_set(entry) {
            fchown(file, Some(uid), Some(gid)).map_err(|e| unowned(entry, e))?;
        }
        set_xattrs(file.as_fd(), entry, self.how.owners, &mut self.done.dropped)?;
        if !self.has_no_mask || entry.mode & 0o7000 != 0 {
            fchmod(file, bits(entry.mode)).map_err(Fault::call("set the mode"))?;
        }
        self.count_owner(entry);
        let time = time(entry);
        futimens(file, &time, &time).map_err(Fault::call("set the time"))
    }

    /// Owner and time of what is not opened: a link, a device, a pipe. They have no attributes of users.
    pub(super) fn dress_name(&mut self, name: &CStr, entry: &Entry) -> Result<(), Fault> {
        let dir = self.walk.dir();
        if let Some((uid, gid)) = self.owner_to_set(entry) {
            fchownat(
                dir,
                name,
                Some(uid),
                Some(gid),
                AtFlags::AT_SYMLINK_NOFOLLOW,
            )
            .map_err(|e| unowned(entry, e))?;
        }
        let time = time(entry);
        utimensat(dir, name, &time, &time, UtimensatFlags::NoFollowSymlink)
            .map_err(Fault::call("set the time"))?;
        for (name, _) in &entry.xattrs {
            if judge(name, self.how.owners, &mut self.done.dropped)? == Verdict::Keep {
                self.done.dropped.xattrs += 1;
            }
        }
        self.count_owner(entry);
        Ok(())
    }

    /// The owner that is to be set, where owners are.
    fn owner(&self, entry: &Entry) -> Option<(Uid, Gid)> {
        (self.how.owners == Owners::AsWritten)
            .then(|| (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)))
    }

    /// The same, unless what was made has it already.
    fn owner_to_set(&self, entry: &Entry) -> Option<(Uid, Gid)> {
        self.owner(entry)
            .filter(|_| self.is_others(entry) || self.walk.top().gives_group)
    }

    fn count_owner(&mut self, entry: &Entry) {
        if self.how.owners == Owners::One && self.is_others(entry) {
            self.done.dropped.owners += 1;
        }
    }

    fn is_others(&self, entry: &Entry) -> bool {
        (entry.uid, entry.gid) != self.own
    }
}

/// Gives a file or a directory the attributes that the policy keeps.
fn set_xattrs(
    file: BorrowedFd<'_>,
    entry: &Entry,
    owners: Owners,
    dropped: &mut Dropped,
) -> Result<(), Fault> {
    for (name, value) in &entry.xattrs {
        if judge(name, owners, dropped)? == Verdict::Drop {
            continue;
        }
        let name = CString::new(name.as_slice()).map_err(|_| Fault::Name("a NUL in it"))?;
        match xattr::set(file, &name, value) {
            Ok(()) => {}
            Err(Errno::EOPNOTSUPP) => dropped.xattrs += 1,
            Err(errno) => return Err(Fault::call("set an extended attribute")(errno)),
        }
    }
    Ok(())
}

fn judge(name: &[u8], owners: Owners, dropped: &mut Dropped) -> Result<Verdict, Fault> {
    let verdict = policy::xattr(name, owners);
    match verdict {
        Verdict::Keep => {}
        Verdict::Drop if name == b"security.capability" => dropped.capabilities += 1,
        Verdict::Drop => dropped.xattrs += 1,
        Verdict::Refuse => {
            return Err(Fault::Xattr(String::from_utf8_lossy(name).into_owned()));
        }
    }
    Ok(verdict)
}

pub(super) fn bits(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode)
}

fn time(entry: &Entry) -> TimeSpec {
    let (seconds, nanoseconds) = entry.time;
    TimeSpec::new(seconds, i64::from(nanoseconds))
}

/// The kernel knows no such id here, or does not let us give it.
fn unowned(entry: &Entry, errno: Errno) -> Fault {
    let is_unmapped = |map, id| errno == Errno::EINVAL && !process::has_id(map, id);
    if is_unmapped("uid_map", entry.uid) {
        Fault::Unmapped {
            field: "uid",
            id: entry.uid,
        }
    } else if is_unmapped("gid_map", entry.gid) {
        Fault::Unmapped {
            field: "gid",
            id: entry.gid,
        }
    } else {
        Fault::call("set the owner")(errno)
    }
}
