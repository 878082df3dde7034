//! What containers hold: `containers/ID`, a bundle and the list of the layers that it needs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode;
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
        let dir = self.lock(&place, FlockArg::LockExclusive)?;
        let json = serde_json::to_vec(&hold).map_err(|cause| Error::Record {
            path: self.path.join(&place).join(HOLD),
            cause,
        })?;
        self.write_synced(&format!("{place}/{HOLD}"), &json)?;
        let path = self.path.join(place);
        Ok(Container { dir, path })
    }

    /// Where container `id` has its bundle.
    pub fn container_path(&self, id: &Id) -> PathBuf {
        self.path.join(place(id.as_str()))
    }

    /// The containers and their holds; none where the maker was killed before he wrote it.
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
        match serde_json::from_slice(&bytes) {
            Ok(hold) => Ok(Some(hold)),
            // Of a maker that was killed: a file that is written is whole.
            Err(_) if bytes.is_empty() => Ok(None),
            Err(cause) => Err(Error::Record {
                path: self.path.join(file),
                cause,
            }),
        }
    }

    /// Removes the directory of a container, with all that is in it; nothing of it is mounted any more.
    /// One that is not there was removed before.
    pub fn remove_container(&self, id: &Id) -> Result<(), Error> {
        self.remove_container_dir(id.as_str())
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
        let fault = self.fault(&place, "remove");
        let dir = match openat(
            &self.dir,
            place.as_str(),
            DIRECTORY | OFlag::O_NOFOLLOW,
            Mode::empty(),
        ) {
            Err(Errno::ENOENT) => return Ok(()),
            dir => dir.map_err(&fault)?,
        };
        sweep::empty(dir).map_err(&fault)?;
        match unlinkat(&self.dir, place.as_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(fault(errno)),
        }
    }
}

fn place(name: &str) -> String {
    format!("containers/{name}")
}
