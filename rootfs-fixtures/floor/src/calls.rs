//! One call a function. A failure comes back as the kernel's number; what it means is said by who
//! called.

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong};
use std::io::{Error, Result};
use std::mem::{size_of, zeroed};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};

fn checked(value: c_long) -> Result<c_long> {
    if value < 0 {
        return Err(Error::last_os_error());
    }
    Ok(value)
}

fn done(value: c_int) -> Result<()> {
    checked(value.into()).map(drop)
}

const INTO_CGROUP: u64 = 0x2_0000_0000;

/// A copy of this process in new `namespaces` and, where `group` is one, in that cgroup v2. The
/// child is told by `None`.
pub fn clone(namespaces: c_int, group: Option<RawFd>) -> Result<Option<libc::pid_t>> {
    // SAFETY: clone_args is plain numbers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = u64::from(namespaces.cast_unsigned());
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    if let Some(fd) = group {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::from(fd.cast_unsigned());
    }
    // SAFETY: no CLONE_VM: the child has its own copy of the memory; `args` is whole, its size is
    // passed, and this process has one thread.
    let pid = checked(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    })?;
    Ok((pid != 0).then_some(pid as libc::pid_t))
}

pub fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: c_ulong,
    options: &CStr,
) -> Result<()> {
    // SAFETY: all strings end in NUL and outlive the call.
    done(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    })
}

pub fn pivot_to_here() -> Result<()> {
    // SAFETY: both strings are static.
    checked(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

pub fn detach(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL and outlives the call.
    done(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) })
}

pub fn change_dir(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL and outlives the call.
    done(unsafe { libc::chdir(path.as_ptr()) })
}

pub fn make_dir(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL and outlives the call.
    done(unsafe { libc::mkdir(path.as_ptr(), 0o755) })
}

pub fn remove_dir(path: &CStr) -> Result<()> {
    // SAFETY: `path` ends in NUL and outlives the call.
    done(unsafe { libc::rmdir(path.as_ptr()) })
}

pub fn make_device(path: &CStr, major: u32, minor: u32) -> Result<()> {
    let device = libc::makedev(major, minor);
    // SAFETY: `path` ends in NUL and outlives the call.
    done(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, device) })
}

pub fn make_link(target: &CStr, path: &CStr) -> Result<()> {
    // SAFETY: both strings end in NUL and outlive the call.
    done(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) })
}

pub fn open_dir(path: &CStr) -> Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `path` ends in NUL and outlives the call.
    let fd = unsafe { libc::open(path.as_ptr(), flags) };
    done(fd)?;
    // SAFETY: the call succeeded: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a cgroup v2 hierarchy is mounted at `path`.
pub fn is_cgroup2(path: &CStr) -> bool {
    // SAFETY: statfs is plain numbers, for which zero is valid.
    let mut stat: libc::statfs = unsafe { zeroed() };
    // SAFETY: `path` ends in NUL, and `stat` has room for one.
    let result = unsafe { libc::statfs(path.as_ptr(), &raw mut stat) };
    result == 0 && stat.f_type == libc::CGROUP2_SUPER_MAGIC
}

pub fn set_hostname(name: &CStr) -> Result<()> {
    // SAFETY: `name` is readable for the length passed.
    done(unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) })
}

pub fn set_umask(mask: libc::mode_t) {
    // SAFETY: takes only a number and cannot fail.
    unsafe { libc::umask(mask) };
}

/// Executes `path` with no argument but its name; returns only the failure.
pub fn execute(path: &CStr) -> Error {
    let args = [path.as_ptr(), null()];
    let env = [c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".as_ptr(), null()];
    // SAFETY: both lists end in null, and all their strings in NUL.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Error::last_os_error()
}

pub fn end(code: c_int) -> ! {
    // SAFETY: does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Orphans among the descendants become this process's children, to be waited for here.
pub fn set_subreaper() -> Result<()> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })
}

/// Starts a program without copying this one's memory (glibc's `posix_spawn` is a vfork).
pub fn spawn(args: &[&CStr]) -> Result<libc::pid_t> {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    let mut list: Vec<*mut c_char> = args.iter().map(|a| a.as_ptr().cast_mut()).collect();
    list.push(null_mut());
    let mut pid = 0;
    // SAFETY: `list` ends in null and its strings in NUL; posix_spawnp writes to none of them; the
    // environment is not changed by this program.
    let code = unsafe {
        libc::posix_spawnp(
            &raw mut pid,
            list[0],
            null(),
            null(),
            list.as_ptr(),
            environ,
        )
    };
    if code != 0 {
        return Err(Error::from_raw_os_error(code));
    }
    Ok(pid)
}

/// A child that has ended, and what it took.
#[derive(Debug)]
pub struct Ended {
    pub pid: libc::pid_t,
    /// As a shell shows it: 128 and the signal for one that was killed.
    pub code: c_int,
    /// User and system time of it and of the descendants it waited for, in microseconds.
    pub cpu: u64,
    /// The most memory that one of these held, in KiB.
    pub memory: u64,
}

/// Waits for the child `pid`, or for any where that is -1. `EINTR`: the timer came first.
pub fn wait(pid: libc::pid_t) -> Result<Ended> {
    // SAFETY: rusage is plain numbers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { zeroed() };
    let mut status = 0;
    // SAFETY: `status` and `usage` have room for one each.
    let pid = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    done(pid)?;
    let micros = |t: libc::timeval| t.tv_sec.unsigned_abs() * 1_000_000 + t.tv_usec.unsigned_abs();
    Ok(Ended {
        pid,
        code: if libc::WIFSIGNALED(status) {
            128 + libc::WTERMSIG(status)
        } else {
            libc::WEXITSTATUS(status)
        },
        cpu: micros(usage.ru_utime) + micros(usage.ru_stime),
        memory: usage.ru_maxrss.unsigned_abs(),
    })
}

/// Ends a child that has not been waited for.
pub fn kill(pid: libc::pid_t) -> Result<()> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::kill(pid, libc::SIGKILL) })
}

extern "C" fn interrupt(_signal: c_int) {}

/// From `milliseconds` on, and every 100 after that, [`wait`] is interrupted; 0 takes it back. The
/// programs that are started inherit neither the timer nor what it does.
pub fn set_timer(milliseconds: u32) -> Result<()> {
    let time = |ms: u32| libc::timeval {
        tv_sec: i64::from(ms / 1000),
        tv_usec: i64::from(ms % 1000) * 1000,
    };
    let timer = libc::itimerval {
        it_value: time(milliseconds),
        // One signal could fall between two waits.
        it_interval: time(if milliseconds == 0 { 0 } else { 100 }),
    };
    // SAFETY: sigaction is plain numbers and an absent function, for which zero is valid.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = interrupt as *const () as usize;
    // SAFETY: the action is whole, without SA_RESTART, and its function does nothing at all.
    done(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, null_mut()) })?;
    // SAFETY: `timer` outlives the call; the old one is not asked for.
    done(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()) })
}

/// Whether this process has children that were not waited for.
pub fn has_children() -> Result<bool> {
    // SAFETY: siginfo is plain numbers, for which zero is valid.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` has room for one.
    match done(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) }) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(false),
        result => result.map(|()| true),
    }
}
