//! Unpacked layers as overlayfs shows them together, for looking only.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, openat, readlinkat};
use nix::sys::stat::{Mode, fstatat};

use super::error::Fault;
use super::merge::open;
use super::names;
use super::walk::DIRECTORY;
use super::whiteouts::is_overlay_whiteout;
use crate::sys::xattr;

/// As in path_resolution(7).
const MOST_LINKS: u32 = 40;

pub(super) struct Below<'a>(&'a [BorrowedFd<'a>]);

/// What is at a path.
pub(super) enum Found {
    Nothing,
    /// The one whose owner and mode are shown.
    Directory(OwnedFd),
    Link,
    /// In which directory and under which name, and the path without links.
    Other {
        dir: OwnedFd,
        name: CString,
        path: Vec<u8>,
        stat: libc::stat,
    },
}

/// One step further in a directory.
enum Step {
    Nothing,
    /// The same directory in each layer that has a part in it, top first.
    Into(Vec<OwnedFd>),
    Other(OwnedFd, libc::stat),
}

impl<'a> Below<'a> {
    /// Top first.
    pub(super) fn new(layers: &'a [BorrowedFd<'a>]) -> Self {
        Self(layers)
    }

    /// At a path in which no link is followed.
    pub(super) fn look(&self, path: &[u8]) -> Result<Found, Fault> {
        let mut dirs = self.roots()?;
        let parts = names::parts(path)?;
        for (index, name) in parts.iter().enumerate() {
            match step(&dirs, name)? {
                Step::Nothing => return Ok(Found::Nothing),
                Step::Into(next) => dirs = next,
                Step::Other(..) if index + 1 < parts.len() => return Ok(Found::Nothing),
                Step::Other(_, stat) if stat.st_mode & libc::S_IFMT == libc::S_IFLNK => {
                    return Ok(Found::Link);
                }
                Step::Other(dir, stat) => {
                    let (name, path) = (name.clone(), path.to_vec());
                    return Ok(Found::Other {
                        dir,
                        name,
                        path,
                        stat,
                    });
                }
            }
        }
        Ok(dirs
            .into_iter()
            .next()
            .map_or(Found::Nothing, Found::Directory))
    }

    /// At a path whose parents may be links, and which may be one itself.
    pub(super) fn look_through(&self, path: &[u8]) -> Result<Found, Fault> {
        let mut parts = names::parts(path)?;
        let Some(name) = parts.pop() else {
            return Ok(Found::Nothing);
        };
        let parents: Vec<&[u8]> = parts.iter().map(|part| part.to_bytes()).collect();
        let Some(mut real) = self.resolve(&parents.join(&b'/'))? else {
            return Ok(Found::Nothing);
        };
        let mut dirs = self.roots()?;
        for part in names::parts(&real)? {
            match step(&dirs, &part)? {
                Step::Into(next) => dirs = next,
                _ => return Ok(Found::Nothing),
            }
        }
        Ok(match step(&dirs, &name)? {
            Step::Other(dir, stat) => {
                if !real.is_empty() {
                    real.push(b'/');
                }
                real.extend(name.to_bytes());
                Found::Other {
                    dir,
                    name,
                    path: real,
                    stat,
                }
            }
            _ => Found::Nothing,
        })
    }

    /// The path without links of a directory, below the root whatever they say. Parts that are not there
    /// stay as they are; `None`: it leads to something else, or round.
    pub(super) fn resolve(&self, path: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let mut ahead: Vec<CString> = names::parts(path)?.into_iter().rev().collect();
        let mut real: Vec<CString> = Vec::new();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            match name.to_bytes() {
                b"" | b"." => continue,
                b".." => {
                    real.pop();
                    continue;
                }
                _ => real.push(name),
            }
            let Some((dir, name)) = self.link(&real)? else {
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Ok(None);
            }
            let target = match readlinkat(&dir, name.as_c_str()) {
                Ok(target) => target,
                Err(Errno::EINVAL) => return Ok(None),
                Err(errno) => return Err(Fault::call("read a link of a layer below")(errno)),
            };
            real.pop();
            if target.as_bytes().starts_with(b"/") {
                real.clear();
            }
            let parts = target.as_bytes().split(|b| *b == b'/').rev();
            ahead.extend(parts.filter_map(|part| CString::new(part).ok()));
        }
        let parts: Vec<&[u8]> = real.iter().map(|part| part.to_bytes()).collect();
        Ok(Some(parts.join(&b'/')))
    }

    /// What is at the end of a path and no directory.
    fn link(&self, path: &[CString]) -> Result<Option<(OwnedFd, CString)>, Fault> {
        let mut dirs = self.roots()?;
        for (index, name) in path.iter().enumerate() {
            match step(&dirs, name)? {
                Step::Into(next) => dirs = next,
                Step::Other(dir, _) if index + 1 == path.len() => {
                    return Ok(Some((dir, name.clone())));
                }
                Step::Nothing | Step::Other(..) => return Ok(None),
            }
        }
        Ok(None)
    }

    fn roots(&self) -> Result<Vec<OwnedFd>, Fault> {
        self.0.iter().map(|layer| open(*layer, c".")).collect()
    }
}

/// Whether nothing of the layers below a directory is shown in it.
pub(super) fn is_opaque(dir: BorrowedFd<'_>) -> bool {
    [c"trusted.overlay.opaque", c"user.overlay.opaque"]
        .iter()
        .any(|mark| xattr::get(dir, mark).is_ok_and(|value| value == b"y"))
}

fn step(dirs: &[OwnedFd], name: &CStr) -> Result<Step, Fault> {
    let act = Fault::call("look at a layer below");
    let mut parts = Vec::new();
    for dir in dirs {
        let stat = match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(act(errno)),
        };
        if is_overlay_whiteout(&stat) {
            break;
        }
        if stat.st_mode & libc::S_IFMT != libc::S_IFDIR {
            if parts.is_empty() {
                let dir = open(dir.as_fd(), c".")?;
                return Ok(Step::Other(dir, stat));
            }
            break;
        }
        let part = openat(dir, name, DIRECTORY, Mode::empty()).map_err(&act)?;
        let hides = is_opaque(part.as_fd());
        parts.push(part);
        if hides {
            break;
        }
    }
    Ok(match parts.is_empty() {
        true => Step::Nothing,
        false => Step::Into(parts),
    })
}
