//! Where a writer works: nothing of it is anybody else's before it is complete.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{DIRECTORY, Error, Store};
use crate::sys::sweep;

/// A writer's own directory under `tmp`, locked as long as the writer lives. Dropped, it is removed with
/// all that is still in it.
#[derive(Debug)]
pub struct Scratch {
    dir: Flock<OwnedFd>,
    above: OwnedFd,
    name: String,
    path: PathBuf,
}

impl Scratch {
    /// Makes one, and removes what killed writers have left.
    pub(super) fn make(store: &Store) -> Result<Self, Error> {
        sweep_dead(store)?;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let above = store.open_dir("tmp")?;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{count}", std::process::id());
            let path = store.path.join("tmp").join(&name);
            let fault = |act| {
                let path = path.clone();
                move |errno| Error::call(&path, act, errno)
            };
            match mkdirat(&above, name.as_str(), Mode::S_IRWXU) {
                Ok(()) => {}
                // Of a process of this number in another pid namespace, or before the last boot.
                Err(Errno::EEXIST) => continue,
                Err(errno) => return Err(fault("make")(errno)),
            }
            let Some(dir) = lock(&above, &name).map_err(fault("lock"))? else {
                continue;
            };
            return Ok(Self {
                dir,
                above,
                name,
                path,
            });
        }
    }

    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new file, for reading as well.
    pub fn create(&self, name: &str) -> Result<File, Error> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        openat(&*self.dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| Error::call(&self.path.join(name), "create", errno))
    }

    /// A new file without a name.
    pub fn unnamed(&self) -> Result<File, Error> {
        let name = "unnamed";
        let file = self.create(name)?;
        unlinkat(&*self.dir, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|errno| Error::call(&self.path.join(name), "unlink", errno))?;
        Ok(file)
    }

    /// Removes a directory that was made here, and all in it.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let fault = |errno| Error::call(&self.path.join(name), "remove", errno);
        let flags = DIRECTORY | OFlag::O_NOFOLLOW;
        let dir = openat(&*self.dir, name, flags, Mode::empty()).map_err(fault)?;
        sweep::empty(dir).map_err(fault)?;
        unlinkat(&*self.dir, name, UnlinkatFlags::RemoveDir).map_err(fault)
    }

    /// A new directory.
    pub fn make_dir(&self, name: &str) -> Result<OwnedFd, Error> {
        let fault = |act| {
            let path = self.path.join(name);
            move |errno| Error::call(&path, act, errno)
        };
        mkdirat(&*self.dir, name, Mode::S_IRWXU).map_err(fault("make"))?;
        openat(
            &*self.dir,
            name,
            DIRECTORY | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )
        .map_err(fault("open"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next writer.
        if let Err(errno) = remove(&self.above, &self.name, &self.dir) {
            log::debug!("remove {}: {}", self.path.display(), errno.desc());
        }
    }
}

/// Removes the directories of writers that are no more; how many there were.
pub(super) fn sweep_dead(store: &Store) -> Result<usize, Error> {
    let above = store.open_dir("tmp")?;
    let mut count = 0;
    for name in super::layers::names(&above).map_err(store.fault("tmp", "list"))? {
        let place = format!("tmp/{name}");
        let Some(dir) = lock(&above, &name).map_err(store.fault(&place, "lock"))? else {
            continue;
        };
        remove(&above, &name, &dir).map_err(store.fault(&place, "remove"))?;
        count += 1;
    }
    Ok(count)
}

/// Locks the directory by this name; `None` if another has it, or it is gone.
fn lock(above: &OwnedFd, name: &str) -> Result<Option<Flock<OwnedFd>>, Errno> {
    let dir = match openat(above, name, DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::ENOENT) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let dir = match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
        Ok(dir) => dir,
        Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, errno)) => return Err(errno),
    };
    // Between its making and its locking another may have taken it for dead.
    let own = fstat(&*dir)?;
    match fstatat(above, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(named) if (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino) => Ok(Some(dir)),
        Ok(_) | Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn remove(above: &OwnedFd, name: &str, dir: &OwnedFd) -> Result<(), Errno> {
    sweep::empty(dir.try_clone().map_err(crate::sys::errno)?)?;
    match unlinkat(above, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
