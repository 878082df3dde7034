//! Names that are resolved under a descriptor. All may run in the child, but for [`open_regular`].

use std::ffi::{CStr, CString};
use std::fs::File;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::{checked, done};

/// How `openat2(2)` treats what it meets on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// `dir` is the root: links and `..` stay below it, magic links are refused.
    InRoot,
    /// As `InRoot`, and a link is refused (`ELOOP`).
    InRootNoLinks,
    /// Neither links nor another mount: what was checked is what is opened.
    Beneath,
    /// As the caller's own root sees it.
    Host,
}

/// The working directory, where a call wants a descriptor.
pub const HERE: BorrowedFd<'static> = {
    // SAFETY: AT_FDCWD is no descriptor that could be closed.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
};

/// Opens a regular file below `root` for reading; `None` where it is something else. That is known before
/// it is opened: opening a device is an act of its driver, and opening a fifo may wait for ever.
pub fn open_regular(root: BorrowedFd<'_>, path: &CStr) -> Result<Option<File>, Errno> {
    let found = open(root, path, libc::O_PATH, Resolve::InRoot)?;
    let stat = nix::sys::stat::fstat(&found)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Ok(None);
    }
    let name = format!("/proc/self/fd/{}", found.as_raw_fd());
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    open(HERE, &name, libc::O_RDONLY, Resolve::Host).map(|file| Some(file.into()))
}

/// One of the three standard descriptors; a call on it says `EBADF` where it is closed.
pub fn standard(number: u8) -> BorrowedFd<'static> {
    // SAFETY: Rust's runtime opens 0, 1 and 2 before main where they are closed, and nothing here
    // closes them.
    unsafe { BorrowedFd::borrow_raw(RawFd::from(number.min(2))) }
}

/// Puts /dev/null in the place of stdin, stdout and stderr.
pub fn forget_standard() -> Result<(), Errno> {
    let null = open(HERE, c"/dev/null", libc::O_RDWR, Resolve::Host)?;
    (0..3).try_for_each(|number| super::exec::duplicate(null.as_fd(), number))
}

/// Closes the child's copy of a descriptor that the parent owns. Only for the child, which never
/// drops the owner.
pub fn close_in_child(fd: BorrowedFd<'_>) {
    // SAFETY: takes only a number; the child has its own table, and uses this entry no more.
    unsafe { libc::syscall(libc::SYS_close, fd.as_raw_fd()) };
}

/// Whether a descriptor of this number is open: `EBADF` when not.
pub fn is_open(number: RawFd) -> Result<(), Errno> {
    // SAFETY: takes only numbers.
    Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) }).map(drop)
}

/// Whether the descriptor of this number is open and stays open over exec.
pub fn is_inherited(number: RawFd) -> bool {
    // SAFETY: takes only numbers.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC == 0
}

/// How often a lookup that raced with a rename is tried again, before it counts as an attack.
const RACES: u32 = 1000;

/// Opens `path` under `dir`. `flags` are those of `open(2)`; `O_CLOEXEC` is added.
pub fn open(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: libc::c_int,
    resolve: Resolve,
) -> Result<OwnedFd, Errno> {
    // SAFETY: open_how is plain numbers, for which zero is valid.
    let mut how: libc::open_how = unsafe { MaybeUninit::zeroed().assume_init() };
    how.flags = u64::from((flags | libc::O_CLOEXEC).cast_unsigned());
    how.resolve = match resolve {
        Resolve::InRoot => libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS,
        Resolve::InRootNoLinks => libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_SYMLINKS,
        Resolve::Beneath => {
            libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV
        }
        Resolve::Host => 0,
    };
    let mut tries = 0;
    loop {
        // SAFETY: `path` ends in NUL, `how` is whole and its size is passed; both outlive the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        match checked(fd) {
            // A rename elsewhere raced with `..` under RESOLVE_IN_ROOT: openat2(2) says try again.
            Err(Errno::EAGAIN) if tries < RACES => tries += 1,
            Err(errno) => return Err(errno),
            Ok(fd) => {
                let fd = RawFd::try_from(fd).map_err(|_| Errno::EMFILE)?;
                // SAFETY: the kernel has just made this descriptor for us alone.
                return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
}

pub fn make_dir(dir: BorrowedFd<'_>, name: &CStr, mode: libc::mode_t) -> Result<(), Errno> {
    // SAFETY: `name` ends in NUL and outlives the call.
    done(unsafe { libc::syscall(libc::SYS_mkdirat, dir.as_raw_fd(), name.as_ptr(), mode) })
}

/// Makes a node; `mode` holds its kind (`S_IFCHR` …) and permission bits.
pub fn make_node(
    dir: BorrowedFd<'_>,
    name: &CStr,
    mode: libc::mode_t,
    device: libc::dev_t,
) -> Result<(), Errno> {
    // The system call takes the 32-bit form of a device number, which holds every number the
    // kernel has (12 and 20 bits).
    let device = u32::try_from(device).map_err(|_| Errno::EINVAL)?;
    // SAFETY: `name` ends in NUL and outlives the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_mknodat,
            dir.as_raw_fd(),
            name.as_ptr(),
            mode,
            device,
        )
    })
}

pub fn make_link(target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: both strings end in NUL and outlive the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_symlinkat,
            target.as_ptr(),
            dir.as_raw_fd(),
            name.as_ptr(),
        )
    })
}

/// Removes a name that is no directory.
pub fn unlink(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` ends in NUL and outlives the call.
    done(unsafe { libc::syscall(libc::SYS_unlinkat, dir.as_raw_fd(), name.as_ptr(), 0) })
}

/// Changes the mode of an open file; an `O_PATH` descriptor does not serve.
pub fn set_mode(fd: BorrowedFd<'_>, mode: libc::mode_t) -> Result<(), Errno> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::syscall(libc::SYS_fchmod, fd.as_raw_fd(), mode) })
}

/// Reads once; 0 at the end.
pub fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `into` is writable for its whole length.
    checked(unsafe {
        libc::syscall(
            libc::SYS_read,
            fd.as_raw_fd(),
            into.as_mut_ptr(),
            into.len(),
        )
    })
}

/// The next read starts at the beginning.
pub fn rewind(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::syscall(libc::SYS_lseek, fd.as_raw_fd(), 0, libc::SEEK_SET) })
}

/// Copies what comes next of `from` to `to`; how many bytes, 0 at the end.
pub fn send_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<usize, Errno> {
    const MOST: usize = 1 << 30;
    // SAFETY: without an offset, both files' own positions are used.
    checked(unsafe {
        libc::syscall(
            libc::SYS_sendfile,
            to.as_raw_fd(),
            from.as_raw_fd(),
            std::ptr::null::<u8>(),
            MOST,
        )
    })
}

/// Names of a directory, as one call of `getdents64(2)` gives them.
#[derive(Debug)]
pub struct Names<'a>(&'a [u8]);

/// The next names of `dir`, without `.` and `..`; empty at the end. `buffer` holds at least one
/// entry: 280 bytes.
pub fn read_dir<'a>(dir: BorrowedFd<'_>, buffer: &'a mut [u8]) -> Result<Names<'a>, Errno> {
    // SAFETY: `buffer` is writable for its whole length.
    let length = checked(unsafe {
        libc::syscall(
            libc::SYS_getdents64,
            dir.as_raw_fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    })?;
    Ok(Names(&buffer[..length]))
}

impl Names<'_> {
    /// Whether the directory has been read to its end.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        // struct linux_dirent64: inode and offset of 8 bytes each, a length of 2, a type of 1, and
        // the name with its NUL.
        loop {
            let length = u16::from_ne_bytes([*self.0.get(16)?, *self.0.get(17)?]);
            let (entry, rest) = self.0.split_at_checked(usize::from(length))?;
            self.0 = rest;
            let name = CStr::from_bytes_until_nul(entry.get(19..)?).ok()?;
            if name != c"." && name != c".." {
                return Some(name);
            }
        }
    }
}

/// Changes the owner of what `fd` refers to; an `O_PATH` descriptor serves.
pub fn set_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<(), Errno> {
    // SAFETY: the path is a static empty string.
    done(unsafe {
        libc::syscall(
            libc::SYS_fchownat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            uid,
            gid,
            libc::AT_EMPTY_PATH,
        )
    })
}

/// Reads the link `name`; how many bytes of `target` it filled.
pub fn read_link(dir: BorrowedFd<'_>, name: &CStr, target: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `name` ends in NUL, and `target` is writable for its whole length.
    checked(unsafe {
        libc::syscall(
            libc::SYS_readlinkat,
            dir.as_raw_fd(),
            name.as_ptr(),
            target.as_mut_ptr(),
            target.len(),
        )
    })
}

/// What `fd` refers to, without following anything.
pub fn stat(fd: BorrowedFd<'_>) -> Result<libc::stat, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for one; the path is a static empty string.
    let result = unsafe {
        libc::fstatat(
            fd.as_raw_fd(),
            c"".as_ptr(),
            stat.as_mut_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::result(result)?;
    // SAFETY: the call succeeded, so it has filled the whole of it.
    Ok(unsafe { stat.assume_init() })
}

/// Which kind of filesystem `fd` lies on (`*_SUPER_MAGIC`).
pub fn filesystem(fd: BorrowedFd<'_>) -> Result<libc::c_long, Errno> {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `stat` has room for one.
    Errno::result(unsafe { libc::fstatfs(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the whole of it.
    Ok(unsafe { stat.assume_init() }.f_type)
}

/// Whether the mount that `fd` was opened through is read-only. Not for the child.
pub fn on_readonly_mount(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `stat` has room for one.
    Errno::result(unsafe { libc::fstatvfs(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the whole of it.
    Ok(unsafe { stat.assume_init() }.f_flag & libc::ST_RDONLY != 0)
}

/// Which mount `fd` was opened through (`STATX_MNT_ID`, Linux 5.8).
pub fn mount_id(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the path is a static empty string, and `stat` has room for one.
    done(unsafe {
        libc::syscall(
            libc::SYS_statx,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_MNT_ID,
            stat.as_mut_ptr(),
        )
    })?;
    // SAFETY: it was zero, and the call has filled it.
    Ok(unsafe { stat.assume_init() }.stx_mnt_id)
}

/// Whether `path` is where something is mounted (`STATX_ATTR_MOUNT_ROOT`, Linux 5.8). Not for the
/// child.
pub fn is_mount_root(path: &CStr) -> Result<bool, Errno> {
    let mut stat = MaybeUninit::<libc::statx>::uninit();
    // SAFETY: `path` ends in NUL, and `stat` has room for one.
    Errno::result(unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, 0, stat.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it has filled the whole of it.
    let attributes = unsafe { stat.assume_init() }.stx_attributes;
    Ok(attributes & libc::STATX_ATTR_MOUNT_ROOT.cast_unsigned() as u64 != 0)
}

/// Writes all of `bytes` in one call, as the files of proc and cgroup want it.
pub fn write_once(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: `bytes` is readable for its whole length.
    let written = checked(unsafe {
        libc::syscall(libc::SYS_write, fd.as_raw_fd(), bytes.as_ptr(), bytes.len())
    })?;
    if written == bytes.len() {
        Ok(())
    } else {
        Err(Errno::EIO)
    }
}

/// Makes `fd` the working directory.
pub fn enter(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes only a number.
    done(unsafe { libc::syscall(libc::SYS_fchdir, fd.as_raw_fd()) })
}

pub fn change_dir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: `path` ends in NUL and outlives the call.
    done(unsafe { libc::syscall(libc::SYS_chdir, path.as_ptr()) })
}

/// Makes the working directory the root (`chroot(".")`), for roots that cannot be pivoted to.
pub fn chroot_here() -> Result<(), Errno> {
    // SAFETY: the path is static.
    done(unsafe { libc::syscall(libc::SYS_chroot, c".".as_ptr()) })
}

/// The working directory as the kernel names it; it does not start with `/` when it lies outside
/// the root (getcwd(2), "(unreachable)").
pub fn working_dir(path: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `path` is writable for its whole length.
    checked(unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) })
}
