//! One tree moved into another that lies below it.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, fstatat, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, linkat, unlinkat};

use super::error::Fault;
use super::leanings::Leanings;
use super::names;
use super::walk::{DIRECTORY, Nothing, Walk, open_to_change};
use super::write::{Removed, Unpacked};
use crate::sys::{sweep, xattr};

/// Puts an unpacked layer over the tree of those below it: first the links that it makes to their files, then
/// what it removes, then what it has. `layer` is empty afterwards. Mode and time of the root are the caller's to set.
pub(super) fn merge(
    layer: BorrowedFd<'_>,
    unpacked: &Unpacked,
    tree: BorrowedFd<'_>,
) -> Result<(), Fault> {
    link(layer, &unpacked.leanings, tree)?;
    remove(tree, &unpacked.removed)?;
    let mut merging = Merging {
        tree,
        leaning: unpacked.leanings.all_directories(),
        moved: (0, &[]),
        met: Vec::new(),
    };
    // Its names could not be moved otherwise.
    let own = fstat(layer).map_err(Fault::call("look at the root"))?;
    fchmod(layer, Mode::from_bits_truncate(own.st_mode) | Mode::S_IRWXU)
        .map_err(Fault::call("set the mode of the root"))?;
    merging.directory(layer, tree, &mut Vec::new())?;
    if unpacked.describes_root {
        dress(layer, tree)?;
    }
    Ok(())
}

fn link(layer: BorrowedFd<'_>, leanings: &Leanings, tree: BorrowedFd<'_>) -> Result<(), Fault> {
    let (mut from, mut to) = (Walk::looking(tree)?, Walk::making(layer)?);
    for (path, target) in leanings.links() {
        let (target, target_name) = split(target)?;
        let (path, name) = split(path)?;
        if !from.enter(&target, &mut Nothing)? || !to.enter(&path, &mut Nothing)? {
            return Err(Fault::Link("to nothing: no layer below has it"));
        }
        linkat(
            from.dir(),
            target_name.as_c_str(),
            to.dir(),
            name.as_c_str(),
            AtFlags::empty(),
        )
        .map_err(|errno| match errno {
            Errno::ENOENT => Fault::Link("to nothing: no layer below has it"),
            Errno::EPERM => Fault::Link("to a directory"),
            errno => Fault::call("link to what a layer below has")(errno),
        })?;
    }
    to.finish()
}

fn remove(tree: BorrowedFd<'_>, removed: &[Removed]) -> Result<(), Fault> {
    let mut walk = Walk::making(tree)?;
    for one in removed {
        match one {
            Removed::Entry(path) => {
                let (parents, name) = split(path)?;
                if walk.enter_if_there(&parents)? {
                    clear(walk.dir(), &name)?;
                }
            }
            Removed::Content(path) => {
                if walk.enter_if_there(&names::parts(path)?)? {
                    // By a link below: no layer may hide the whole tree, where the others wait besides.
                    if walk.path(c"").is_empty() {
                        return Err(Fault::Whiteout(".wh..wh..opq".into()));
                    }
                    let dir = walk
                        .top()
                        .dir
                        .try_clone()
                        .map_err(|e| Fault::call("empty a directory")(crate::sys::errno(e)))?;
                    sweep::empty(dir).map_err(Fault::call("empty a directory"))?;
                }
            }
        }
    }
    walk.finish()
}

/// Removes a name, if it is there, with all below it.
pub(super) fn clear(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
    let act = Fault::call("remove what is there");
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR) => {}
        Err(errno) => return Err(act(errno)),
    }
    sweep::empty(open_to_change(dir, name)?).map_err(&act)?;
    unlinkat(dir, name, UnlinkatFlags::RemoveDir).map_err(act)
}

/// Parents and name of a path that is known to have one.
pub(super) fn split(path: &[u8]) -> Result<(Vec<CString>, CString), Fault> {
    let mut parts = names::parts(path)?;
    let name = parts.pop().ok_or(Fault::Link("to the root"))?;
    Ok((parts, name))
}

pub(super) fn open(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Fault> {
    openat(dir, name, DIRECTORY, Mode::empty()).map_err(Fault::call("open a directory"))
}

pub(super) struct Merging<'a> {
    /// Where links lead from.
    pub(super) tree: BorrowedFd<'a>,
    /// Directories of the layer that are to look like those they come upon.
    pub(super) leaning: &'a BTreeSet<Vec<u8>>,
    /// How much of a path in the layer is another one in the tree, and that.
    pub(super) moved: (usize, &'a [u8]),
    /// Those that have come upon one.
    pub(super) met: Vec<Vec<u8>>,
}

impl Merging<'_> {
    /// Moves all in `from` to `to`; `path` is that of `from` in its layer.
    pub(super) fn directory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        for name in listed(from)? {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend(name.to_bytes());
            self.entry(from, to, &name, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let act = Fault::call("look at what is there");
        let there = match fstatat(to, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return rename(from, to, name),
            Err(errno) => return Err(act(errno)),
        };
        let own = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(act)?;
        let is_leaning = self.leaning.contains(path);
        if is_leaning {
            self.met.push(path.clone());
        }
        match (kind(&own), kind(&there)) {
            (libc::S_IFDIR, libc::S_IFDIR) => {
                let (own_dir, dir) = (open_to_change(from, name)?, open_to_change(to, name)?);
                self.directory(own_dir.as_fd(), dir.as_fd(), path)?;
                let like = if is_leaning { &there } else { &own };
                if !is_leaning {
                    dress(own_dir.as_fd(), dir.as_fd())?;
                }
                set_mode(dir.as_fd(), like)?;
                set_time(dir.as_fd(), like)?;
            }
            // The layer goes through a link of those below: its files are where that leads.
            (libc::S_IFDIR, libc::S_IFLNK) if is_leaning => {
                let own_dir = open_to_change(from, name)?;
                let mut walk = Walk::making(self.tree)?;
                let (length, place) = self.moved;
                let parts = names::parts(&[place, &path[length..]].concat())?;
                if !walk.enter(&parts, &mut Plain)? {
                    return Err(Fault::Parent(String::from_utf8_lossy(path).into_owned()));
                }
                self.directory(own_dir.as_fd(), walk.dir(), path)?;
                walk.finish()?;
            }
            _ => {
                clear(to, name)?;
                return rename(from, to, name);
            }
        }
        unlinkat(from, name, UnlinkatFlags::RemoveDir)
            .map_err(Fault::call("remove an emptied directory"))
    }
}

/// What a link leads to and no layer has is made.
struct Plain;

impl super::walk::Missing for Plain {
    fn make(&mut self, walk: &Walk, name: &CStr) -> Result<bool, Fault> {
        super::walk::make_plain(walk.dir(), name)?;
        Ok(true)
    }

    fn replace(&mut self, _: &Walk, _: &CStr) -> Result<bool, Fault> {
        Ok(false)
    }
}

fn kind(stat: &libc::stat) -> libc::mode_t {
    stat.st_mode & libc::S_IFMT
}

fn rename(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
    let act = Fault::call("move");
    match renameat(from, name, to, name) {
        // A directory gets another parent, which without privilege only its owner's right to write
        // allows.
        Err(Errno::EACCES) => {
            let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(&act)?;
            if kind(&stat) != libc::S_IFDIR {
                return Err(act(Errno::EACCES));
            }
            let mode = Mode::from_bits_truncate(stat.st_mode);
            let set =
                |dir, mode| fchmodat(dir, name, mode, FchmodatFlags::FollowSymlink).map_err(&act);
            set(from, mode | Mode::S_IRWXU)?;
            renameat(from, name, to, name).map_err(&act)?;
            set(to, mode)
        }
        other => other.map_err(act),
    }
}

/// The names in a directory.
pub(super) fn listed(dir: BorrowedFd<'_>) -> Result<Vec<CString>, Fault> {
    let act = Fault::call("list a directory");
    let mut names = Vec::new();
    for entry in Dir::from_fd(open(dir, c".")?).map_err(&act)?.iter() {
        let entry = entry.map_err(&act)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Gives `to` owner, mode and attributes of `from`.
pub(super) fn dress(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Fault> {
    let stat = fstat(from).map_err(Fault::call("look at the original"))?;
    fchown(
        to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )
    .map_err(Fault::call("set the owner"))?;
    let act = Fault::call("copy an extended attribute");
    let own = attributes(from)?;
    for name in attributes(to)? {
        if !own.contains(&name) {
            xattr::remove(to, &name).map_err(&act)?;
        }
    }
    for name in own {
        let value = xattr::get(from, &name).map_err(&act)?;
        xattr::set(to, &name, &value).map_err(&act)?;
    }
    fchmod(to, Mode::from_bits_truncate(stat.st_mode)).map_err(Fault::call("set the mode"))
}

/// Those that layers have; overlayfs keeps its own for itself.
fn attributes(of: BorrowedFd<'_>) -> Result<Vec<CString>, Fault> {
    let mut names = match xattr::list(of) {
        Ok(names) => names,
        Err(Errno::EOPNOTSUPP) => Vec::new(),
        Err(errno) => return Err(Fault::call("list the extended attributes")(errno)),
    };
    names.retain(|name| {
        let name = name.to_bytes();
        let is_users = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        is_users || name == b"security.capability"
    });
    Ok(names)
}

fn set_mode(of: BorrowedFd<'_>, like: &libc::stat) -> Result<(), Fault> {
    fchmod(of, Mode::from_bits_truncate(like.st_mode)).map_err(Fault::call("set the mode"))
}

pub(super) fn set_time(of: BorrowedFd<'_>, like: &libc::stat) -> Result<(), Fault> {
    let time = TimeSpec::new(like.st_mtime, like.st_mtime_nsec);
    futimens(of, &time, &time).map_err(Fault::call("set the time"))
}
