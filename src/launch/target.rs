//! Where a mount goes: found or made below the root, by descriptors.
//!
//! The tree is hostile: any name in it may be a link, and may become one between two looks. So a
//! name is only ever resolved by the kernel under the root's descriptor, and what was opened is
//! what is used. All of this runs in the child.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::fault::{Call, Stop};
use crate::sys::path::{self, Resolve};

/// What to make where there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    Dir,
    File,
}

/// How many dangling links are followed before giving up, as many as the kernel itself follows.
const LINKS: u32 = 40;

/// Opens `target` under `root` as `O_PATH`, making it and its parents where they are missing.
pub(super) fn open_or_make(
    root: BorrowedFd<'_>,
    target: &CStr,
    want: Want,
    resolve: Resolve,
) -> Result<OwnedFd, Stop> {
    match path::open(root, target, libc::O_PATH, resolve) {
        Err(Errno::ENOENT) => make(root, target, want, resolve),
        opened => opened.map_err(|errno| Stop::at(Call::OpenTarget, errno)),
    }
}

/// Opens the directory `dir` under `root`, making it where it is missing.
pub(super) fn open_dir(root: BorrowedFd<'_>, dir: &[u8]) -> Result<OwnedFd, Stop> {
    let mut path = Text::new(if dir.is_empty() { b"." } else { dir })?;
    open_or_make(root, path.as_c_str()?, Want::Dir, Resolve::InRoot)
}

/// A path or a line of options on the stack, NUL at its end.
pub(super) struct Text {
    bytes: [u8; libc::PATH_MAX as usize],
    length: usize,
}

impl Text {
    pub(super) fn new(text: &[u8]) -> Result<Self, Errno> {
        let mut path = Self {
            bytes: [0; libc::PATH_MAX as usize],
            length: 0,
        };
        path.push(text)?;
        Ok(path)
    }

    pub(super) fn push(&mut self, text: &[u8]) -> Result<(), Errno> {
        let end = self.length + text.len();
        // One byte stays for the NUL.
        let room = self
            .bytes
            .get_mut(self.length..end)
            .ok_or(Errno::ENAMETOOLONG)?;
        room.copy_from_slice(text);
        self.length = end;
        if end < self.bytes.len() {
            Ok(())
        } else {
            Err(Errno::ENAMETOOLONG)
        }
    }

    pub(super) fn push_number(&mut self, number: u32) -> Result<(), Errno> {
        if number > 9 {
            self.push_number(number / 10)?;
        }
        self.push(&b"0123456789"[(number % 10) as usize..][..1])
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn as_c_str(&mut self) -> Result<&CStr, Errno> {
        self.bytes[self.length] = 0;
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::EINVAL)
    }
}

/// Opens one prefix of a path; the empty one is the root.
fn open_prefix(root: BorrowedFd<'_>, prefix: &[u8], resolve: Resolve) -> Result<OwnedFd, Errno> {
    let prefix = if prefix.is_empty() { b"." } else { prefix };
    path::open(root, Text::new(prefix)?.as_c_str()?, libc::O_PATH, resolve)
}

/// The slow way: makes one missing component after the other. A link whose end is missing is
/// followed by hand, so that `/var/run -> /run` works in an image that has no /run.
fn make(
    root: BorrowedFd<'_>,
    target: &CStr,
    want: Want,
    resolve: Resolve,
) -> Result<OwnedFd, Stop> {
    let stop = |errno| Stop::at(Call::MakeTarget, errno);
    let mut whole = Text::new(target.to_bytes()).map_err(stop)?;
    let mut links = 0;
    let mut done = 0; // everything before this offset of `whole` exists
    while done < whole.length {
        let (start, end) = component(whole.as_bytes(), done);
        if start == end {
            break;
        }
        match open_prefix(root, &whole.as_bytes()[..end], resolve) {
            Ok(_) => done = end,
            Err(Errno::ENOENT) => {
                let parent = open_prefix(root, &whole.as_bytes()[..done], resolve).map_err(stop)?;
                let name = &whole.as_bytes()[start..end];
                let last = component(whole.as_bytes(), end).0 == whole.length;
                let want = if last { want } else { Want::Dir };
                match make_one(parent.as_fd(), name, want) {
                    Ok(()) => done = end,
                    Err(Errno::EEXIST) if resolve == Resolve::InRoot && links < LINKS => {
                        links += 1;
                        whole = follow(parent.as_fd(), &whole, done, start, end).map_err(stop)?;
                        done = 0;
                    }
                    Err(errno) => return Err(stop(errno)),
                }
            }
            Err(errno) => return Err(stop(errno)),
        }
    }
    open_prefix(root, whole.as_bytes(), resolve).map_err(stop)
}

/// The bounds of the first component at or after `from`.
fn component(path: &[u8], from: usize) -> (usize, usize) {
    let slashes = path[from..].iter().take_while(|b| **b == b'/').count();
    let start = from + slashes;
    let length = path[start..].iter().take_while(|b| **b != b'/').count();
    (start, start + length)
}

fn make_one(parent: BorrowedFd<'_>, name: &[u8], want: Want) -> Result<(), Errno> {
    let mut name = Text::new(name)?;
    let name = name.as_c_str()?;
    match want {
        Want::Dir => path::make_dir(parent, name, 0o755),
        Want::File => path::make_node(parent, name, libc::S_IFREG | 0o644, 0),
    }
}

/// The path with the link at `start..end`, found in `parent`, replaced by what it says.
fn follow(
    parent: BorrowedFd<'_>,
    whole: &Text,
    done: usize,
    start: usize,
    end: usize,
) -> Result<Text, Errno> {
    let mut text = [0; libc::PATH_MAX as usize];
    let mut name = Text::new(&whole.as_bytes()[start..end])?;
    let length = match path::read_link(parent, name.as_c_str()?, &mut text) {
        // Not a link: somebody has made it meanwhile. The caller looks again.
        Err(Errno::EINVAL) => return Text::new(whole.as_bytes()),
        length => length?,
    };
    let link = &text[..length];
    let mut path = Text::new(if link.starts_with(b"/") {
        b""
    } else {
        &whole.as_bytes()[..done]
    })?;
    for part in [b"/", link, b"/", &whole.as_bytes()[end..]] {
        path.push(part)?;
    }
    // openat2 takes the path as relative to the root with or without the leading slash.
    Ok(path)
}
