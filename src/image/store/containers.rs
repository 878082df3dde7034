//! What containers hold: `containers/ID`, a bundle and the list of the layers that it needs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use super::{DIRECTORY, Error, Image, Store, Using};
use crate::image::Digest;
use crate::image::source::read_document;
use crate::spec::Id;
use crate::sys::sweep;

const HOLD: &str = "hold.json";

/// What a container needs of the store, and who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub image: String,
    pub manifest: Digest,
    /// Bottom first.
    pub layers: Vec<Digest>,
    /// Where the record of the container is, as long as there is one.
    pub state_root: PathBuf,
}

/// A container's directory in the store, locked: `prune` leaves it alone meanwhile, record or not.
#[derive(Debug)]
pub struct Container {
    dir: Flock<OwnedFd>,
    path: PathBuf,
}

impl Container {
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// Makes the directory of container `id`, empty but for its hold on the layers of `image`. The lock on
    /// it ends when the value is dropped: not before the container has a record under `state_root`.
    pub fn make_container(
        &self,
        _using: &Using,
        id: &Id,
        image: &Image,
        state_root: &Path,
    ) -> Result<Container, Error> {
        let hold = Hold {
            image: image.name.clone().unwrap_or_default(),
            manifest: image.manifest.digest.clone(),
            layers: self.layer_keys(image)?,
            state_root: state_root.into(),
        };
        let place = place(id.as_str());
        match nix::sys::stat::mkdirat(&self.dir, place.as_str(), Mode::S_IRWXU) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Err(Error::ContainerExists(id.to_string())),
            Err(errno) => return Err(self.fault(&place, "make")(errno)),
        }
        let path = self.path.join(&place);
        let dir = self.lock(&place, FlockArg::LockExclusive)?;
        let made = Container { dir, path };
        match self.write_hold(&place, &hold) {
            Ok(()) => Ok(made),
            Err(error) => {
                self.discard(id, &made)?;
                Err(error)
            }
        }
    }

    /// Whole, or not at all.
    fn write_hold(&self, place: &str, hold: &Hold) -> Result<(), Error> {
        let (file, new) = (format!("{place}/{HOLD}"), format!("{place}/{HOLD}.new"));
        let json = serde_json::to_vec(hold).map_err(|cause| Error::Record {
            path: self.path.join(&file),
            cause,
        })?;
        self.write_synced(&new, &json)?;
        renameat(&self.dir, new.as_str(), &self.dir, file.as_str())
            .map_err(self.fault(&file, "write"))
    }

    /// Where container `id` has its bundle.
    pub fn container_path(&self, id: &Id) -> PathBuf {
        self.path.join(place(id.as_str()))
    }

    /// The containers and their holds; none where the maker was killed before he wrote it, or where it
    /// cannot be read.
    pub fn holds(&self) -> Result<Vec<(String, Option<Hold>)>, Error> {
        let dir = self.open_dir("containers")?;
        let mut names = super::layers::names(&dir).map_err(self.fault("containers", "list"))?;
        names.sort();
        names
            .into_iter()
            .map(|name| {
                let hold = self.hold(&name)?;
                Ok((name, hold))
            })
            .collect()
    }

    fn hold(&self, name: &str) -> Result<Option<Hold>, Error> {
        let file = format!("{}/{HOLD}", place(name));
        let bytes = match read_document(self.dir(), &self.path, &file) {
            Ok(bytes) => bytes,
            Err(crate::image::source::Error::Call {
                errno: Errno::ENOENT,
                ..
            }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let hold = serde_json::from_slice(&bytes);
        Ok(hold
            .inspect_err(|e| log::warn!("{}: {e}", self.path.join(&file).display()))
            .ok())
    }

    /// Removes the directory of a container, with all that is in it; nothing of it is mounted any more.
    /// One that is not there was removed before.
    pub fn remove_container(&self, id: &Id) -> Result<(), Error> {
        self.remove_container_dir(id.as_str())
    }

    /// The same for one that was made just now, and for no other of its name.
    pub fn discard(&self, id: &Id, made: &Container) -> Result<(), Error> {
        self.empty_and_remove(&place(id.as_str()), made.dir())
    }

    /// Removes what is left of containers that have no record any more; their names.
    pub(super) fn remove_stale(&self) -> Result<Vec<String>, Error> {
        let mut removed = Vec::new();
        for (name, hold) in self.holds()? {
            let dir = match self.lock(&place(&name), FlockArg::LockExclusiveNonblock) {
                Ok(dir) => dir,
                Err(Error::Call {
                    errno: Errno::EWOULDBLOCK | Errno::ENOENT,
                    ..
                }) => continue,
                Err(error) => return Err(error),
            };
            let record = hold.map(|hold| hold.state_root.join(&name));
            let is_there = record.is_some_and(|path| path.try_exists().unwrap_or(true));
            if !is_there {
                self.remove_container_dir(&name)?;
                removed.push(name);
            }
            drop(dir);
        }
        Ok(removed)
    }

    fn remove_container_dir(&self, name: &str) -> Result<(), Error> {
        let place = place(name);
        match openat(
            &self.dir,
            place.as_str(),
            DIRECTORY | OFlag::O_NOFOLLOW,
            Mode::empty(),
        ) {
            Err(Errno::ENOENT) => Ok(()),
            dir => self.empty_and_remove(&place, dir.map_err(self.fault(&place, "open"))?.as_fd()),
        }
    }

    /// Of several who remove it one does; the others wait and find it done. The hold goes last: what is left
    /// by who is killed meanwhile says whose it is.
    fn empty_and_remove(&self, place: &str, dir: BorrowedFd<'_>) -> Result<(), Error> {
        let fault = self.fault(place, "remove");
        // Not the lock of the directory, which its maker has who may remove it as well.
        let file = openat(
            dir,
            HOLD,
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        );
        let _turn = match file {
            Err(Errno::ENOENT) => None,
            file => {
                let turn = Flock::lock(file.map_err(&fault)?, FlockArg::LockExclusive);
                Some(turn.map_err(|(_, errno)| fault(errno))?)
            }
        };
        // Its name may be another's by now.
        let identity = |about: FileStat| (about.st_dev, about.st_ino);
        let own = fstat(dir).map(identity).map_err(&fault)?;
        match fstatat(&self.dir, place, AtFlags::AT_SYMLINK_NOFOLLOW).map(identity) {
            Ok(named) if named == own => {}
            Ok(_) | Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(fault(errno)),
        }
        let gone = |done: Result<(), Errno>| match done {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(fault(errno)),
        };
        gone(sweep::empty_but(dir, Some(HOLD)))?;
        gone(unlinkat(dir, HOLD, UnlinkatFlags::NoRemoveDir))?;
        gone(unlinkat(&self.dir, place, UnlinkatFlags::RemoveDir))
    }
}

fn place(name: &str) -> String {
    format!("containers/{name}")
}
