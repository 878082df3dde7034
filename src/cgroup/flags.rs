//! Flags of the v2 hierarchy, such as `nsdelegate` (cgroups(7)).
//!
//! They belong to the hierarchy, not to a mount of it: whoever mounts it in the first cgroup namespace
//! sets them for all. CRIU, where it manages groups, mounts it without any, and containers could lift
//! their own limits.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Error, Hierarchies};
use crate::sys::path::{self, HERE, Resolve};
use crate::sys::{errno, mount};

/// In the state root, where no container's id holds an `@`.
const LOCK: &str = "@criu.lock";

/// There as well, while CRIU may have taken them: flags that are to be put back, by whoever comes next
/// if this runtime is killed.
const OWED: &str = "@criu.flags";

/// The flags as they were. Dropped, it sees to it that they are again.
#[derive(Debug)]
pub struct HierarchyFlags {
    mount_point: PathBuf,
    flags: Vec<String>,
    owed: PathBuf,
    /// Of several at once the second would remember what the first one's CRIU has left.
    _lock: Flock<File>,
}

impl HierarchyFlags {
    /// Waits for whoever holds them now; `root` is the state root, which is there.
    pub fn remember(root: &Path) -> Result<Self, Error> {
        let lock = Flock::lock(lock_file(root)?, FlockArg::LockExclusive);
        Self::under(
            lock.map_err(|(_, errno)| Error::call("lock", &root.join(LOCK))(errno))?,
            root,
        )
    }

    /// Puts back what a killed runtime owes, unless somebody is about that now.
    pub fn settle(root: &Path) -> Result<(), Error> {
        if !root.join(OWED).exists() {
            return Ok(());
        }
        match Flock::lock(lock_file(root)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Self::under(lock, root).map(drop),
            Err(_) => Ok(()),
        }
    }

    fn under(lock: Flock<File>, root: &Path) -> Result<Self, Error> {
        let hierarchies = Hierarchies::detect()?;
        let v2 = hierarchies.all().find(|h| h.controllers.is_empty());
        let mount_point = v2.map_or(PathBuf::from("/sys/fs/cgroup"), |h| h.mount_point.clone());
        let owed = root.join(OWED);
        let flags = match read_owed(&owed) {
            Some(flags) => flags,
            None => {
                let flags = of(&mount_point).unwrap_or_default();
                write_owed(&owed, &flags).map_err(|e| Error::call("write", &owed)(errno(e)))?;
                flags
            }
        };
        Ok(Self {
            mount_point,
            flags,
            owed,
            _lock: lock,
        })
    }

    fn put_back(&self) -> Result<(), Errno> {
        let c = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
        let at = c(self.mount_point.as_os_str().as_bytes())?;
        let at = path::open(HERE, &at, libc::O_PATH, Resolve::Host)?;
        let hierarchy = mount::fspick(at.as_fd())?;
        for flag in &self.flags {
            mount::set_flag(hierarchy.as_fd(), &c(flag.as_bytes())?)?;
        }
        mount::reconfigure(hierarchy.as_fd())
    }
}

impl Drop for HierarchyFlags {
    fn drop(&mut self) {
        let is_whole = self.flags.is_empty() || of(&self.mount_point).as_ref() == Some(&self.flags);
        let put_back = if is_whole { Ok(()) } else { self.put_back() };
        match put_back {
            Ok(()) => drop(fs::remove_file(&self.owed)),
            Err(errno) => {
                let (point, flags) = (self.mount_point.display(), self.flags.join(","));
                let reason = crate::sys::reason(errno);
                log::warn!(
                    "{point}: criu has taken its flags, and {flags} cannot be set again: {reason}"
                );
            }
        }
    }
}

/// Not a directory of the hierarchy, which any user could lock.
fn lock_file(root: &Path) -> Result<File, Error> {
    let path = root.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
        .open(&path)
        .map_err(|e| Error::call("open", &path)(errno(e)))
}

fn read_owed(path: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.split(',').map(String::from).collect())
}

/// Nothing is owed where there are no flags.
fn write_owed(path: &Path, flags: &[String]) -> std::io::Result<()> {
    if flags.is_empty() {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, flags.join(","))?;
    fs::rename(&new, path)
}

/// The flags of what is mounted at `point`.
fn of(point: &Path) -> Option<Vec<String>> {
    flags(
        &std::fs::read_to_string("/proc/self/mountinfo").ok()?,
        point.to_str()?,
    )
}

/// proc(5): the options of the filesystem are a line's last word.
fn flags(table: &str, point: &str) -> Option<Vec<String>> {
    let line = table
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some(point))?;
    let options = line.rsplit(' ').next()?.split(',');
    let is_flag = |word: &&str| !matches!(*word, "rw" | "ro");
    Some(options.filter(is_flag).map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_a_killed_runtime_owes_are_those_that_are_remembered() {
        let root = std::env::temp_dir().join(format!("bulkhead-owed-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        let owed = root.join(OWED);
        write_owed(&owed, &[]).unwrap();
        assert_eq!(read_owed(&owed), None);
        write_owed(&owed, &["a".into(), "b".into()]).unwrap();
        let killed = || {
            let lock = Flock::lock(lock_file(&root).unwrap(), FlockArg::LockExclusive);
            HierarchyFlags::under(lock.unwrap(), &root).unwrap()
        };
        let mut found = killed();
        assert_eq!(found.flags, ["a", "b"]);
        HierarchyFlags::settle(&root).unwrap();
        assert!(owed.exists(), "somebody is about it");

        // As if they were there again, which is not for a test to bring about.
        found.flags.clear();
        drop(found);
        assert!(!owed.exists());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn flags_are_those_of_the_filesystem_and_not_of_the_mount() {
        let table = "29 28 0:25 / /sys/fs/cgroup ro,noexec shared:9 - cgroup2 c rw,nsdelegate,memory_recursiveprot\n\
                     30 28 0:26 / /sys/fs/bpf rw - bpf bpf rw,mode=700\n";
        let found = flags(table, "/sys/fs/cgroup").unwrap();
        assert_eq!(found, ["nsdelegate", "memory_recursiveprot"]);
        assert_eq!(flags(table, "/sys"), None);
    }
}
