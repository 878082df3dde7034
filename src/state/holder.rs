//! Who holds a lock (proc_locks(5)).

use std::os::fd::BorrowedFd;

use nix::sys::stat::{fstat, major, minor};

/// The process that holds the flock(2) on what `file` refers to. `None`: nobody does, or the kernel
/// names another device than stat(2) does, as for a subvolume of btrfs.
pub(super) fn of(file: BorrowedFd<'_>) -> Option<i32> {
    let stat = fstat(file).ok()?;
    let (major, minor) = (major(stat.st_dev), minor(stat.st_dev));
    let name = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    find(&std::fs::read_to_string("/proc/locks").ok()?, &name)
}

/// `1: FLOCK  ADVISORY  WRITE 4711 00:1a:99 0 EOF`; who waits for it has `->` in the second place.
fn find(locks: &str, name: &str) -> Option<i32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, _, pid, file, ..] if file == name => pid.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_told_from_those_who_wait() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:1a:99 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 00:1a:98 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 4711 00:1a:99 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 4712 00:1a:99 0 EOF\n";
        assert_eq!(find(locks, "00:1a:99"), Some(4711));
        assert_eq!(find(locks, "00:1a:97"), None);
    }
}
