//! Emptying a directory that somebody else could write to.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Removes all that lies in `top`, by descriptors and without following a link. Holds two of them however
/// deep somebody has nested his folders.
pub fn empty(top: OwnedFd) -> Result<(), Errno> {
    empty_but(top.as_fd(), None)
}

/// The same, but for the entry `kept` of `top`.
pub fn empty_but(top: BorrowedFd<'_>, kept: Option<&str>) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let open = |at: BorrowedFd<'_>, name: &CStr| openat(at, name, flags, Mode::empty());
    let mut at = open(top, c".")?;
    let mut names: Vec<CString> = Vec::new();
    loop {
        let mut below = None;
        for entry in Dir::from_fd(open(at.as_fd(), c".")?)?.iter() {
            let entry = entry?;
            let name = entry.file_name();
            let is_kept =
                names.is_empty() && kept.is_some_and(|kept| name.to_bytes() == kept.as_bytes());
            if is_kept || matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match unlinkat(&at, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => continue,
                Err(Errno::EISDIR) => {}
                Err(errno) => return Err(errno),
            }
            match unlinkat(&at, name, UnlinkatFlags::RemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                // What comes behind it is read when it is gone: each entry is met a few times only,
                // however many folders lie side by side.
                Err(Errno::ENOTEMPTY | Errno::EEXIST) => {
                    below = Some(name.to_owned());
                    break;
                }
                Err(errno) => return Err(errno),
            }
        }
        at = match (below, names.pop()) {
            (Some(name), left) => {
                names.extend(left);
                match open(at.as_fd(), &name) {
                    Ok(below) => {
                        names.push(name);
                        below
                    }
                    // Somebody else removes it as well.
                    Err(Errno::ENOENT) => at,
                    Err(errno) => return Err(errno),
                }
            }
            (None, Some(name)) => {
                let above = open(at.as_fd(), c"..")?;
                match unlinkat(&above, name.as_c_str(), UnlinkatFlags::RemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => above,
                    Err(errno) => return Err(errno),
                }
            }
            (None, None) => return Ok(()),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::mkdirat;

    use super::*;

    #[test]
    fn what_lies_in_it_goes_however_deep_and_what_links_lead_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        for folder in [&inside, &outside] {
            fs::create_dir_all(folder.join("a/b")).unwrap();
            fs::write(folder.join("a/file"), "x").unwrap();
        }
        symlink(&outside, inside.join("link")).unwrap();
        symlink("../../../out", inside.join("a/b/link")).unwrap();
        // Deeper than a path may be long, and than descriptors reach.
        let mut at = OwnedFd::from(fs::File::open(&inside).unwrap());
        for _ in 0..3000 {
            mkdirat(&at, "d", Mode::S_IRWXU).unwrap();
            at = openat(&at, "d", OFlag::O_RDONLY, Mode::empty()).unwrap();
        }
        empty(fs::File::open(&inside).unwrap().into()).unwrap();
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
        assert!(outside.join("a/file").exists() && outside.join("a/b").exists());
    }

    #[test]
    fn many_folders_side_by_side_go() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..2_000 {
            fs::create_dir_all(dir.path().join(format!("{number}/a"))).unwrap();
        }
        empty(fs::File::open(dir.path()).unwrap().into()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
