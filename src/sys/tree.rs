//! Two trees held against each other, under their descriptors.

use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

use super::path::{self, Resolve};
use super::xattr;

/// The first thing that one tree has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Relative to both roots.
    pub path: PathBuf,
    pub what: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.path, self.what)
    }
}

/// Compares names, kinds, modes, owners, times of change of content, extended attributes, devices, links and
/// content of all that is in `wanted` with what is in `found`. Depth costs no descriptors.
pub fn difference(
    wanted: BorrowedFd<'_>,
    found: BorrowedFd<'_>,
) -> Result<Option<Difference>, Errno> {
    let mut left = vec![PathBuf::from(".")];
    while let Some(at) = left.pop() {
        let dirs = [wanted, found].map(|root| open(root, &at, libc::O_RDONLY | libc::O_DIRECTORY));
        let [wanted_dir, found_dir] = dirs;
        let (wanted_dir, found_dir) = (wanted_dir?, found_dir?);
        if let Some(what) = unlike(wanted_dir.as_fd(), found_dir.as_fd())? {
            return Ok(Some(Difference { path: at, what }));
        }
        let (names, others) = (names(&wanted_dir)?, names(&found_dir)?);
        if let Some(other) = others
            .iter()
            .find(|name| names.binary_search(name).is_err())
        {
            let what = "it is there, and should not be";
            return Ok(Some(Difference {
                path: joined(&at, other),
                what,
            }));
        }
        for name in &names {
            let path = joined(&at, name);
            let differs = |what| {
                Ok(Some(Difference {
                    path: path.clone(),
                    what,
                }))
            };
            if others.binary_search(name).is_err() {
                return differs("it is not there");
            }
            let own = open(
                wanted_dir.as_fd(),
                &PathBuf::from(OsStr::from_bytes(name.as_bytes())),
                libc::O_PATH,
            )?;
            let other = open(
                found_dir.as_fd(),
                &PathBuf::from(OsStr::from_bytes(name.as_bytes())),
                libc::O_PATH,
            )?;
            match path::stat(own.as_fd())?.st_mode & libc::S_IFMT {
                libc::S_IFDIR => {
                    if path::stat(other.as_fd())?.st_mode & libc::S_IFMT != libc::S_IFDIR {
                        return differs("it is no directory");
                    }
                    left.push(path);
                    continue;
                }
                libc::S_IFREG => {
                    if let Some(what) = unlike_files(&wanted_dir, &found_dir, name, &own, &other)? {
                        return differs(what);
                    }
                }
                libc::S_IFLNK => {
                    if let Some(what) = unlike_by_stat(own.as_fd(), other.as_fd())? {
                        return differs(what);
                    }
                    if readlinkat(&own, "").ok() != readlinkat(&other, "").ok() {
                        return differs("the link leads elsewhere");
                    }
                }
                _ => {
                    if let Some(what) = unlike_by_stat(own.as_fd(), other.as_fd())? {
                        return differs(what);
                    }
                }
            }
        }
    }
    Ok(None)
}

fn joined(at: &std::path::Path, name: &CString) -> PathBuf {
    at.join(OsStr::from_bytes(name.as_bytes()))
}

fn open(root: BorrowedFd<'_>, at: &std::path::Path, flags: libc::c_int) -> Result<OwnedFd, Errno> {
    let name = CString::new(at.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let flags = flags | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match flags & libc::O_PATH != 0 {
        // Of a link, the link itself: `openat2` would refuse it.
        true => openat(
            root,
            name.as_c_str(),
            OFlag::from_bits_retain(flags | libc::O_CLOEXEC),
            Mode::empty(),
        ),
        false => path::open(root, &name, flags, Resolve::Beneath),
    }
}

fn names(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let again = openat(
        dir,
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(again)?.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn unlike_files(
    wanted_dir: &OwnedFd,
    found_dir: &OwnedFd,
    name: &CString,
    own: &OwnedFd,
    other: &OwnedFd,
) -> Result<Option<&'static str>, Errno> {
    if let Some(what) = unlike_by_stat(own.as_fd(), other.as_fd())? {
        return Ok(Some(what));
    }
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let own = path::open(wanted_dir.as_fd(), name, flags, Resolve::Beneath)?;
    let other = path::open(found_dir.as_fd(), name, flags, Resolve::Beneath)?;
    if let Some(what) = unlike(own.as_fd(), other.as_fd())? {
        return Ok(Some(what));
    }
    let (mut own, mut other) = (File::from(own), File::from(other));
    let (mut one, mut two) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = own.read(&mut one).map_err(super::errno)?;
        if read == 0 {
            return Ok(None);
        }
        match other.read_exact(&mut two[..read]) {
            Ok(()) if one[..read] == two[..read] => {}
            Ok(()) => return Ok(Some("its content is another")),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok(Some("it is shorter"));
            }
            Err(error) => return Err(super::errno(error)),
        }
    }
}

fn unlike(own: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<Option<&'static str>, Errno> {
    if let Some(what) = unlike_by_stat(own, other)? {
        return Ok(Some(what));
    }
    let [own, other] = [own, other].map(|fd| {
        let mut all = Vec::new();
        for name in xattr::list(fd)? {
            let value = xattr::get(fd, &name)?;
            all.push((name, value));
        }
        all.sort();
        Ok::<_, Errno>(all)
    });
    Ok((own? != other?).then_some("its extended attributes are others"))
}

fn unlike_by_stat(
    own: BorrowedFd<'_>,
    other: BorrowedFd<'_>,
) -> Result<Option<&'static str>, Errno> {
    let (own, other) = (path::stat(own)?, path::stat(other)?);
    let is_dir = own.st_mode & libc::S_IFMT == libc::S_IFDIR;
    // overlayfs' mark of what is removed has the time of its making, which nobody sees.
    let is_whiteout = own.st_mode & libc::S_IFMT == libc::S_IFCHR && own.st_rdev == 0;
    let pairs = [
        (
            own.st_mode & libc::S_IFMT == other.st_mode & libc::S_IFMT,
            "it is of another kind",
        ),
        (own.st_mode == other.st_mode, "its mode is another"),
        (
            (own.st_uid, own.st_gid) == (other.st_uid, other.st_gid),
            "its owner is another",
        ),
        (
            is_dir || own.st_size == other.st_size,
            "its size is another",
        ),
        (
            is_dir || own.st_nlink == other.st_nlink,
            "it has another number of names",
        ),
        (own.st_rdev == other.st_rdev, "it is another device"),
        (
            is_whiteout
                || (own.st_mtime, own.st_mtime_nsec) == (other.st_mtime, other.st_mtime_nsec),
            "its time is another",
        ),
    ];
    Ok(pairs.iter().find(|(same, _)| !same).map(|(_, what)| *what))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn tree(at: &Path) {
        fs::create_dir_all(at.join("a/b")).unwrap();
        fs::write(at.join("a/b/file"), "content").unwrap();
        fs::write(at.join("a/other"), "more").unwrap();
        symlink("b/file", at.join("a/link")).unwrap();
    }

    #[test]
    fn each_difference_is_found_and_named() {
        type Change = fn(&Path);
        let changes: &[(Change, &str)] = &[
            (|_| {}, ""),
            (
                |at| fs::write(at.join("a/b/file"), "CONTENT").unwrap(),
                "a/b/file",
            ),
            (
                |at| fs::write(at.join("a/b/file"), "contents").unwrap(),
                "its size",
            ),
            (
                |at| fs::write(at.join("a/new"), "").unwrap(),
                "should not be",
            ),
            (
                |at| fs::remove_file(at.join("a/other")).unwrap(),
                "it is not there",
            ),
            (
                |at| {
                    let mode = fs::Permissions::from_mode(0o4755);
                    fs::set_permissions(at.join("a/other"), mode).unwrap();
                },
                "its mode",
            ),
            (
                |at| {
                    fs::remove_file(at.join("a/link")).unwrap();
                    symlink("b/file2", at.join("a/link")).unwrap();
                },
                "a/link",
            ),
            (
                |at| {
                    fs::remove_file(at.join("a/other")).unwrap();
                    fs::create_dir(at.join("a/other")).unwrap();
                },
                "kind",
            ),
        ];
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("wanted");
        tree(&wanted);
        for (number, (change, said)) in changes.iter().enumerate() {
            let found = dir.path().join(number.to_string());
            let copied = Command::new("cp")
                .arg("-a")
                .args([&wanted, &found])
                .status();
            assert!(copied.unwrap().success());
            change(&found);
            let roots = [&wanted, &found].map(|path| File::open(path).unwrap());
            let difference = difference(roots[0].as_fd(), roots[1].as_fd()).unwrap();
            match difference {
                None => assert_eq!(*said, ""),
                Some(difference) => {
                    let text = difference.to_string();
                    // Times of directories differ with what is in them.
                    assert!(
                        text.contains(said) || text.contains("time"),
                        "{text}: {said}"
                    );
                    assert_ne!(*said, "", "{text}");
                }
            }
        }
    }
}
