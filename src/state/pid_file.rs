//! `--pid-file`: the number of the container's first process, for whoever started us.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Writes `pid` in decimal to `path`, without a newline: callers convert the bytes as they are.
///
/// The number is written to `.NAME` beside it and renamed, so that nobody reads half of it; a link
/// at `path` is replaced, not followed, and one at `.NAME` is an error (as is a file: runc's rule).
pub fn write(path: &Path, pid: i32) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(ErrorKind::IsADirectory.into());
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = open(parent, flags, Mode::empty())?;

    let mut new = OsString::from(".");
    new.push(name);
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let file = openat(
        &dir,
        new.as_os_str(),
        flags,
        Mode::from_bits_truncate(0o666),
    )?;
    let written = File::from(file)
        .write_all(pid.to_string().as_bytes())
        .and_then(|()| Ok(renameat(&dir, new.as_os_str(), &dir, name)?));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = unlinkat(&dir, new.as_os_str(), UnlinkatFlags::NoRemoveDir);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_file_holds_the_number_alone_and_a_link_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let path = dir.path().join("pid");
        symlink(&victim, &path).unwrap();
        write(&path, 4711).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"4711");
        assert!(!path.is_symlink());
        assert_eq!(fs::read(&victim).unwrap(), b"untouched");
        let names = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 2, "nothing else is left");
    }

    #[test]
    fn a_link_by_the_name_of_the_new_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        symlink(&victim, dir.path().join(".pid")).unwrap();
        let error = write(&dir.path().join("pid"), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(!victim.exists());
    }

    #[test]
    fn a_path_without_a_name_or_a_directory_is_refused() {
        assert!(write(Path::new("/"), 1).is_err());
        let missing = tempfile::tempdir().unwrap().path().join("pid");
        assert_eq!(write(&missing, 1).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
