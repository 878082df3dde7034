//! The directories on the way to an entry, held open one below the other.
//!
//! Each step is one name under one descriptor, and a link is never followed by the kernel: it is read, and its
//! target is walked from the root of the tree that is being made. So no name leads out of it, and where
//! entries come in the order of a tree, as archivers write them, a file costs one look-up.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, fstatat, futimens, mkdirat};
use nix::sys::time::TimeSpec;
use nix::unistd::{fchown, getegid};

use super::error::Fault;
use super::names::DEEPEST;

/// As the kernel counts them (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// Parts of their targets that are gone through: for one name, and for all of a layer. A target of many
/// `a/../` costs as many look-ups, and hostile layers have many names through it.
const MOST_PARTS: usize = 1024;
const MOST_PARTS_OF_ALL: usize = 1 << 24;

pub(super) const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// An open directory of the tree.
#[derive(Debug)]
pub(super) struct Level {
    name: CString,
    pub(super) dir: OwnedFd,
    /// Whether what is made in it gets its group (the set-group-id bit).
    pub(super) gives_group: bool,
    /// Given to it when it is left: making things in it changes the one, and without privilege the
    /// other is not what things can be made with.
    pub(super) time: Option<TimeSpec>,
    pub(super) mode: Option<Mode>,
}

/// What is done where a directory on the way is not there.
pub(super) trait Missing {
    /// Makes `name` in `dir`, which has none; false: it stays so.
    fn make(&mut self, walk: &Walk, name: &CStr) -> Result<bool, Fault>;

    /// `name` in `dir` is neither a directory nor a link; whether it has been removed.
    fn replace(&mut self, walk: &Walk, name: &CStr) -> Result<bool, Fault>;
}

/// Nothing is made where something is only looked for.
pub(super) struct Nothing;

impl Missing for Nothing {
    fn make(&mut self, _: &Walk, _: &CStr) -> Result<bool, Fault> {
        Ok(false)
    }

    fn replace(&mut self, _: &Walk, _: &CStr) -> Result<bool, Fault> {
        Ok(false)
    }
}

#[derive(Debug)]
pub(super) struct Walk {
    /// From the root down; the root is always there.
    levels: Vec<Level>,
    /// Whether the times of directories are put back when they are left.
    keeps_times: bool,
    /// Parts of targets of links.
    parts: usize,
}

impl Walk {
    /// Of a tree in which things are made.
    pub(super) fn making(root: BorrowedFd<'_>) -> Result<Self, Fault> {
        Self::new(root, true)
    }

    /// Of a tree in which things are looked for.
    pub(super) fn looking(root: BorrowedFd<'_>) -> Result<Self, Fault> {
        Self::new(root, false)
    }

    fn new(root: BorrowedFd<'_>, keeps_times: bool) -> Result<Self, Fault> {
        let dir =
            openat(root, c".", DIRECTORY, Mode::empty()).map_err(Fault::call("open the root"))?;
        let mut walk = Self {
            levels: Vec::new(),
            keeps_times,
            parts: 0,
        };
        walk.push(CString::default(), dir, None)?;
        Ok(walk)
    }

    pub(super) fn top(&self) -> &Level {
        self.levels.last().expect("the root is never left")
    }

    pub(super) fn top_mut(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the root is never left")
    }

    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.top().dir.as_fd()
    }

    /// Where the walk stands: no part of it is a link. `name` is one that is there.
    pub(super) fn path(&self, name: &CStr) -> Vec<u8> {
        let mut path = Vec::new();
        let above = self.levels[1..].iter().map(|level| level.name.as_c_str());
        for part in above.chain(Some(name).filter(|name| !name.is_empty())) {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(part.to_bytes());
        }
        path
    }

    /// Goes to a directory, by way of links in it if there are any; false where it is not there and is
    /// not made.
    pub(super) fn enter(
        &mut self,
        parts: &[CString],
        missing: &mut impl Missing,
    ) -> Result<bool, Fault> {
        let open = self.levels[1..].iter().zip(parts);
        let same = open
            .take_while(|(level, part)| level.name == **part)
            .count();
        self.leave_to(same + 1)?;
        let mut ahead: Vec<CString> = parts[same..].iter().rev().cloned().collect();
        let mut links = 0;
        let most = MOST_PARTS_OF_ALL.min(self.parts + MOST_PARTS);
        while let Some(name) = ahead.pop() {
            match name.to_bytes() {
                b"" | b"." => continue,
                // Only of a link. Above the root is the root.
                b".." => {
                    self.leave_to(self.levels.len().saturating_sub(1).max(1))?;
                    continue;
                }
                _ => {}
            }
            match self.step(&name) {
                Ok(()) => {}
                Err(Fault::Call {
                    errno: Errno::ENOENT,
                    ..
                }) => {
                    if !missing.make(self, &name)? {
                        return Ok(false);
                    }
                    self.step(&name)?;
                }
                Err(Fault::Call {
                    errno: Errno::ENOTDIR | Errno::ELOOP,
                    ..
                }) => {
                    let Some(target) = self.link(&name)? else {
                        if !missing.replace(self, &name)? {
                            return Err(Fault::Parent(
                                String::from_utf8_lossy(&self.path(&name)).into(),
                            ));
                        }
                        ahead.push(name);
                        continue;
                    };
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Fault::Links);
                    }
                    if target.first() == Some(&b'/') {
                        self.leave_to(1)?;
                    }
                    let parts = target.split(|b| *b == b'/').rev();
                    self.parts += parts.clone().count();
                    if self.parts > most {
                        return Err(Fault::Links);
                    }
                    ahead.extend(parts.filter_map(|part| CString::new(part).ok()));
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(true)
    }

    /// Goes to a directory that may not be there, or be something else.
    pub(super) fn enter_if_there(&mut self, parts: &[CString]) -> Result<bool, Fault> {
        match self.enter(parts, &mut Nothing) {
            Err(Fault::Parent(_) | Fault::Links) => Ok(false),
            other => other,
        }
    }

    /// Goes to a directory of the one where it stands.
    pub(super) fn step(&mut self, name: &CStr) -> Result<(), Fault> {
        if self.levels.len() > DEEPEST {
            return Err(Fault::Name("deeper than 256 directories"));
        }
        let act = Fault::call("open a directory on the way");
        match openat(self.dir(), name, DIRECTORY, Mode::empty()) {
            Ok(dir) => self.push(name.into(), dir, None),
            // Its own mode keeps us out; it is ours, and gets the mode back.
            Err(Errno::EACCES) if self.keeps_times => {
                let stat = fstatat(self.dir(), name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(&act)?;
                if stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
                    return Err(act(Errno::ENOTDIR));
                }
                let mode = Mode::from_bits_truncate(stat.st_mode);
                let dir = open_to_change(self.dir(), name)?;
                self.push(name.into(), dir, Some(mode))
            }
            Err(errno) => Err(act(errno)),
        }
    }

    fn push(&mut self, name: CString, dir: OwnedFd, mode: Option<Mode>) -> Result<(), Fault> {
        let mut level = Level {
            name,
            dir,
            gives_group: false,
            time: None,
            mode,
        };
        if self.keeps_times {
            let stat = fstat(&level.dir).map_err(Fault::call("look at a directory"))?;
            level.gives_group = stat.st_mode & libc::S_ISGID != 0;
            level.time = Some(TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec));
            // Without privilege nothing can be made in it; it is ours, and gets the mode back.
            let mode = Mode::from_bits_truncate(stat.st_mode);
            if !mode.contains(Mode::S_IRWXU) {
                let open = mode | Mode::S_IRWXU;
                fchmod(&level.dir, open).map_err(Fault::call("open a directory to writing"))?;
                level.mode = Some(mode);
            }
        }
        self.levels.push(level);
        Ok(())
    }

    /// The target of a link; `None`: it is none.
    fn link(&self, name: &CStr) -> Result<Option<Vec<u8>>, Fault> {
        match readlinkat(self.dir(), name) {
            Ok(target) => Ok(Some(target.into_vec())),
            Err(Errno::EINVAL) => Ok(None),
            Err(errno) => Err(Fault::call("read a link on the way")(errno)),
        }
    }

    /// Leaves all but so many levels, and gives each what it is to have.
    fn leave_to(&mut self, count: usize) -> Result<(), Fault> {
        while self.levels.len() > count {
            let level = self.levels.pop().expect("there are more than so many");
            level.finish()?;
        }
        Ok(())
    }

    /// Goes back to the root, where no directory is open that may have been replaced since.
    pub(super) fn forget(&mut self) -> Result<(), Fault> {
        self.leave_to(1)
    }

    pub(super) fn finish(mut self) -> Result<(), Fault> {
        self.leave_to(0)
    }
}

impl Level {
    fn finish(self) -> Result<(), Fault> {
        if let Some(mode) = self.mode {
            fchmod(&self.dir, mode).map_err(Fault::call("set the mode of a directory"))?;
        }
        if let Some(time) = self.time {
            futimens(&self.dir, &time, &time)
                .map_err(Fault::call("set the time of a directory"))?;
        }
        Ok(())
    }
}

/// Opens a directory whose own mode may keep its owner out.
pub(super) fn open_to_change(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Fault> {
    let act = Fault::call("open a directory");
    let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(&act)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
        return Err(act(Errno::ENOTDIR));
    }
    let mode = Mode::from_bits_truncate(stat.st_mode);
    if !mode.contains(Mode::S_IRWXU) {
        let open = mode | Mode::S_IRWXU;
        fchmodat(dir, name, open, FchmodatFlags::FollowSymlink).map_err(&act)?;
    }
    openat(dir, name, DIRECTORY, Mode::empty()).map_err(act)
}

/// Makes a directory with what one has of which nothing is said.
pub(super) fn make_plain(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
    let mode = Mode::from_bits_truncate(0o755);
    mkdirat(dir, name, mode).map_err(Fault::call("make a directory on the way"))?;
    let dir =
        openat(dir, name, DIRECTORY, Mode::empty()).map_err(Fault::call("open a directory"))?;
    // The directory above may have given it its group, and the bit that gives it.
    fchown(&dir, None, Some(getegid())).map_err(Fault::call("set the group of a directory"))?;
    // Not when it was unpacked: the same layer gives the same tree.
    let time = TimeSpec::new(0, 0);
    fchmod(&dir, mode).map_err(Fault::call("set the mode of a directory"))?;
    futimens(&dir, &time, &time).map_err(Fault::call("set the time of a directory"))
}
