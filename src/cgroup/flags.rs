//! Flags of the v2 hierarchy, such as `nsdelegate` (cgroups(7)).
//!
//! They belong to the hierarchy, not to a mount of it: whoever mounts it in the first cgroup namespace
//! sets them for all. CRIU, where it manages groups, mounts it without any, and containers could lift
//! their own limits.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Error, Hierarchies};
use crate::sys::path::{self, HERE, Resolve};
use crate::sys::{errno, mount};

/// The flags as they were. Dropped, it sees to it that they are again.
#[derive(Debug)]
pub struct HierarchyFlags {
    mount_point: PathBuf,
    flags: Vec<String>,
    /// Of several at once the second would remember what the first one's CRIU has left.
    _lock: Flock<File>,
}

impl HierarchyFlags {
    /// Waits for whoever holds them now. On a host without v2 it is of another hierarchy, and holds none.
    pub fn remember() -> Result<Self, Error> {
        let hierarchies = Hierarchies::detect()?;
        let v2 = hierarchies.all().find(|h| h.controllers.is_empty());
        let held = v2.or_else(|| hierarchies.all().next());
        let mount_point = held.map_or(PathBuf::from("/sys/fs/cgroup"), |h| h.mount_point.clone());
        let fault = |act| Error::call(act, &mount_point);
        let file = File::open(&mount_point).map_err(|e| fault("open")(errno(e)))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive);
        let lock = lock.map_err(|(_, errno)| fault("lock")(errno))?;
        Ok(Self {
            flags: of(&mount_point).unwrap_or_default(),
            mount_point,
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
        if self.flags.is_empty() || of(&self.mount_point).as_ref() == Some(&self.flags) {
            return;
        }
        if let Err(errno) = self.put_back() {
            let (point, flags) = (self.mount_point.display(), self.flags.join(","));
            let reason = crate::sys::reason(errno);
            log::warn!(
                "{point}: criu has taken its flags, and {flags} cannot be set again: {reason}"
            );
        }
    }
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
    use super::flags;

    #[test]
    fn flags_are_those_of_the_filesystem_and_not_of_the_mount() {
        let table = "29 28 0:25 / /sys/fs/cgroup ro,noexec shared:9 - cgroup2 c rw,nsdelegate,memory_recursiveprot\n\
                     30 28 0:26 / /sys/fs/bpf rw - bpf bpf rw,mode=700\n";
        let found = flags(table, "/sys/fs/cgroup").unwrap();
        assert_eq!(found, ["nsdelegate", "memory_recursiveprot"]);
        assert_eq!(flags(table, "/sys"), None);
    }
}
