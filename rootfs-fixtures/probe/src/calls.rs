//! System calls by name and by the ways a seccomp filter must see: 64-bit, 32-bit, x32.

use std::io;

/// What the raw call returned, or its errno.
pub fn result(returned: i64) -> io::Result<i64> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

/// The number of a system call given by name or as a number (x32: add 0x40000000).
pub fn number(name: &str) -> Option<i64> {
    let known = NAMES.iter().find(|(known, _)| *known == name);
    known
        .map(|(_, number)| *number)
        .or_else(|| name.parse().ok())
}

pub fn call(number: i64, args: &[i64]) -> io::Result<i64> {
    let arg = |n: usize| args.get(n).copied().unwrap_or(0);
    // SAFETY: the caller names calls that do not write to this program's memory; pointers it gives
    // as numbers are checked by the kernel and answered with EFAULT.
    result(unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) })
}

/// The call through the 32-bit entry, whose numbers are those of i386 (getpid 20, mkdir 39).
#[cfg(target_arch = "x86_64")]
pub fn call32(number: i64, args: &[i64]) -> io::Result<i64> {
    let arg = |n: usize| args.get(n).copied().unwrap_or(0);
    let returned: i64;
    // SAFETY: int 0x80 clobbers rax and r8 to r11 only; rbx is LLVM's own and is put back. The
    // arguments are numbers cut to 32 bits by the kernel, so they name no memory of this program.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) arg(0) => _,
            inlateout("rax") number => returned,
            in("rcx") arg(1), in("rdx") arg(2), in("rsi") arg(3), in("rdi") arg(4),
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // The kernel returns a 32-bit value.
    let value = i64::from(returned as i32);
    if (-4095..0).contains(&value) {
        return Err(io::Error::from_raw_os_error(-value as i32));
    }
    Ok(value)
}

#[cfg(not(target_arch = "x86_64"))]
pub fn call32(_: i64, _: &[i64]) -> io::Result<i64> {
    Err(io::Error::from_raw_os_error(libc::ENOSYS))
}

macro_rules! names {
    ($($name:ident = $number:ident),* $(,)?) => {
        const NAMES: &[(&str, i64)] = &[$((stringify!($name), libc::$number)),*];
    };
}

names! {
    acct = SYS_acct, add_key = SYS_add_key, bpf = SYS_bpf, chdir = SYS_chdir,
    clock_settime = SYS_clock_settime, delete_module = SYS_delete_module,
    fchmodat = SYS_fchmodat, fsopen = SYS_fsopen, getcwd = SYS_getcwd, getegid = SYS_getegid,
    geteuid = SYS_geteuid, getgid = SYS_getgid, getpid = SYS_getpid, getppid = SYS_getppid,
    getpriority = SYS_getpriority, getsid = SYS_getsid, gettid = SYS_gettid, getuid = SYS_getuid,
    init_module = SYS_init_module, io_uring_setup = SYS_io_uring_setup,
    kexec_load = SYS_kexec_load, keyctl = SYS_keyctl, kill = SYS_kill, mkdirat = SYS_mkdirat,
    mount = SYS_mount, mount_setattr = SYS_mount_setattr, move_mount = SYS_move_mount,
    open_by_handle_at = SYS_open_by_handle_at, open_tree = SYS_open_tree,
    perf_event_open = SYS_perf_event_open, personality = SYS_personality,
    pivot_root = SYS_pivot_root, prctl = SYS_prctl, process_vm_readv = SYS_process_vm_readv,
    ptrace = SYS_ptrace, reboot = SYS_reboot, request_key = SYS_request_key,
    sched_yield = SYS_sched_yield, setdomainname = SYS_setdomainname,
    sethostname = SYS_sethostname, setns = SYS_setns, setpriority = SYS_setpriority,
    setuid = SYS_setuid, socket = SYS_socket, swapon = SYS_swapon, sync = SYS_sync,
    syslog = SYS_syslog, umount2 = SYS_umount2, unshare = SYS_unshare,
    userfaultfd = SYS_userfaultfd,
}
