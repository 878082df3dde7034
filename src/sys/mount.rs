//! The mount calls that work on descriptors (Linux 5.2, attributes 5.12). All may run in the child.

use std::ffi::CStr;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{null, null_mut};

use libc::c_uint;
use nix::errno::Errno;

use super::{checked, done};

/// Takes the descriptor that a successful call returned.
fn owned(value: usize) -> OwnedFd {
    let fd = i32::try_from(value).expect("the kernel's descriptors are small");
    // SAFETY: the caller passes a descriptor that the kernel has just made for us alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Whether overlay takes its layers one by one (`lowerdir+`, Linux 6.7).
pub fn appends_layers() -> bool {
    super::linux_version().is_some_and(|version| version >= (6, 7))
}

/// A filesystem to be configured (`fsopen(2)`).
pub fn fsopen(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: `kind` ends in NUL and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) };
    checked(fd).map(owned)
}

/// The filesystem of the mount that `at` is the root of, to be changed (`fspick(2)`).
pub fn fspick(at: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = libc::FSPICK_CLOEXEC | libc::FSPICK_EMPTY_PATH;
    // SAFETY: the path is a static empty string.
    let fd = unsafe { libc::syscall(libc::SYS_fspick, at.as_raw_fd(), c"".as_ptr(), flags) };
    checked(fd).map(owned)
}

/// Gives a picked filesystem the options that were set.
pub fn reconfigure(fs: BorrowedFd<'_>) -> Result<(), Errno> {
    fsconfig(fs, libc::FSCONFIG_CMD_RECONFIGURE, None, None)
}

fn fsconfig(
    fs: BorrowedFd<'_>,
    command: c_uint,
    key: Option<&CStr>,
    value: Option<&CStr>,
) -> Result<(), Errno> {
    let key = key.map_or(null(), CStr::as_ptr);
    let value = value.map_or(null(), CStr::as_ptr);
    // SAFETY: both strings end in NUL or are null where the command takes none; aux is 0 for all
    // commands used here.
    done(unsafe { libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), command, key, value, 0) })
}

pub fn set_flag(fs: BorrowedFd<'_>, key: &CStr) -> Result<(), Errno> {
    fsconfig(fs, libc::FSCONFIG_SET_FLAG, Some(key), None)
}

pub fn set_value(fs: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<(), Errno> {
    fsconfig(fs, libc::FSCONFIG_SET_STRING, Some(key), Some(value))
}

pub fn create(fs: BorrowedFd<'_>) -> Result<(), Errno> {
    fsconfig(fs, libc::FSCONFIG_CMD_CREATE, None, None)
}

/// The next line the kernel has to say about this filesystem context, such as
/// `e tmpfs: Bad value for 'size'`; the number of bytes put into `line`.
pub fn complaint(fs: BorrowedFd<'_>, line: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `line` is writable for its whole length.
    checked(unsafe {
        libc::syscall(
            libc::SYS_read,
            fs.as_raw_fd(),
            line.as_mut_ptr(),
            line.len(),
        )
    })
}

/// A mount of the configured filesystem, attached nowhere (`fsmount(2)`).
pub fn fsmount(fs: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: takes only numbers.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_fsmount,
            fs.as_raw_fd(),
            libc::FSMOUNT_CLOEXEC,
            attributes,
        )
    };
    checked(fd).map(owned)
}

/// A copy of the mount that `path` under `dir` names, with all below it where `recursive`
/// (`open_tree(2)`). An empty path means `dir` itself.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::O_CLOEXEC as c_uint;
    if recursive {
        flags |= libc::AT_RECURSIVE as c_uint;
    }
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH as c_uint;
    }
    // SAFETY: `path` ends in NUL and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) };
    checked(fd).map(owned)
}

/// Attaches the detached mount `tree` on what `target` refers to (`move_mount(2)`).
pub fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: both paths are empty strings with static life.
    done(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
}

/// Changes attributes and propagation of the mount that `tree` is the root of, and of all below it
/// where `recursive` (`mount_setattr(2)`, Linux 5.12). `propagation` is an `MS_*` word or 0.
pub fn set_attributes(
    tree: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    propagation: u64,
    recursive: bool,
) -> Result<(), Errno> {
    let attr = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation,
        userns_fd: 0,
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: `attr` is a whole mount_attr, its size is passed, and it outlives the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })
}

/// Shows the files of the detached mount `tree`, with all below it where `recursive`, with the ids that
/// the user namespace `users` gives them (`MOUNT_ATTR_IDMAP`, Linux 5.12). `EINVAL`: a filesystem cannot.
pub fn map_ids(tree: BorrowedFd<'_>, users: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    let below = if recursive { libc::AT_RECURSIVE } else { 0 };
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(users.as_raw_fd().cast_unsigned()),
    };
    // SAFETY: `attr` is a whole mount_attr, its size is passed, and it outlives the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | below,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    })
}

/// Changes the propagation of the mount at `path` (`mount(2)` with no source): `flags` holds one of
/// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, with or without `MS_REC`.
pub fn set_propagation(path: &CStr, flags: u64) -> Result<(), Errno> {
    // SAFETY: `path` ends in NUL; source, type and data are not read for a change of propagation.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount,
            null::<u8>(),
            path.as_ptr(),
            null::<u8>(),
            flags,
            null_mut::<u8>(),
        )
    })
}

/// A new filesystem at `at`, by `mount(2)`: for kernels where fsconfig(2) does not take all that this one
/// does. `options` is less than a page.
pub fn mount(kind: &CStr, at: &CStr, options: &CStr) -> Result<(), Errno> {
    // SAFETY: all strings end in NUL and outlive the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount,
            kind.as_ptr(),
            at.as_ptr(),
            kind.as_ptr(),
            0,
            options.as_ptr(),
        )
    })
}

/// Moves the mount at `from` to `to` (`MS_MOVE`).
pub fn move_to(from: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: both end in NUL; type and data are not read for a move.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount,
            from.as_ptr(),
            to.as_ptr(),
            null::<u8>(),
            libc::MS_MOVE,
            null_mut::<u8>(),
        )
    })
}

/// Makes the working directory the root and stacks the old root on it (`pivot_root(".", ".")`).
pub fn pivot_to_here() -> Result<(), Errno> {
    // SAFETY: both strings are static.
    done(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })
}

/// Detaches the topmost mount at `path` with all below it (`MNT_DETACH`).
pub fn detach(path: &CStr) -> Result<(), Errno> {
    // SAFETY: `path` ends in NUL and outlives the call.
    done(unsafe { libc::syscall(libc::SYS_umount2, path.as_ptr(), libc::MNT_DETACH) })
}
