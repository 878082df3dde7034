//! The state root: all containers of one `--root`.

use std::ffi::CStr;
use std::fs::DirBuilder;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};

use super::slot::{Slot, read_config, read_record};
use super::{Error, Record, holder};
use crate::spec::Id;
use crate::sys::errno;

/// A container's name and what is recorded of it.
pub type Listed = (Id, Result<Record, Error>);

/// The directory of all records. Nothing is made before the first [`Store::reserve`].
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// `root` is absolute.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes the name `id` for a new container. Of several who try at once one wins; the others have
    /// [`Error::Exists`], at once or when the winner has written its record.
    ///
    /// A directory without a record, locked by nobody, is what a creator left that was killed: it is
    /// taken over.
    pub fn reserve(&self, id: &Id) -> Result<Slot, Error> {
        loop {
            let root = self.make_root()?;
            let made = match mkdirat(&root, id.as_str(), Mode::from_bits_truncate(0o711)) {
                Ok(()) => true,
                Err(Errno::EEXIST) => false,
                Err(errno) => return Err(self.fault(id, "make the directory", errno)),
            };
            // Whoever may have taken over our new directory will write a record or go away.
            let wait = if made {
                FlockArg::LockExclusive
            } else {
                FlockArg::LockExclusiveNonblock
            };
            let slot = match self.lock(root, id, wait) {
                Ok(slot) => slot,
                Err(Error::Missing) => continue,
                Err(Error::Call {
                    errno: Errno::EWOULDBLOCK,
                    ..
                }) => return Err(Error::Exists),
                Err(e) => return Err(e),
            };
            if !slot.is_linked()? {
                continue;
            }
            return if slot.has_record()? {
                Err(Error::Exists)
            } else {
                Ok(slot)
            };
        }
    }

    /// Locks container `id`, and waits for the command that has the lock now. The record may be
    /// missing (see [`Slot::record`]).
    pub fn open(&self, id: &Id) -> Result<Slot, Error> {
        loop {
            let root = self.open_root()?;
            let slot = self.lock(root, id, FlockArg::LockExclusive)?;
            // Removed, and perhaps made anew, while we waited.
            if slot.is_linked()? {
                return Ok(slot);
            }
        }
    }

    /// [`Store::open`] that does not wait: `None` while another has the lock.
    pub fn try_open(&self, id: &Id) -> Result<Option<Slot>, Error> {
        loop {
            let root = self.open_root()?;
            let slot = match self.lock(root, id, FlockArg::LockExclusiveNonblock) {
                Err(Error::Call {
                    errno: Errno::EWOULDBLOCK,
                    ..
                }) => return Ok(None),
                slot => slot?,
            };
            if slot.is_linked()? {
                return Ok(Some(slot));
            }
        }
    }

    /// The process that has the lock of container `id`, as far as the kernel tells.
    pub fn holder(&self, id: &Id) -> Option<i32> {
        holder::of(self.directory(id).ok()?.as_fd())
    }

    /// Reads the record of container `id` without its lock.
    pub fn load(&self, id: &Id) -> Result<Record, Error> {
        let root = self.open_root()?;
        let dir = self.open_dir(&root, id)?;
        read_record(dir.as_fd(), &self.root.join(id.as_str()))
    }

    /// The document that container `id` was made of, without its lock.
    pub fn config(&self, id: &Id) -> Result<Vec<u8>, Error> {
        let root = self.open_root()?;
        let dir = self.open_dir(&root, id)?;
        read_config(dir.as_fd(), &self.root.join(id.as_str()))
    }

    /// Reads the record under the lock, which it shares with others who only look; `None` while a
    /// command has it.
    pub fn load_idle(&self, id: &Id) -> Result<Option<Record>, Error> {
        let slot = match self.lock(self.open_root()?, id, FlockArg::LockSharedNonblock) {
            Err(Error::Call {
                errno: Errno::EWOULDBLOCK,
                ..
            }) => return Ok(None),
            slot => slot?,
        };
        slot.record().map(Some)
    }

    /// All containers in the order of their names; none when the state root does not exist. What
    /// cannot be a container's directory by its name or kind is not mentioned.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let root = match self.open_root() {
            Ok(root) => root,
            Err(Error::Missing) => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fault = |errno| Error::Call {
            path: self.root.clone(),
            act: "read the directory",
            errno,
        };
        let mut dir = Dir::openat(&root, c".", flags, Mode::empty()).map_err(fault)?;
        let mut ids = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(fault)?;
            let named = !matches!(entry.file_type(), Some(kind) if kind != Type::Directory);
            ids.extend(id_of(entry.file_name()).filter(|_| named));
        }
        ids.sort_unstable();

        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let record = match self.open_dir(&root, &id) {
                // Removed since the directory was read.
                Err(Error::Missing) => continue,
                Err(e) => Err(e),
                Ok(dir) => read_record(dir.as_fd(), &self.root.join(id.as_str())),
            };
            found.push((id, record));
        }
        Ok(found)
    }

    /// The directory of a container, without its lock, for what only looks.
    pub fn directory(&self, id: &Id) -> Result<OwnedFd, Error> {
        let root = self.open_root()?;
        self.open_dir(&root, id)
    }

    /// Its directory, which is made where it is missing.
    pub fn make(&self) -> Result<&Path, Error> {
        self.make_root()?;
        Ok(&self.root)
    }

    fn make_root(&self) -> Result<OwnedFd, Error> {
        match self.open_root() {
            Err(Error::Missing) => {}
            opened => return opened,
        }
        // Not for others to walk through (CVE-2024-25621). Sticky, it stays when the directory of the
        // user's session is swept of old files (XDG Base Directory Specification).
        DirBuilder::new()
            .recursive(true)
            .mode(0o1700)
            .create(&self.root)
            .map_err(|e| Error::Call {
                path: self.root.clone(),
                act: "make the directory",
                errno: errno(&e),
            })?;
        self.open_root()
    }

    fn open_root(&self) -> Result<OwnedFd, Error> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match open(&self.root, flags, Mode::empty()) {
            Ok(root) => Ok(root),
            Err(Errno::ENOENT) => Err(Error::Missing),
            Err(errno) => Err(Error::Call {
                path: self.root.clone(),
                act: "open",
                errno,
            }),
        }
    }

    fn open_dir(&self, root: &OwnedFd, id: &Id) -> Result<OwnedFd, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(root, id.as_str(), flags, Mode::empty()) {
            Ok(dir) => Ok(dir),
            Err(Errno::ENOENT) => Err(Error::Missing),
            Err(errno) => Err(self.fault(id, "open", errno)),
        }
    }

    fn lock(&self, root: OwnedFd, id: &Id, how: FlockArg) -> Result<Slot, Error> {
        let mut dir = self.open_dir(&root, id)?;
        loop {
            match Flock::lock(dir, how) {
                Ok(locked) => {
                    let path = self.root.join(id.as_str());
                    return Ok(Slot::new(locked, root, id.clone(), path));
                }
                Err((unlocked, Errno::EINTR)) => dir = unlocked,
                Err((_, errno)) => return Err(self.fault(id, "lock", errno)),
            }
        }
    }

    fn fault(&self, id: &Id, act: &'static str, errno: Errno) -> Error {
        Error::Call {
            path: self.root.join(id.as_str()),
            act,
            errno,
        }
    }
}

fn id_of(name: &CStr) -> Option<Id> {
    Id::new(name.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests;
