//! Small files of ours beside CRIU's images. Images come from elsewhere: what lies there by these names
//! may be anything, and is neither waited for nor followed.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;

use super::Error;
use crate::sys::errno;

/// More than any that a checkpoint writes.
const LONGEST: u64 = 1 << 20;

fn fault(act: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |e| Error::Image {
        act,
        path: path.into(),
        errno: errno(&e),
    }
}

/// What the file holds; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let fault = fault("read", path);
    let alien = || Error::Alien { path: path.into() };
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path);
    let file = match opened {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if errno(&e) == Errno::ELOOP => return Err(alien()),
        opened => opened.map_err(&fault)?,
    };
    if !file.metadata().map_err(&fault)?.is_file() {
        return Err(alien());
    }
    let mut bytes = Vec::new();
    let length = file.take(LONGEST + 1).read_to_end(&mut bytes);
    match length.map_err(&fault)? as u64 > LONGEST {
        true => Err(alien()),
        false => Ok(Some(bytes)),
    }
}

/// Puts a new file in the place of what has the name, for its owner alone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let fault = fault("write", path);
    let new = path.with_extension("new");
    // Of one that was killed.
    remove(&new)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&new).map_err(&fault)?;
    file.write_all(bytes).map_err(&fault)?;
    fs::rename(&new, path).map_err(&fault)
}

/// Removing twice is removing once.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(fault("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_pipe_a_link_and_too_much_are_none_of_ours_and_a_link_is_not_written_through() {
        let dir = std::env::temp_dir().join(format!("bulkhead-kept-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let (pipe, link, long) = (dir.join("pipe"), dir.join("link.json"), dir.join("long"));
        let target = dir.join("target");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        symlink(&target, dir.join("link.new")).unwrap();
        fs::write(&long, " ".repeat(usize::try_from(LONGEST + 1).unwrap())).unwrap();
        for path in [&pipe, &link, &long, &dir] {
            let read = read(path);
            assert!(matches!(read, Err(Error::Alien { .. })), "{path:?}");
        }
        assert_eq!(read(&dir.join("none")).unwrap(), None);

        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(read(&link).unwrap().unwrap(), b"new");
        let mode = fs::metadata(&link).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        remove(&link).unwrap();
        remove(&link).unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
