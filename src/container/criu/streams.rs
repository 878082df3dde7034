//! The standard descriptors of a container: what is behind them is outside, and is given anew when it
//! is restored.
//!
//! `descriptors.json` beside the images has a name for each, as CRIU knows what is behind it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use super::message::Inherited;
use super::{Error, errno};
use crate::sys::path;

/// runc's name.
const FILE: &str = "descriptors.json";

/// Files and devices on mounts that the container does not have.
const OUTSIDE: &str = "file[";

fn fault(path: PathBuf) -> impl FnOnce(std::io::Error) -> Error {
    move |e| Error::Image {
        act: "read",
        errno: errno(&e),
        path,
    }
}

/// Writes down what process `pid` has for standard descriptors; what CRIU has to be told of it.
/// `mounts` are the container's.
pub(crate) fn saved_streams(
    pid: i32,
    mounts: &BTreeSet<u64>,
    images: &super::Images,
) -> Result<Vec<String>, Error> {
    let names = (0..3)
        .map(|number| name(pid, number, mounts))
        .collect::<Result<Vec<_>, _>>()?;
    let path = images.file(FILE);
    let text = serde_json::to_vec(&names).expect("a list of strings");
    fs::write(&path, text).map_err(|e| Error::Image {
        act: "write",
        errno: errno(&e),
        path,
    })?;
    let mut outside = names;
    outside.retain(|name| name.starts_with(OUTSIDE));
    outside.dedup();
    Ok(outside)
}

/// `pipe:[17]`, `/dev/pts/0`, `file[1a:2b]`; empty for one that is closed.
fn name(pid: i32, number: u8, mounts: &BTreeSet<u64>) -> Result<String, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/fd/{number}"));
    let target = match fs::read_link(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        target => target.map_err(fault(path.clone()))?,
    };
    let target = target.to_string_lossy().into_owned();
    let about = fs::metadata(&path).map_err(fault(path.clone()))?;
    let is_file = about.is_file() || about.file_type().is_char_device();
    if !is_file || target.starts_with("/dev/pts/") || target.starts_with("/dev/tty") {
        return Ok(target);
    }
    let info = PathBuf::from(format!("/proc/{pid}/fdinfo/{number}"));
    let text = fs::read_to_string(&info).map_err(fault(info))?;
    let mount = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    match mount.and_then(|id| id.trim().parse::<u64>().ok()) {
        Some(id) if !mounts.contains(&id) => Ok(format!("file[{id:x}:{:x}]", about.ino())),
        _ => Ok(target),
    }
}

/// Which of our own standard descriptors take the places of those that were saved.
pub(crate) fn restored_streams(images: &super::Images) -> Result<Vec<Inherited>, Error> {
    let path = images.file(FILE);
    let text = fs::read(&path).map_err(fault(path.clone()))?;
    let names: Vec<String> =
        serde_json::from_slice(&text).map_err(|cause| Error::Streams { path, cause })?;
    let mut inherited: Vec<Inherited> = Vec::new();
    for (fd, name) in (0..3).zip(names) {
        let is_outside = name.starts_with("pipe:") || name.starts_with(OUTSIDE);
        let is_new = inherited.iter().all(|one| one.key != name);
        if is_outside && is_new && path::is_open(fd).is_ok() {
            inherited.push(Inherited { key: name, fd });
        }
    }
    Ok(inherited)
}
