//! `tmpcopyup`: what the image has at a target goes into the tmpfs that will cover it. Runs in the
//! child.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::sys::path::{self, Resolve, read_dir};

/// How deep a tree may be: each level takes a buffer on the stack.
const DEPTH: u32 = 64;

/// Copies files, directories, links and nodes with their modes and owners; `ELOOP` below 64 levels.
/// `to` may be `O_PATH`; its own mode is left as it is.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let from = path::open(
        from,
        c".",
        libc::O_RDONLY | libc::O_DIRECTORY,
        Resolve::Beneath,
    )?;
    let stat = path::stat(from.as_fd())?;
    path::set_owner(to, stat.st_uid, stat.st_gid)?;
    copy_entries(from.as_fd(), to, DEPTH)
}

/// Gives `to` the owner and mode of `from`. The owner first: changing it clears set-id bits.
fn dress(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = path::stat(from)?;
    path::set_owner(to, stat.st_uid, stat.st_gid)?;
    path::set_mode(to, stat.st_mode & 0o7777)
}

fn copy_entries(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
    let depth = depth.checked_sub(1).ok_or(Errno::ELOOP)?;
    let mut buffer = [0; 4096];
    loop {
        let entries = read_dir(from, &mut buffer)?;
        if entries.is_empty() {
            return Ok(());
        }
        for name in entries {
            copy_entry(from, to, name, depth)?;
        }
    }
}

fn copy_entry(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    depth: u32,
) -> Result<(), Errno> {
    let open = |flags| path::open(from, name, flags | libc::O_NOFOLLOW, Resolve::Beneath);
    let entry = open(libc::O_PATH)?;
    let stat = path::stat(entry.as_fd())?;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => {
            path::make_dir(to, name, 0o700)?;
            let made = made(to, name, libc::O_RDONLY | libc::O_DIRECTORY)?;
            let dir = open(libc::O_RDONLY | libc::O_DIRECTORY)?;
            copy_entries(dir.as_fd(), made.as_fd(), depth)?;
            dress(dir.as_fd(), made.as_fd())
        }
        libc::S_IFREG => {
            let made = made(to, name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?;
            let file = open(libc::O_RDONLY | libc::O_NONBLOCK)?;
            while path::send_file(file.as_fd(), made.as_fd())? > 0 {}
            dress(file.as_fd(), made.as_fd())
        }
        libc::S_IFLNK => {
            let mut text = [0; libc::PATH_MAX as usize];
            let length = path::read_link(from, name, &mut text[..libc::PATH_MAX as usize - 1])?;
            let text = CStr::from_bytes_until_nul(&text[..=length]).map_err(|_| Errno::EINVAL)?;
            path::make_link(text, to, name)?;
            let made = made(to, name, libc::O_PATH)?;
            path::set_owner(made.as_fd(), stat.st_uid, stat.st_gid)
        }
        _ => {
            path::make_node(to, name, stat.st_mode, stat.st_rdev)?;
            let made = made(to, name, libc::O_PATH)?;
            path::set_owner(made.as_fd(), stat.st_uid, stat.st_gid)
        }
    }
}

/// Opens what was just made; nobody else knows the filesystem yet.
fn made(to: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    path::open(to, name, flags | libc::O_NOFOLLOW, Resolve::Beneath)
}
