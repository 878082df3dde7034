//! Where a writer works: nothing of it is anybody else's before it is complete.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, renameat};
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
        Self::make_in(store.open_dir("tmp")?, &store.path.join("tmp"), "")
    }

    /// Makes one beside what it is to become, in the directory `above`, and removes what killed writers
    /// have left of it. `prefix` is what their names and no others begin with.
    pub fn beside(above: &Path, prefix: &str) -> Result<Self, Error> {
        let fault = |act| move |errno| Error::call(above, act, errno);
        let dir = nix::fcntl::open(above, DIRECTORY, Mode::empty()).map_err(fault("open"))?;
        remove_dead(&dir, above, prefix)?;
        Self::make_in(dir, above, prefix)
    }

    fn make_in(above: OwnedFd, place: &Path, prefix: &str) -> Result<Self, Error> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{prefix}{}-{count}", std::process::id());
            let path = place.join(&name);
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

    /// Makes it what it was to become, by the name `to` beside it: of nothing, or of an empty directory.
    pub fn become_whole(self, to: &OsStr) -> Result<(), Error> {
        renameat(&self.above, self.name.as_str(), &self.above, to)
            .map_err(|errno| Error::call(&self.path.with_file_name(to), "place", errno))
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

    /// A new directory for us alone.
    pub fn make_dir(&self, name: &str) -> Result<OwnedFd, Error> {
        let fault = |act| {
            let path = self.path.join(name);
            move |errno| Error::call(&path, act, errno)
        };
        mkdirat(&*self.dir, name, Mode::S_IRWXU).map_err(fault("make"))?;
        let flags = DIRECTORY | OFlag::O_NOFOLLOW;
        openat(&*self.dir, name, flags, Mode::empty()).map_err(fault("open"))
    }

    /// A new directory that anybody may read who gets there, whatever the umask: the root of a tree.
    pub fn make_open_dir(&self, name: &str) -> Result<OwnedFd, Error> {
        let dir = self.make_dir(name)?;
        nix::sys::stat::fchmod(&dir, Mode::from_bits_truncate(0o755))
            .map_err(|errno| Error::call(&self.path.join(name), "open up", errno))?;
        Ok(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next writer.
        let removed = match is_named(&self.above, &self.name, &self.dir) {
            Ok(true) => remove(&self.above, &self.name, &self.dir),
            other => other.map(drop),
        };
        if let Err(errno) = removed {
            log::debug!("remove {}: {}", self.path.display(), errno.desc());
        }
    }
}

/// Removes the directories of writers that are no more; how many there were.
pub(super) fn sweep_dead(store: &Store) -> Result<usize, Error> {
    remove_dead(&store.open_dir("tmp")?, &store.path.join("tmp"), "")
}

fn remove_dead(above: &OwnedFd, path: &Path, prefix: &str) -> Result<usize, Error> {
    let fault = |name: &str, act| {
        let path = path.join(name);
        move |errno| Error::call(&path, act, errno)
    };
    let names = super::layers::names(above).map_err(fault("", "list"))?;
    let mut count = 0;
    for name in names.iter().filter(|name| name.starts_with(prefix)) {
        let Some(dir) = lock(above, name).map_err(fault(name, "lock"))? else {
            continue;
        };
        remove(above, name, &dir).map_err(fault(name, "remove"))?;
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
    Ok(is_named(above, name, &dir)?.then_some(dir))
}

/// Whether the directory is still there by this name.
fn is_named(above: &OwnedFd, name: &str, dir: &OwnedFd) -> Result<bool, Errno> {
    let own = fstat(dir)?;
    match fstatat(above, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)),
        Err(Errno::ENOENT) => Ok(false),
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
