//! A group's directory, held by its descriptor.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};
use nix::unistd::{AccessFlags, Pid, Uid, UnlinkatFlags, faccessat, fchownat, unlinkat};

use super::Error;
use crate::sys::errno;

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// An open directory that is known to lie on a cgroup filesystem: what is read, written or removed
/// through it is a group, whatever its path has become.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    v2: bool,
}

impl Directory {
    /// `None`: there is no such directory.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let fd = match open(path, DIRECTORY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(Error::call("open the group", path)(errno)),
        };
        let kind = fstatfs(&fd).map_err(Error::call("look at", path))?;
        let v2 = match kind.filesystem_type() {
            CGROUP2_SUPER_MAGIC => true,
            CGROUP_SUPER_MAGIC => false,
            _ => return Err(Error::NotAGroup { path: path.into() }),
        };
        let path = path.into();
        Ok(Some(Self { fd, path, v2 }))
    }

    /// The group `name` directly below, made when it is missing; and whether it was.
    pub(super) fn make_below(&self, name: &OsStr) -> Result<(Self, bool), Error> {
        let path = self.path.join(name);
        let new = match mkdirat(&self.fd, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(errno) => return Err(Error::call("make the group", path)(errno)),
        };
        match self.below(name)? {
            Some(group) => Ok((group, new)),
            None => Err(Error::call("open the group", path)(Errno::ENOENT)),
        }
    }

    /// The group `name` directly below; `None` when it is gone.
    pub(super) fn below(&self, name: &OsStr) -> Result<Option<Self>, Error> {
        self.open_at(name, self.path.join(name))
    }

    /// Every group below, leaves first: `visit` has the group above, the name in it, and the group.
    /// Holds two descriptors however deep a container has nested its groups.
    pub(super) fn walk(
        &self,
        mut visit: impl FnMut(&Self, &OsStr, &Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut levels = vec![(self.children()?, OsString::new())];
        let Some(mut at) = self.open_at(OsStr::new("."), self.path.clone())? else {
            return Ok(());
        };
        while let Some((waiting, name)) = levels.last_mut() {
            if let Some(next) = waiting.pop() {
                if let Some(group) = at.below(&next)? {
                    levels.push((group.children()?, next));
                    at = group;
                }
                continue;
            }
            let name = std::mem::take(name);
            levels.pop();
            if levels.is_empty() {
                break;
            }
            let path = at.path.parent().unwrap_or(&self.path).into();
            let Some(above) = at.open_at(OsStr::new(".."), path)? else {
                break;
            };
            visit(&above, &name, &at)?;
            at = above;
        }
        Ok(())
    }

    fn open_at(&self, name: &OsStr, path: PathBuf) -> Result<Option<Self>, Error> {
        match openat(&self.fd, name, DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Some(Self {
                fd,
                path,
                v2: self.v2,
            })),
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(None),
            Err(errno) => Err(Error::call("open the group", path)(errno)),
        }
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Whether the hierarchy is one of `controller`, as its files show: `CONTROLLER.NAME`.
    pub(super) fn has_files_of(&self, controller: &str) -> Result<bool, Error> {
        let fault = |errno| Error::call("list the group", &self.path)(errno);
        let mut list = Dir::openat(&self.fd, ".", DIRECTORY, Mode::empty()).map_err(fault)?;
        for entry in list.iter() {
            let name = entry.map_err(fault)?;
            let rest = name
                .file_name()
                .to_bytes()
                .strip_prefix(controller.as_bytes());
            if rest.is_some_and(|rest| rest.starts_with(b".")) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_v2(&self) -> bool {
        self.v2
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn open_file(&self, name: &str, flags: OFlag) -> Result<File, Errno> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.fd, name, flags, Mode::empty()).map(File::from)
    }

    /// The whole text of a control file.
    pub(super) fn read(&self, name: &str) -> Result<String, Errno> {
        let mut text = String::new();
        self.open_file(name, OFlag::O_RDONLY)?
            .read_to_string(&mut text)
            .map_err(errno)?;
        Ok(text)
    }

    /// One write: the kernel takes each write to a control file as a whole command.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Errno> {
        let mut file = self.open_file(name, OFlag::O_WRONLY)?;
        file.write(text.as_bytes()).map_err(errno).map(drop)
    }

    /// The result of a write of a limit, its error in words.
    pub(super) fn refused(
        &self,
        field: &'static str,
        file: &str,
        value: &str,
        result: Result<(), Errno>,
    ) -> Result<(), Error> {
        match result {
            Ok(()) => Ok(()),
            Err(Errno::ENOENT) => Err(Error::NoFile {
                field,
                file: file.into(),
            }),
            Err(errno) => Err(Error::Limit {
                field,
                value: value.into(),
                path: self.path.join(file),
                errno,
            }),
        }
    }

    /// Removes the group `name` directly below if it is empty; `EBUSY` if it is not.
    pub(super) fn remove_below(&self, name: &OsStr) -> Result<(), Errno> {
        unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir)
    }

    /// [`Directory::read`] with the error in words.
    pub(super) fn text(&self, name: &str) -> Result<String, Error> {
        self.read(name)
            .map_err(Error::call("read", self.path.join(name)))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        faccessat(
            &self.fd,
            name,
            AccessFlags::F_OK,
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .is_ok()
    }

    /// Makes `uid` the owner of a control file, or of the directory where `file` is empty. A file that
    /// this group does not have is none to own.
    pub(super) fn give(&self, file: &str, uid: Uid) -> Result<(), Error> {
        let flags = AtFlags::AT_EMPTY_PATH | AtFlags::AT_SYMLINK_NOFOLLOW;
        match fchownat(&self.fd, file, Some(uid), None, flags) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::call("change the owner of", self.path.join(file))(
                errno,
            )),
        }
    }

    /// The file by which one thread enters this v1 group.
    pub(super) fn door(&self) -> Result<OwnedFd, Error> {
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.fd, "tasks", flags, Mode::empty())
            .map_err(Error::call("open", self.path.join("tasks")))
    }

    /// Names of the groups directly below.
    fn children(&self) -> Result<Vec<OsString>, Error> {
        let fault = || Error::call("list the groups in", &self.path);
        let mut names = Vec::new();
        let mut dir = Dir::openat(&self.fd, ".", DIRECTORY, Mode::empty()).map_err(fault())?;
        for entry in dir.iter() {
            let entry = match entry {
                Err(Errno::ENOENT) => break,
                other => other.map_err(fault())?,
            };
            let name = entry.file_name().to_bytes();
            if entry.file_type() == Some(Type::Directory) && !matches!(name, b"." | b"..") {
                names.push(OsStr::from_bytes(name).into());
            }
        }
        Ok(names)
    }

    /// The processes in this group alone; one that this pid namespace cannot name is 0. A group that is removed meanwhile has none.
    pub(super) fn members(&self) -> Result<Vec<i32>, Error> {
        let text = match self.read("cgroup.procs") {
            // In a threaded group only its threads are listed (cgroups(7)).
            Err(Errno::EOPNOTSUPP) => self.read("cgroup.threads"),
            other => other,
        };
        match text {
            Ok(text) => Ok(text.lines().filter_map(|l| l.parse().ok()).collect()),
            Err(Errno::ENODEV | Errno::ENOENT) => Ok(Vec::new()),
            Err(errno) => Err(Error::call("list the processes in", &self.path)(errno)),
        }
    }

    /// The processes in this group and below it that this pid namespace can name.
    pub(super) fn all_pids(&self) -> Result<Vec<Pid>, Error> {
        let members = self.all_members()?.into_iter();
        Ok(members.filter(|m| *m > 0).map(Pid::from_raw).collect())
    }

    /// The processes in this group and below it; one that this pid namespace cannot name is 0.
    pub(super) fn all_members(&self) -> Result<Vec<i32>, Error> {
        let mut members = self.members()?;
        self.walk(|_, _, group| {
            members.extend(group.members()?);
            Ok(())
        })?;
        Ok(members)
    }
}
