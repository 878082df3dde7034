//! The interface that every network namespace is born with.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::{checked, done};

/// Sets it up, which gives it its addresses too. Wants CAP_NET_ADMIN. May run in the child.
pub fn set_up() -> Result<(), Errno> {
    // Any socket will do (netdevice(7)), and this kind is there where the kernel has no IP.
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes only numbers, and the descriptor that it returns is new and ours.
    let socket = unsafe {
        let number = checked(libc::syscall(libc::SYS_socket, libc::AF_UNIX, kind, 0))?;
        OwnedFd::from_raw_fd(i32::try_from(number).map_err(|_| Errno::EBADF)?)
    };
    // SAFETY: of integers and bytes only, which may all be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = UP;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which outlives the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_ioctl,
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )
    })
}

/// IFF_UP, as struct ifreq has it.
const UP: libc::c_short = 1;
