//! Extended attributes of what a descriptor refers to (xattr(7)); `O_PATH` does not serve.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::{checked, done};

pub fn set(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: `name` ends in NUL, `value` is readable for its whole length, and both outlive the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_fsetxattr,
            fd.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr(),
            value.len(),
            0,
        )
    })
}

pub fn remove(fd: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` ends in NUL and outlives the call.
    done(unsafe { libc::syscall(libc::SYS_fremovexattr, fd.as_raw_fd(), name.as_ptr()) })
}

/// `ENODATA` where it has no such attribute.
pub fn get(fd: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    whole(|into| {
        // SAFETY: `name` ends in NUL, and `into` is writable for its whole length.
        checked(unsafe {
            libc::syscall(
                libc::SYS_fgetxattr,
                fd.as_raw_fd(),
                name.as_ptr(),
                into.as_mut_ptr(),
                into.len(),
            )
        })
    })
}

/// The names that the caller may see.
pub fn list(fd: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let names = whole(|into| {
        // SAFETY: `into` is writable for its whole length.
        checked(unsafe {
            libc::syscall(
                libc::SYS_flistxattr,
                fd.as_raw_fd(),
                into.as_mut_ptr(),
                into.len(),
            )
        })
    })?;
    let names = names.split_inclusive(|b| *b == 0);
    Ok(names
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .map(CStr::to_owned)
        .collect())
}

/// Asks with more room as long as it does not do. 64 KiB is the kernel's limit of a value and of a list.
fn whole(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; 256];
    loop {
        match call(&mut bytes) {
            Ok(length) => {
                bytes.truncate(length);
                return Ok(bytes);
            }
            Err(Errno::ERANGE) if bytes.len() < 1 << 16 => bytes.resize(1 << 16, 0),
            Err(errno) => return Err(errno),
        }
    }
}
