//! The standard descriptors of a container: what is behind them is outside, and is given anew when it
//! is restored.
//!
//! They are named when the container is made, since its program may turn them elsewhere for a while.
//! `descriptors.json` beside the images has the names, as CRIU knows what is behind them.

use std::fs;

use nix::errno::Errno;

use super::message::Inherited;
use super::{Error, Images, kept};
use crate::sys::{path, terminal};

/// runc's name.
const FILE: &str = "descriptors.json";

const PIPE: &str = "pipe:[";
const OTHER: &str = "file[";

/// The names of our own, which a container without a terminal gets; empty for what CRIU could not be
/// given again.
pub(crate) fn own_streams() -> Vec<String> {
    (0..3)
        .map(|number| name(number).unwrap_or_default())
        .collect()
}

/// `pipe:[17]`; or `file[1a:2b]`, by its mount and its inode, for a file or a device.
fn name(number: u8) -> Option<String> {
    let fd = path::standard(number);
    let about = path::stat(fd).ok()?;
    match about.st_mode & libc::S_IFMT {
        libc::S_IFIFO => {
            let target = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
            // One with a path is none that CRIU knows.
            let target = target.into_os_string().into_string().ok()?;
            target.starts_with(PIPE).then_some(target)
        }
        libc::S_IFCHR if terminal::is_terminal(fd) => None,
        libc::S_IFREG | libc::S_IFCHR => {
            let mount = path::mount_id(fd).ok()?;
            Some(format!("{OTHER}{mount:x}:{:x}]", about.st_ino))
        }
        _ => None,
    }
}

/// Writes the names of a container's streams beside its images; what CRIU has to be told of them.
pub(crate) fn save_streams(names: &[String], images: &Images) -> Result<Vec<String>, Error> {
    let path = images.file(FILE);
    let text = serde_json::to_vec(names).expect("a list of strings");
    kept::write(&path, &text)?;
    let outside = names.iter().filter(|name| name.starts_with(OTHER));
    Ok(outside.cloned().collect())
}

/// Which of our own standard descriptors take the places of those that were saved.
pub(crate) fn restored_streams(images: &Images) -> Result<Vec<Inherited>, Error> {
    let path = images.file(FILE);
    let Some(text) = kept::read(&path)? else {
        let (act, errno) = ("read", Errno::ENOENT);
        return Err(Error::Image { act, path, errno });
    };
    // What it is instead may be anybody's, and is not quoted.
    let names: Result<Vec<String>, _> = serde_json::from_slice(&text);
    let names = names.map_err(|_| Error::Alien { path })?;
    let mut inherited: Vec<Inherited> = Vec::new();
    for (fd, name) in (0..3).zip(names) {
        let is_outside = name.starts_with(PIPE) || name.starts_with(OTHER);
        let is_new = inherited.iter().all(|one| one.key != name);
        if is_outside && is_new && path::is_open(fd).is_ok() {
            inherited.push(Inherited { key: name, fd });
        }
    }
    Ok(inherited)
}
