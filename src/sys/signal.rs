//! Signals, and the processes they go to.

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{null, null_mut};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::done;

/// The largest signal (signal(7)).
pub const LAST: i32 = 64;

/// A set of signals, as the kernel counts them: signal n is bit n - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(pub u64);

impl Mask {
    pub const ALL: Self = Self(u64::MAX);
    pub const NONE: Self = Self(0);
}

/// Blocks exactly the signals in `mask`; the mask before. May run in the child.
pub fn set_mask(mask: Mask) -> Result<Mask, Errno> {
    let mut old = 0u64;
    // SAFETY: both sets are eight bytes long, which is passed.
    done(unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask.0,
            &raw mut old,
            8,
        )
    })?;
    Ok(Mask(old))
}

/// The default action for every signal again. May run in the child.
pub fn set_all_default() {
    // The kernel's sigaction is three or four words; of zeros it is SIG_DFL without flags. The call
    // itself, since the C library does not let go of signals 32 to 34, which it ignores at times.
    let action = [0u64; 4];
    for signal in 1..=LAST {
        // SAFETY: the kernel reads its sigaction from an array that is no shorter and outlives the
        // call, with a set of eight bytes; the old one is not asked for. EINVAL for SIGKILL and
        // SIGSTOP, which have no other action.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                null_mut::<u64>(),
                8,
            )
        };
    }
}

/// A descriptor from which blocked signals of `mask` are read (`signalfd(2)`), without waiting.
pub fn descriptor(mask: Mask) -> Result<OwnedFd, Errno> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is eight bytes long, which is passed.
    let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const mask.0, 8, flags) };
    let fd = i32::try_from(super::checked(fd)?).map_err(|_| Errno::EMFILE)?;
    // SAFETY: the call succeeded: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next signal that waits in `descriptor`; `None` where there is none.
pub fn next(descriptor: BorrowedFd<'_>) -> Result<Option<i32>, Errno> {
    let mut record = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    // SAFETY: there is room for one record.
    let count = unsafe {
        libc::read(
            descriptor.as_raw_fd(),
            record.as_mut_ptr().cast(),
            size_of::<libc::signalfd_siginfo>(),
        )
    };
    match Errno::result(count) {
        Err(Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno),
        // SAFETY: signalfd gives whole records.
        Ok(_) => Ok(Some(
            unsafe { record.assume_init() }.ssi_signo.cast_signed(),
        )),
    }
}

/// A descriptor of the process `pid`; `ESRCH` when there is none.
pub fn open_process(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: takes only numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    // Older kernels (seen on 6.1) say EINVAL of a process that is reaped in this moment, as they do
    // of a thread that is none by itself: its number is no process's any more.
    let fd = super::checked(fd).map_err(|errno| match errno {
        Errno::EINVAL => Errno::ESRCH,
        other => other,
    })?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EMFILE)?;
    // SAFETY: the call succeeded: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a program that has made no other arrangement is ended by signal `number` (signal(7)).
pub fn ends(number: i32) -> bool {
    !matches!(
        number,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
    )
}

/// Sends `signal` (0 only asks) to the process behind `process`, which cannot be another by now.
pub fn send(process: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: no siginfo is passed.
    done(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            null::<u8>(),
            0,
        )
    })
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Waits for the end of a child of ours and takes its status. `None`: `patient` was false and it
/// still runs. `ECHILD`: not a child, or already reaped.
pub fn wait(process: BorrowedFd<'_>, patient: bool) -> Result<Option<Ended>, Errno> {
    let mut record = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | if patient { 0 } else { libc::WNOHANG };
    let id = process.as_raw_fd().cast_unsigned();
    loop {
        // SAFETY: there is room for one record.
        let result =
            Errno::result(unsafe { libc::waitid(libc::P_PIDFD, id, record.as_mut_ptr(), flags) });
        match result {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => break,
        }
    }
    // SAFETY: it was zero, and waitid has filled it where a child had ended.
    let (record, status) = unsafe {
        let record = record.assume_init();
        (record, record.si_status())
    };
    Ok(match (record.si_signo, record.si_code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(Ended::Code(status)),
        _ => Some(Ended::Signal(status)),
    })
}

/// Reaps every child that has ended, but not `keep`: as a subreaper we get those whose own parents
/// have left them.
pub fn reap_orphans(keep: Pid) -> Result<(), Errno> {
    loop {
        let mut record = MaybeUninit::<libc::siginfo_t>::zeroed();
        let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: there is room for one record, which was zero before.
        let pid = unsafe {
            match Errno::result(libc::waitid(libc::P_ALL, 0, record.as_mut_ptr(), look)) {
                Err(Errno::ECHILD) => return Ok(()),
                result => result?,
            };
            record.assume_init().si_pid()
        };
        if pid == 0 || pid == keep.as_raw() {
            return Ok(());
        }
        // SAFETY: its status is not asked for.
        Errno::result(unsafe { libc::waitpid(pid, null_mut(), libc::WNOHANG) })?;
    }
}

/// `struct pidfd_info` of linux/pidfd.h in its first form.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    group: u64,
    ids: [u32; 11],
    exit: i32,
}

/// How the process behind `process` ended, if the kernel still tells (`PIDFD_GET_INFO`, Linux 6.15):
/// from when its parent has reaped it. It need not be a child of ours.
pub fn exit_of(process: BorrowedFd<'_>) -> Option<Ended> {
    const EXIT: u64 = 1 << 3;
    let mut info = Info {
        mask: EXIT,
        ..Info::default()
    };
    let request = nix::request_code_readwrite!(0xff, 11, size_of::<Info>());
    // SAFETY: the request's number says how long `info` is, and the kernel fills in no more.
    Errno::result(unsafe { libc::ioctl(process.as_raw_fd(), request, &raw mut info) }).ok()?;
    if info.mask & EXIT == 0 {
        return None;
    }
    // In the form of wait(2).
    Some(match info.exit & 0x7f {
        0 => Ended::Code(info.exit >> 8 & 0xff),
        signal => Ended::Signal(signal),
    })
}
