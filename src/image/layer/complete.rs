//! What a layer takes from those below it, for overlayfs, which shows directories as the topmost layer has them
//! and knows no link from one layer to another.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fstatat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

use super::below::{Below, Found};
use super::error::Fault;
use super::leanings::Leanings;
use super::merge::{Merging, clear, dress, open, set_time, split};
use super::names;
use super::walk::{Missing, Nothing, Walk, make_plain};

/// Completes a layer in its directory `into` from the unpacked layers below it, top first. Directories that it
/// does not describe become like those below; where there is a link instead, what the layer has in it moves
/// to where that leads; targets of hard links are copied up.
pub fn complete(
    leanings: &Leanings,
    below: &[BorrowedFd<'_>],
    into: BorrowedFd<'_>,
) -> Result<(), (Option<String>, Fault)> {
    let below = Below::new(below);
    let mut completing = Completing {
        below: &below,
        into,
        leanings,
        ahead: leanings.directories().map(<[u8]>::to_vec).collect(),
        moved: Vec::new(),
    };
    let named = |path: &[u8]| Some(format!("entry {:?}", String::from_utf8_lossy(path)));
    for (path, target) in leanings.links() {
        completing
            .link(path, target)
            .map_err(|fault| (named(path), fault))?;
    }
    // Parents first; what is moved adds those that it is moved to.
    while let Some(path) = completing.ahead.pop_first() {
        completing
            .directory(&path)
            .map_err(|fault| (named(&path), fault))?;
    }
    Ok(())
}

struct Completing<'a> {
    below: &'a Below<'a>,
    into: BorrowedFd<'a>,
    leanings: &'a Leanings,
    ahead: BTreeSet<Vec<u8>>,
    /// Where what lay at a path lies now.
    moved: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Completing<'_> {
    fn directory(&mut self, path: &[u8]) -> Result<(), Fault> {
        let path = self.now(path);
        match self.below.look(&path)? {
            Found::Directory(original) => {
                let dir = self.open(&path)?;
                dress(original.as_fd(), dir.as_fd())?;
                let stat = nix::sys::stat::fstat(&original)
                    .map_err(Fault::call("look at the original"))?;
                set_time(dir.as_fd(), &stat)
            }
            Found::Link => match self.below.resolve(&path)? {
                Some(target) if target != path => self.relocate(&path, target),
                // It leads to nothing, or to what is no directory.
                _ => Err(Fault::Parent(String::from_utf8_lossy(&path).into_owned())),
            },
            Found::Other { .. } | Found::Nothing => Ok(()),
        }
    }

    /// Moves what the layer has at `path`, where there is a link below, to where the link leads.
    fn relocate(&mut self, path: &[u8], target: Vec<u8>) -> Result<(), Fault> {
        let (parents, name) = split(path)?;
        let mut from = Walk::making(self.into)?;
        from.enter(&parents, &mut Nothing)?;
        let dir = open(from.dir(), &name)?;
        let mut to = Walk::making(self.into)?;
        to.enter(&names::parts(&target)?, &mut Noting(&mut self.ahead))?;
        let mut merging = Merging {
            tree: self.into,
            leanings: self.leanings,
        };
        merging.directory(dir.as_fd(), to.dir(), &mut path.to_vec())?;
        to.finish()?;
        unlinkat(from.dir(), name.as_c_str(), UnlinkatFlags::RemoveDir)
            .map_err(Fault::call("remove an emptied directory"))?;
        from.finish()?;
        self.moved.push((path.to_vec(), target));
        Ok(())
    }

    /// Makes `path` a further name of what the layers below have at `target`.
    fn link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Fault> {
        let Found::Other {
            dir,
            name,
            path: real,
            stat,
        } = self.below.look_through(target)?
        else {
            return Err(Fault::Link("to nothing: no layer below has a file there"));
        };
        let (parents, _) = split(&real)?;
        let mut original = Walk::making(self.into)?;
        original.enter(&parents, &mut Noting(&mut self.ahead))?;
        match fstatat(
            original.dir(),
            name.as_c_str(),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        ) {
            Ok(_) => {}
            Err(Errno::ENOENT) => copy_up(dir.as_fd(), &name, &stat, original.dir())?,
            Err(errno) => return Err(Fault::call("look at the target")(errno)),
        }
        let (parents, new) = split(path)?;
        let mut walk = Walk::making(self.into)?;
        walk.enter(&parents, &mut Nothing)?;
        clear(walk.dir(), &new)?;
        linkat(
            original.dir(),
            name.as_c_str(),
            walk.dir(),
            new.as_c_str(),
            AtFlags::empty(),
        )
        .map_err(Fault::call("link"))?;
        walk.finish()?;
        original.finish()
    }

    /// Where what lay at a path lies now.
    fn now(&self, path: &[u8]) -> Vec<u8> {
        let mut path = path.to_vec();
        for (from, to) in &self.moved {
            let rest = path.strip_prefix(from.as_slice());
            if let Some(rest) = rest.filter(|rest| rest.starts_with(b"/")) {
                path = [to, rest].concat();
            }
        }
        path
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd, Fault> {
        let mut walk = Walk::looking(self.into)?;
        if !walk.enter(&names::parts(path)?, &mut Nothing)? {
            return Err(Fault::Parent(String::from_utf8_lossy(path).into_owned()));
        }
        open(walk.dir(), c".")
    }
}

/// Directories made on the way are to look like those below, too.
struct Noting<'a>(&'a mut BTreeSet<Vec<u8>>);

impl Missing for Noting<'_> {
    fn make(&mut self, walk: &Walk, name: &CStr) -> Result<bool, Fault> {
        make_plain(walk.dir(), name)?;
        self.0.insert(walk.path(name));
        Ok(true)
    }

    fn replace(&mut self, _: &Walk, _: &CStr) -> Result<bool, Fault> {
        Ok(false)
    }
}

/// Copies what is no directory, with all that belongs to it.
fn copy_up(
    from: BorrowedFd<'_>,
    name: &CStr,
    stat: &libc::stat,
    to: BorrowedFd<'_>,
) -> Result<(), Fault> {
    let act = Fault::call("copy the target of a link");
    let mode = Mode::from_bits_truncate(stat.st_mode);
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => {
            let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let write = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let original = File::from(openat(from, name, read, Mode::empty()).map_err(&act)?);
            let mut copy = File::from(openat(to, name, write, Mode::S_IRUSR).map_err(&act)?);
            io::copy(&mut &original, &mut copy).map_err(|error| act(crate::sys::errno(error)))?;
            dress(original.as_fd(), copy.as_fd())?;
            return set_time(copy.as_fd(), stat);
        }
        libc::S_IFLNK => {
            let target = readlinkat(from, name).map_err(&act)?;
            let target = CString::new(target.as_bytes()).map_err(|_| act(Errno::EINVAL))?;
            symlinkat(target.as_c_str(), to, name).map_err(&act)?;
        }
        kind => mknodat(
            to,
            name,
            SFlag::from_bits_truncate(kind),
            mode,
            stat.st_rdev,
        )
        .map_err(&act)?,
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(&act)?;
    let time = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    utimensat(to, name, &time, &time, UtimensatFlags::NoFollowSymlink).map_err(act)
}
