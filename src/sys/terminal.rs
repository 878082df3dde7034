//! Terminals: what ioctl_tty(2) and pty(7) have.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::{checked, done};

/// In characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

fn window(size: Size) -> libc::winsize {
    libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Unlocks the pseudo terminal of `master` and opens its other end, which needs no path and so cannot
/// be another file (`TIOCGPTPEER`, Linux 4.13). May run in the child.
pub fn open_peer(master: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let unlocked: libc::c_int = 0;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCSPTLCK reads one int, which outlives the call; TIOCGPTPEER takes a number, and the
    // descriptor that it returns is new and ours.
    unsafe {
        done(libc::syscall(
            libc::SYS_ioctl,
            master.as_raw_fd(),
            libc::TIOCSPTLCK,
            &raw const unlocked,
        ))?;
        let peer = checked(libc::syscall(
            libc::SYS_ioctl,
            master.as_raw_fd(),
            libc::TIOCGPTPEER,
            flags,
        ))?;
        let peer = i32::try_from(peer).map_err(|_| Errno::EBADF)?;
        Ok(OwnedFd::from_raw_fd(peer))
    }
}

/// Makes `terminal` the controlling one of this session, whose leader calls. May run in the child.
pub fn take_control(terminal: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::syscall(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TIOCSCTTY, 0) })
}

/// May run in the child.
pub fn set_size(terminal: BorrowedFd<'_>, size: Size) -> Result<(), Errno> {
    let window = window(size);
    // SAFETY: TIOCSWINSZ reads one winsize, which outlives the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_ioctl,
            terminal.as_raw_fd(),
            libc::TIOCSWINSZ,
            &raw const window,
        )
    })
}

pub fn size(terminal: BorrowedFd<'_>) -> Result<Size, Errno> {
    let mut window = window(Size::default());
    // SAFETY: TIOCGWINSZ writes one winsize, for which there is room.
    done(unsafe {
        libc::syscall(
            libc::SYS_ioctl,
            terminal.as_raw_fd(),
            libc::TIOCGWINSZ,
            &raw mut window,
        )
    })?;
    Ok(Size {
        rows: window.ws_row,
        columns: window.ws_col,
    })
}

/// How a terminal treats what goes through it.
#[derive(Clone, Copy)]
pub struct Modes(libc::termios);

impl std::fmt::Debug for Modes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modes").finish_non_exhaustive()
    }
}

/// Lets every byte through `terminal` as it is (termios(3), cfmakeraw), and returns what was before.
pub fn make_raw(terminal: BorrowedFd<'_>) -> Result<Modes, Errno> {
    let mut modes = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: there is room for one termios, which tcgetattr fills where it succeeds.
    let before = unsafe {
        Errno::result(libc::tcgetattr(terminal.as_raw_fd(), modes.as_mut_ptr()))?;
        modes.assume_init()
    };
    let mut raw = before;
    // SAFETY: changes the termios that it is given.
    unsafe { libc::cfmakeraw(&raw mut raw) };
    set_modes(terminal, &Modes(raw))?;
    Ok(Modes(before))
}

pub fn set_modes(terminal: BorrowedFd<'_>, modes: &Modes) -> Result<(), Errno> {
    // SAFETY: reads one termios, which outlives the call.
    let set = unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &raw const modes.0) };
    Errno::result(set).map(drop)
}

pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    size(fd).is_ok()
}
