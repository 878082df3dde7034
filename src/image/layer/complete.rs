//! What a layer takes from those below it, for overlayfs, which shows directories as the topmost layer has them
//! and knows no link from one layer to another.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags};
use nix::sys::stat::{fchmodat, fstatat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, Whence};
use nix::unistd::{fchownat, linkat, lseek, symlinkat, unlinkat};

use super::below::{Below, Found, is_opaque};
use super::error::Fault;
use super::leanings::Leanings;
use super::merge::{Merging, clear, dress, open, set_time, split};
use super::names;
use super::walk::{DIRECTORY, Missing, Nothing, Walk, make_plain};

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
        ahead: leanings.all_directories().clone(),
        copied: BTreeMap::new(),
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
    /// Directories that are to become like those below, by where they lie now.
    ahead: BTreeSet<Vec<u8>>,
    /// Files of layers below, and the name that their copy has here.
    copied: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Completing<'_> {
    fn directory(&mut self, path: &[u8]) -> Result<(), Fault> {
        match self.below.look(path)? {
            Found::Directory(original) => {
                let dir = self.open(path)?;
                dress(original.as_fd(), dir.as_fd())?;
                let stat = nix::sys::stat::fstat(&original)
                    .map_err(Fault::call("look at the original"))?;
                set_time(dir.as_fd(), &stat)
            }
            Found::Link => match self.below.resolve(path)? {
                Some(target) if target != path => self.relocate(path, &target),
                // It leads to nothing, or to what is no directory.
                _ => Err(Fault::Parent(String::from_utf8_lossy(path).into_owned())),
            },
            Found::Other { .. } | Found::Nothing => Ok(()),
        }
    }

    /// Moves what the layer has at `path`, where there is a link below, to where the link leads.
    fn relocate(&mut self, path: &[u8], target: &[u8]) -> Result<(), Fault> {
        let (parents, name) = split(path)?;
        let mut from = Walk::making(self.into)?;
        from.enter(&parents, &mut Nothing)?;
        let dir = open(from.dir(), &name)?;
        let mut to = Walk::making(self.into)?;
        to.enter(&names::parts(target)?, &mut Noting(&mut self.ahead))?;
        let mut merging = Merging {
            tree: self.into,
            leaning: &self.ahead,
            moved: (path.len(), target),
            met: Vec::new(),
        };
        merging.directory(dir.as_fd(), to.dir(), &mut path.to_vec())?;
        // What was there already has its own say on what it is to be like.
        for met in merging.met {
            self.ahead.remove(&met);
        }
        to.finish()?;
        unlinkat(from.dir(), name.as_c_str(), UnlinkatFlags::RemoveDir)
            .map_err(Fault::call("remove an emptied directory"))?;
        from.finish()?;
        self.ahead = std::mem::take(&mut self.ahead)
            .into_iter()
            .map(|ahead| match ahead.strip_prefix(path) {
                Some(rest) if rest.starts_with(b"/") => [target, rest].concat(),
                _ => ahead,
            })
            .collect();
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
        if !self.copied.contains_key(&real) {
            let place = if self.hides(&real)? { path } else { &real };
            let (parents, name_here) = split(place)?;
            let mut walk = Walk::making(self.into)?;
            walk.enter(&parents, &mut Noting(&mut self.ahead))?;
            copy_up((dir.as_fd(), &name), &stat, (walk.dir(), &name_here))?;
            walk.finish()?;
            self.copied.insert(real.clone(), place.to_vec());
        }
        let place = &self.copied[&real];
        if place == path {
            return Ok(());
        }
        let (parents, name) = split(place)?;
        let mut original = Walk::making(self.into)?;
        original.enter(&parents, &mut Nothing)?;
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

    /// Whether the layer has something else where those below have a file, or lets nothing of it be seen.
    fn hides(&self, path: &[u8]) -> Result<bool, Fault> {
        let (parents, name) = split(path)?;
        let mut dir = open(self.into, c".")?;
        for parent in &parents {
            match openat(&dir, parent.as_c_str(), DIRECTORY, Mode::empty()) {
                Ok(next) if is_opaque(next.as_fd()) => return Ok(true),
                Ok(next) => dir = next,
                Err(Errno::ENOENT) => return Ok(false),
                Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(true),
                Err(errno) => return Err(Fault::call("look at a directory on the way")(errno)),
            }
        }
        match fstatat(&dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(Fault::call("look at the target")(errno)),
        }
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
    (from, name): (BorrowedFd<'_>, &CStr),
    stat: &libc::stat,
    (to, new): (BorrowedFd<'_>, &CStr),
) -> Result<(), Fault> {
    let act = Fault::call("copy the target of a link");
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => {
            let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let write = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let original = File::from(openat(from, name, read, Mode::empty()).map_err(&act)?);
            let mut copy = File::from(openat(to, new, write, Mode::S_IRUSR).map_err(&act)?);
            copy_content(&original, &mut copy).map_err(|error| act(crate::sys::errno(error)))?;
            dress(original.as_fd(), copy.as_fd())?;
            return set_time(copy.as_fd(), stat);
        }
        libc::S_IFLNK => {
            let target = readlinkat(from, name).map_err(&act)?;
            let target = CString::new(target.as_bytes()).map_err(|_| act(Errno::EINVAL))?;
            symlinkat(target.as_c_str(), to, new).map_err(&act)?;
        }
        kind => {
            let kind = SFlag::from_bits_truncate(kind);
            mknodat(to, new, kind, mode, stat.st_rdev).map_err(&act)?;
            // The umask has taken its part; it is no link, since it was made just now.
            fchmodat(to, new, mode, FchmodatFlags::FollowSymlink).map_err(&act)?;
        }
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(to, new, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(&act)?;
    let time = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    utimensat(to, new, &time, &time, UtimensatFlags::NoFollowSymlink).map_err(act)
}

/// With its holes (lseek(2), SEEK_DATA and SEEK_HOLE).
fn copy_content(mut original: &File, copy: &mut File) -> io::Result<()> {
    let size = original.metadata()?.len();
    let mut end = 0;
    loop {
        let begin = match lseek(original, end, Whence::SeekData) {
            Ok(begin) => begin,
            Err(Errno::ENXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        end = lseek(original, begin, Whence::SeekHole)?;
        let from = SeekFrom::Start(begin.cast_unsigned());
        original.seek(from)?;
        copy.seek(from)?;
        io::copy(&mut original.take(end.abs_diff(begin)), copy)?;
    }
    copy.set_len(size)
}
