//! A container's directory under the state root, held under its lock.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, OFlag, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, fstatat, mkdirat, umask};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::Error;
use super::record::{Record, VERSION};
use crate::spec::Id;
use crate::sys::{errno, sweep};

const RECORD: &CStr = c"state.json";
const NEW_RECORD: &CStr = c".state.json.new";

/// Not the name that it has in a bundle: a wrong `--root` may name a folder of bundles.
const CONFIG: &CStr = c".config.json.kept";

/// Where the socket is at which the container says that it is ready.
const NOTIFY: &CStr = c"notify";
const NOTIFY_SOCKET: &str = "notify.sock";

/// All that a container's directory may hold beside [`NOTIFY`]. [`Slot::remove`] knows no other names, so
/// that a wrong `--root` cannot make it remove somebody's files.
const ENTRIES: [&CStr; 4] = [RECORD, NEW_RECORD, CONFIG, c"gate"];

/// A container's directory with the exclusive lock on it. Everything is done through the directory's
/// descriptor, whatever its path has come to name.
///
/// The lock is a flock(2): it belongs to the open file, so a cloned child has it too until it closes
/// [`Slot::lock_fd`], and dropping the slot releases it for both.
#[derive(Debug)]
pub struct Slot {
    dir: Flock<OwnedFd>,
    root: OwnedFd,
    id: Id,
    path: PathBuf,
}

impl Slot {
    pub(super) fn new(dir: Flock<OwnedFd>, root: OwnedFd, id: Id, path: PathBuf) -> Self {
        Self {
            dir,
            root,
            id,
            path,
        }
    }

    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The descriptor that holds the lock; it also names the directory.
    pub fn lock_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The directory's path when it was opened: for messages, and for what must be told to others.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the record. [`Error::Missing`] when the creator was killed before it wrote one.
    pub fn record(&self) -> Result<Record, Error> {
        read_record(self.dir.as_fd(), &self.path)
    }

    /// Replaces the record. A reader sees the old one or the new one, whole.
    pub fn save(&self, record: &Record) -> Result<(), Error> {
        let text = serde_json::to_vec(record).map_err(|cause| Error::Encode {
            path: self.path.join("state.json"),
            cause,
        })?;
        let file = self.create(NEW_RECORD);
        let file = file.map_err(|errno| self.fault("create the new record", errno))?;
        File::from(file).write_all(&text).map_err(|e| {
            let errno = errno(&e);
            self.fault("write the new record", errno)
        })?;
        renameat(&*self.dir, NEW_RECORD, &*self.dir, RECORD)
            .map_err(|errno| self.fault("replace the record", errno))
    }

    /// Keeps the document that the container is made of, for processes that join it later: the
    /// bundle's may be another by then.
    pub fn keep_config(&self, json: &[u8]) -> Result<(), Error> {
        let file = self.create(CONFIG);
        let file = file.map_err(|errno| self.fault("keep config.json in", errno))?;
        File::from(file).write_all(json).map_err(|e| {
            let errno = errno(&e);
            self.fault("keep config.json in", errno)
        })
    }

    /// What [`Slot::keep_config`] kept.
    pub fn config(&self) -> Result<Vec<u8>, Error> {
        read_config(self.dir.as_fd(), &self.path)
    }

    /// Makes the directory of the socket of [`Slot::bind_notify_socket`]: the container's users may look
    /// into it. Its path.
    pub fn make_notify_dir(&self) -> Result<PathBuf, Error> {
        match mkdirat(&*self.dir, NOTIFY, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(self.fault("make the directory notify in", errno)),
        }
        // mkdir(2) leaves out what the umask of the caller has.
        let dir = self.open_notify_dir();
        dir.and_then(|dir| fchmod(dir, Mode::from_bits_truncate(0o755)))
            .map_err(|errno| self.fault("open up the directory notify in", errno))?;
        Ok(self.path.join("notify"))
    }

    fn open_notify_dir(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&*self.dir, NOTIFY, flags, Mode::empty())
    }

    /// A socket that every user of the container may write to; `None` where there is no directory for it.
    /// One that is there is of a command that was killed.
    pub fn bind_notify_socket(&self) -> Result<Option<UnixDatagram>, Error> {
        let fault = |errno| self.fault("make the socket notify/notify.sock in", errno);
        let dir = match self.open_notify_dir() {
            Err(Errno::ENOENT) => return Ok(None),
            dir => dir.map_err(fault)?,
        };
        match unlinkat(&dir, NOTIFY_SOCKET, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(fault(errno)),
        }
        // By the descriptor: a socket's address holds 108 bytes, and a path may have more (unix(7)).
        let path = format!("/proc/self/fd/{}/{NOTIFY_SOCKET}", dir.as_raw_fd());
        // Not by its name afterwards: who is in the container may put another file in its place.
        let mask = umask(Mode::empty());
        let socket = UnixDatagram::bind(path);
        umask(mask);
        let socket = socket.map_err(|e| fault(errno(&e)))?;
        Ok(Some(socket))
    }

    fn remove_notify_dir(&self) -> Result<(), Error> {
        let removed = match self.open_notify_dir() {
            // A root in the container that may remount can put files there.
            Ok(dir) => sweep::empty(dir)
                .and_then(|()| unlinkat(&*self.dir, NOTIFY, UnlinkatFlags::RemoveDir)),
            Err(errno) => Err(errno),
        };
        match removed {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.fault("remove the directory notify in", errno)),
        }
    }

    /// A new file for us alone to read. One that is there was left by a writer that was killed: we hold
    /// the lock, so nobody writes it now.
    fn create(&self, name: &CStr) -> Result<OwnedFd, Errno> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let create = || openat(&*self.dir, name, flags, Mode::from_bits_truncate(0o600));
        match create() {
            Err(Errno::EEXIST) => {
                unlinkat(&*self.dir, name, UnlinkatFlags::NoRemoveDir)?;
                create()
            }
            opened => opened,
        }
    }

    /// Removes the record and the directory, and releases the lock.
    ///
    /// An entry that is not ours, and a directory by the name of one, stays, and the directory with
    /// it: that is an error.
    pub fn remove(self) -> Result<(), Error> {
        for entry in ENTRIES {
            self.unlink(entry)?;
        }
        self.remove_notify_dir()?;
        // The directory may have been replaced by its owner since it was locked.
        if !self.is_linked()? {
            return Ok(());
        }
        match unlinkat(&self.root, self.id.as_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.fault("remove the directory", errno)),
        }
    }

    /// Releases the lock and keeps the record.
    pub fn unlock(self) {}

    /// Whether the directory that is locked is still the one by this name.
    pub(super) fn is_linked(&self) -> Result<bool, Error> {
        let own = fstat(&*self.dir).map_err(|errno| self.fault("look at", errno))?;
        match fstatat(&self.root, self.id.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(self.fault("look at", errno)),
        }
    }

    /// Whether a creator got as far as its first record.
    pub(super) fn has_record(&self) -> Result<bool, Error> {
        match fstatat(&*self.dir, RECORD, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(self.fault("look for the record", errno)),
        }
    }

    fn unlink(&self, entry: &CStr) -> Result<(), Error> {
        match unlinkat(&*self.dir, entry, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::Call {
                path: self.path.join(entry.to_string_lossy().as_ref()),
                act: "remove",
                errno,
            }),
        }
    }

    fn fault(&self, act: &'static str, errno: Errno) -> Error {
        Error::Call {
            path: self.path.clone(),
            act,
            errno,
        }
    }
}

/// Reads `state.json` of the directory `dir`; `path` is for messages.
pub(super) fn read_record(dir: BorrowedFd<'_>, path: &Path) -> Result<Record, Error> {
    parse(&read(dir, RECORD, path)?, path)
}

/// Reads what [`Slot::keep_config`] kept in the directory `dir`.
pub(super) fn read_config(dir: BorrowedFd<'_>, path: &Path) -> Result<Vec<u8>, Error> {
    read(dir, CONFIG, path)
}

fn read(dir: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<Vec<u8>, Error> {
    let fault = |act, errno| Error::Call {
        path: path.join(name.to_string_lossy().as_ref()),
        act,
        errno,
    };
    // O_NONBLOCK: somebody's fifo by that name must not hold us up.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match openat(dir, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Err(Error::Missing),
        Err(errno) => return Err(fault("open", errno)),
    };
    let stat = fstat(&file).map_err(|e| fault("look at", e))?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(fault("read", Errno::EINVAL));
    }
    let mut text = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0) + 1);
    File::from(file).read_to_end(&mut text).map_err(|e| {
        let errno = errno(&e);
        fault("read", errno)
    })?;
    Ok(text)
}

fn parse(text: &[u8], path: &Path) -> Result<Record, Error> {
    #[derive(serde::Deserialize)]
    struct Head {
        version: u32,
    }
    let path = path.join("state.json");
    // A later layout may fail to be ours in any field: its version says why.
    let version = |cause| match serde_json::from_slice::<Head>(text) {
        Ok(head) if head.version != VERSION => Error::Version {
            path: path.clone(),
            found: head.version,
        },
        _ => Error::Damaged {
            path: path.clone(),
            cause,
        },
    };
    let record: Record = serde_json::from_slice(text).map_err(version)?;
    if record.version != VERSION {
        return Err(Error::Version {
            path,
            found: record.version,
        });
    }
    Ok(record)
}
