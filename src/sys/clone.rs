//! New processes and the namespaces they live in.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::{checked, done};

// libc's constants of these names do not fit their type, a c_int.
const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const INTO_CGROUP: u64 = 0x2_0000_0000;
const PARENT: u64 = 0x8000;

/// What a new process gets (`clone3(2)`, Linux 5.3; `CLONE_INTO_CGROUP` 5.7).
#[derive(Debug)]
pub struct Clone<'a> {
    /// `CLONE_NEW*`
    pub namespaces: u64,
    /// The cgroup v2 directory to be born in.
    pub group: Option<BorrowedFd<'a>>,
}

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Forked {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// Clones this process, copying its memory. The child has the parent's signal mask, and default
/// actions for every signal the parent handles.
///
/// The caller must be the only thread of its process: the child may use what [`super`] allows.
pub fn clone(what: &Clone<'_>) -> Result<Forked, Errno> {
    let mut pidfd: RawFd = -1;
    let mut flags = what.namespaces | libc::CLONE_PIDFD as u64 | CLEAR_SIGHAND;
    if what.group.is_some() {
        flags |= INTO_CGROUP;
    }
    // SAFETY: clone_args is plain numbers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = what
        .group
        .map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned()));
    // SAFETY: no CLONE_VM: the child gets a copy of the memory and goes on on its own stack; `args`
    // is whole, its size is passed, and `pidfd` outlives the call.
    let pid = checked(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    let pid = Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?);
    // SAFETY: CLONE_PIDFD was asked for and the call succeeded: the descriptor is new and ours.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid, pidfd })
}

/// Clones this process as one more child of its own parent's (`CLONE_PARENT`), which will have to wait
/// for it, and returns the number that this process knows it by; `None` in the new one. May run in the
/// child.
pub fn clone_sibling(namespaces: u64) -> Result<Option<Pid>, Errno> {
    // SAFETY: clone_args is plain numbers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    // What the parent hears of its end is what it hears of ours: the kernel takes no signal here.
    args.flags = namespaces | CLEAR_SIGHAND | PARENT;
    // SAFETY: as in `clone`.
    let pid = checked(unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    })?;
    let pid = i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?;
    Ok((pid != 0).then(|| Pid::from_raw(pid)))
}

/// Moves this process into namespaces of its own. May run in the child.
pub fn unshare(namespaces: u64) -> Result<(), Errno> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::syscall(libc::SYS_unshare, namespaces) })
}

/// Joins a namespace by its descriptor, `kind` being its `CLONE_NEW*` bit; or some of a process by its
/// pidfd and the bits of their kinds, all or none (setns(2), Linux 5.8). May run in the child.
pub fn join(namespace: BorrowedFd<'_>, kind: u64) -> Result<(), Errno> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::syscall(libc::SYS_setns, namespace.as_raw_fd(), kind) })
}

/// Which kind of namespace `fd` refers to, as its `CLONE_NEW*` bit (ioctl_ns(2)); `ENOTTY` where
/// it is no namespace.
pub fn kind_of(fd: BorrowedFd<'_>) -> Result<u64, Errno> {
    // SAFETY: NS_GET_NSTYPE takes no argument.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), libc::NS_GET_NSTYPE) };
    Errno::result(kind).map(|k| u64::from(k.cast_unsigned()))
}

/// Ends this process at once: no destructor, no exit handler. May run in the child.
pub fn end(code: i32) -> ! {
    // SAFETY: exit_group touches no memory of ours. It comes back only where a seccomp filter forbids
    // it; then abort ends the process with a forbidden instruction, while musl's _exit would spin.
    unsafe {
        libc::syscall(libc::SYS_exit_group, code);
        libc::abort()
    }
}
