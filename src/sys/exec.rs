//! Executing a program. All but [`Words::new`] may run in the child.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::done;

/// Arguments or environment as `execve(2)` takes them, ready before the clone.
#[derive(Debug)]
pub struct Words {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Words {
    pub fn new(strings: Vec<CString>) -> Self {
        // A CString's bytes are on the heap and stay there when the vector of CStrings moves.
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Self { strings, pointers }
    }

    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// Executes `path`; comes back only with the reason why not.
pub fn execute(path: &CStr, args: &Words, env: &Words) -> Errno {
    // SAFETY: both lists end in null, and hold pointers to strings that end in NUL and live as long.
    unsafe {
        libc::syscall(
            libc::SYS_execve,
            path.as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
        )
    };
    Errno::last()
}

/// Executes the file behind `file` (`execveat(2)` with `AT_EMPTY_PATH`).
pub fn execute_file(file: BorrowedFd<'_>, args: &Words, env: &Words) -> Errno {
    // SAFETY: as in `execute`; the path is a static empty string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::last()
}

/// Whether this process, as the user it is now, may execute `path` (`faccessat2(2)`, Linux 5.8).
pub fn may_execute(path: &CStr) -> Result<(), Errno> {
    // SAFETY: `path` ends in NUL and outlives the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::X_OK,
            libc::AT_EACCESS,
        )
    })
}

/// Closes every descriptor from `first` on but those in `kept`, which it sorts and which are closed at
/// exec (`close_range(2)`, the flag Linux 5.11). May run in the child, which never drops what it owns.
///
/// execve resolves the program and its interpreter before it closes anything: a directory that is to be
/// closed at exec leads out of the container by /proc/self/fd (CVE-2024-21626).
pub fn close_all_but(first: u32, kept: &mut [u32]) -> Result<(), Errno> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)?;
    kept.sort_unstable();
    let mut from = first;
    for one in kept.iter().filter(|number| **number >= first) {
        if from < *one {
            close_range(from, *one - 1, 0)?;
        }
        from = *one + 1;
    }
    close_range(from, u32::MAX, 0)
}

/// Has every descriptor from `first` on closed at exec (Linux 5.11): what comes of a caller without it.
pub fn close_at_exec_from(first: u32) -> Result<(), Errno> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, last: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: takes only numbers; that nobody uses what it closes is the caller's word.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) })
}

/// Makes `to` another name of `from`, open over exec (`dup3(2)`); `EINVAL` where they are the same.
pub fn duplicate(from: BorrowedFd<'_>, to: i32) -> Result<(), Errno> {
    // SAFETY: takes only numbers; the caller owns the number `to`.
    done(unsafe { libc::syscall(libc::SYS_dup3, from.as_raw_fd(), to, 0) })
}

/// A file in memory without a name in any directory (`memfd_create(2)`).
pub fn memory_file(name: &CStr) -> Result<OwnedFd, Errno> {
    // A host may allow no others (sysctl vm.memfd_noexec, Linux 6.3, which brought the flag).
    match create_memory_file(name, libc::MFD_CLOEXEC | libc::MFD_NOEXEC_SEAL) {
        Err(Errno::EINVAL) => create_memory_file(name, libc::MFD_CLOEXEC),
        made => made,
    }
}

/// The same, to be sealed and executed. Kernels before 6.3 do not know `MFD_EXEC` and refuse it;
/// there every such file may be executed.
pub fn sealable_file(name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    match create_memory_file(name, flags | libc::MFD_EXEC) {
        Err(Errno::EINVAL) => create_memory_file(name, flags),
        made => made,
    }
}

fn create_memory_file(name: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: `name` ends in NUL and outlives the call.
    let fd = Errno::result(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY: the call succeeded: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
