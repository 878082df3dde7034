//! The store: images, their layers unpacked, and what containers hold of them.
//!
//! ```text
//! oci-layout, index.json    an OCI image layout: any program that reads one reads ours
//! blobs/sha256/HEX          documents and layers, as they came
//! layers/HEX/tree           a layer unpacked, as overlay wants it; layer.json says of what
//! containers/ID/            a container's bundle; hold.json names the layers that it needs
//! tmp/N/                    what a writer has not finished yet
//! ```
//!
//! **Crashes.** A writer does all its work in a directory of its own under `tmp`, which it has locked
//! (flock(2), which ends with the process). What is complete is made durable by one syncfs(2), and only
//! then renamed to its place: the rest of the store holds nothing that is half there, after a power cut
//! neither. Names are written last: `index.json` is replaced by rename. What a killed writer left is not
//! locked, so the next one removes it.
//!
//! **Many processes.** Who adds or uses something holds the lock of `blobs` shared, who removes something
//! that nothing refers to has it alone. `index.json` is changed under the lock of the store's own
//! directory. What two add at once is the same, since its name is its digest: the second keeps the first's.

mod blobs;
mod commit;
mod containers;
mod error;
mod garbage;
mod index;
mod layers;
mod scratch;
#[cfg(test)]
mod tests;
mod verify;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};

pub use commit::Work;
pub use containers::{Container, Hold};
pub use error::Error;
pub use garbage::Freed;
pub use index::Image;
pub use layers::{LayerRecord, Made, chain_ids, complete};
pub use scratch::Scratch;
pub use verify::{Damage, Report};

use super::source::{self, Offer};

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// An open store. All is done under its directory's descriptor.
#[derive(Debug)]
pub struct Store {
    dir: OwnedFd,
    path: PathBuf,
}

/// The right to add and to use: nothing that is unreferenced goes away meanwhile.
#[derive(Debug)]
pub struct Using {
    _lock: Flock<OwnedFd>,
}

/// The right to remove what nothing refers to.
#[derive(Debug)]
pub struct Alone {
    _lock: Flock<OwnedFd>,
}

/// `$BULKHEAD_STORE`; else `/var/lib/bulkhead`, or the user's own directory of data for who is not root.
pub fn default_path() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("BULKHEAD_STORE") {
        return path.into();
    }
    if nix::unistd::geteuid().is_root() {
        return "/var/lib/bulkhead".into();
    }
    let home = || PathBuf::from(variable("HOME").unwrap_or_default()).join(".local/share");
    variable("XDG_DATA_HOME")
        .map_or_else(home, PathBuf::from)
        .join("bulkhead")
}

impl Store {
    /// Opens the store at `path`, and makes what is missing of it. Others may not look into it: setuid
    /// programs of layers would be theirs to run (CVE-2021-41091).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fault = |act| move |errno| Error::call(path, act, errno);
        let path = std::path::absolute(path).map_err(|error| {
            let errno = crate::sys::errno(&error);
            fault("find")(errno)
        })?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| Error::call(parent, "make", crate::sys::errno(&error)))?;
        }
        match nix::unistd::mkdir(&path, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error::call(&path, "make", errno)),
        }
        let dir = open(&path, DIRECTORY, Mode::empty())
            .map_err(|errno| Error::call(&path, "open", errno))?;
        let store = Self { dir, path };
        store.complete()?;
        Ok(store)
    }

    /// The store at `path`, if there is one: for commands that only look.
    pub fn open_existing(path: &Path) -> Result<Option<Self>, Error> {
        match path.join("oci-layout").try_exists() {
            Ok(false) => Ok(None),
            _ => Self::open(path).map(Some),
        }
    }

    fn complete(&self) -> Result<(), Error> {
        if nix::sys::stat::fstatat(&self.dir, "oci-layout", nix::fcntl::AtFlags::empty()).is_ok() {
            return Ok(());
        }
        let sub = [
            "blobs",
            "blobs/sha256",
            "blobs/sha512",
            "layers",
            "containers",
            "tmp",
        ];
        for name in sub {
            self.make_dir(name)?;
        }
        let lock = self.lock(".", FlockArg::LockExclusive)?;
        if !self.exists("index.json")? {
            self.replace("index.json", index::EMPTY, || Ok(()))?;
        }
        // Last: where it is, all else is.
        self.replace("oci-layout", LAYOUT, || Ok(()))?;
        drop(lock);
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for who removes things.
    pub fn using(&self) -> Result<Using, Error> {
        let _lock = self.lock("blobs", FlockArg::LockShared)?;
        Ok(Using { _lock })
    }

    /// Waits for all who add or use things.
    pub fn alone(&self) -> Result<Alone, Error> {
        let _lock = self.lock("blobs", FlockArg::LockExclusive)?;
        Ok(Alone { _lock })
    }

    /// [`Store::alone`] if nobody adds or uses anything now.
    pub fn try_alone(&self) -> Result<Option<Alone>, Error> {
        match self.lock("blobs", FlockArg::LockExclusiveNonblock) {
            Ok(_lock) => Ok(Some(Alone { _lock })),
            Err(Error::Call {
                errno: Errno::EWOULDBLOCK,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An image as a source, to be read from here.
    pub fn source(&self, image: &Image) -> Result<Offer, Error> {
        let name = format!("@{}", image.manifest.digest);
        let mut offers = source::layout(&self.path, Some(&name))?;
        offers.truncate(1);
        Ok(source::only(&self.path, offers)?)
    }

    fn lock(&self, name: &str, how: FlockArg) -> Result<Flock<OwnedFd>, Error> {
        let dir = openat(&self.dir, name, DIRECTORY, Mode::empty());
        let dir = dir.map_err(self.fault(name, "open"))?;
        Flock::lock(dir, how).map_err(|(_, errno)| self.fault(name, "lock")(errno))
    }

    fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    fn open_dir(&self, name: &str) -> Result<OwnedFd, Error> {
        openat(
            &self.dir,
            name,
            DIRECTORY | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )
        .map_err(self.fault(name, "open"))
    }

    fn make_dir(&self, name: &str) -> Result<(), Error> {
        match mkdirat(&self.dir, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(self.fault(name, "make")(errno)),
        }
    }

    fn exists(&self, name: &str) -> Result<bool, Error> {
        let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
        match nix::sys::stat::fstatat(&self.dir, name, flags) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(self.fault(name, "look at")(errno)),
        }
    }

    /// Replaces a document of the store by rename: a reader sees the old one or the new one, whole, after
    /// a power cut as well. `before` is done when all that can fail for want of room has been. Under the lock
    /// of the store's directory.
    fn replace(
        &self,
        name: &str,
        bytes: &[u8],
        before: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let new = format!(".{name}.new");
        let written = self.write_synced(&new, bytes);
        let renamed = written.and_then(|()| before()).and_then(|()| {
            renameat(&self.dir, new.as_str(), &self.dir, name).map_err(self.fault(name, "replace"))
        });
        if renamed.is_err() {
            let _ = nix::unistd::unlinkat(
                &self.dir,
                new.as_str(),
                nix::unistd::UnlinkatFlags::NoRemoveDir,
            );
        }
        renamed?;
        self.sync_dir(".")
    }

    fn write_synced(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_TRUNC
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = openat(&self.dir, name, flags, mode).map_err(self.fault(name, "create"))?;
        let mut file = std::fs::File::from(file);
        std::io::Write::write_all(&mut file, bytes)
            .map_err(|error| self.fault(name, "write")(crate::sys::errno(&error)))?;
        nix::unistd::fsync(&file).map_err(self.fault(name, "sync"))
    }

    /// Makes the names in a directory durable.
    fn sync_dir(&self, name: &str) -> Result<(), Error> {
        let dir = self.open_dir(name)?;
        nix::unistd::fsync(&dir).map_err(self.fault(name, "sync"))
    }

    /// Makes all that was written to the store's filesystem durable.
    fn sync_all(&self) -> Result<(), Error> {
        nix::unistd::syncfs(self.dir.as_fd()).map_err(self.fault(".", "sync"))
    }

    fn fault(&self, name: &str, act: &'static str) -> impl Fn(Errno) -> Error + use<> {
        let path = match name {
            "." => self.path.clone(),
            name => self.path.join(name),
        };
        move |errno| Error::call(&path, act, errno)
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);
