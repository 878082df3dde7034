//! Sockets between the runtime and the process it makes. What the child uses allocates nothing.

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::checked;

fn owned(fd: libc::c_int) -> Result<OwnedFd, Errno> {
    Errno::result(fd)?;
    // SAFETY: the call that returned it succeeded, and made it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Two connected ends; each sees the end of the other.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for two descriptors.
    Errno::result(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    Ok((owned(ends[0])?, owned(ends[1])?))
}

/// Two connected ends between which messages stay whole. The second is open over exec.
pub fn packets() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for two descriptors.
    Errno::result(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    let (ours, theirs) = (owned(ends[0])?, owned(ends[1])?);
    // SAFETY: takes only numbers.
    Errno::result(unsafe { libc::fcntl(theirs.as_raw_fd(), libc::F_SETFD, 0) })?;
    Ok((ours, theirs))
}

/// A pipe: its reading end, which does not wait, and its writing end. May run in the child.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two descriptors.
    checked(unsafe { libc::syscall(libc::SYS_pipe2, ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let (read, write) = (owned(ends[0])?, owned(ends[1])?);
    // SAFETY: takes only numbers.
    checked(unsafe {
        libc::syscall(
            libc::SYS_fcntl,
            read.as_raw_fd(),
            libc::F_SETFL,
            libc::O_NONBLOCK,
        )
    })?;
    Ok((read, write))
}

/// Sends one byte; a peer that is gone is `EPIPE`, never a signal. May run in the child.
pub fn send(socket: BorrowedFd<'_>, byte: u8) -> Result<(), Errno> {
    // SAFETY: one byte is readable; no address is passed.
    checked(unsafe {
        libc::syscall(
            libc::SYS_sendto,
            socket.as_raw_fd(),
            &raw const byte,
            1,
            libc::MSG_NOSIGNAL,
            std::ptr::null::<u8>(),
            0,
        )
    })
    .map(drop)
}

/// Waits for one byte; `None` when the peer is gone. May run in the child.
pub fn receive(socket: BorrowedFd<'_>) -> Result<Option<u8>, Errno> {
    let mut byte = 0u8;
    loop {
        // SAFETY: one byte is writable.
        let count =
            checked(unsafe { libc::syscall(libc::SYS_read, socket.as_raw_fd(), &raw mut byte, 1) });
        match count {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
            Ok(_) => return Ok(Some(byte)),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The address of `name` in the directory `dir`. It goes by the descriptor, since a socket's
/// address holds 108 bytes and a state directory's path may be longer (unix(7)).
fn address(dir: BorrowedFd<'_>, name: &str) -> Result<libc::sockaddr_un, Errno> {
    // SAFETY: sockaddr_un is plain numbers, for which zero is valid.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = FAMILY;
    let path = format!("/proc/self/fd/{}/{name}", dir.as_raw_fd());
    if path.len() >= address.sun_path.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from.cast_signed();
    }
    Ok(address)
}

fn socket() -> Result<OwnedFd, Errno> {
    // SAFETY: takes only numbers.
    owned(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })
}

#[allow(clippy::cast_possible_truncation, reason = "AF_UNIX is 1")]
const FAMILY: libc::sa_family_t = libc::AF_UNIX as libc::sa_family_t;

#[allow(clippy::cast_possible_truncation, reason = "110 bytes")]
const ADDRESS_LENGTH: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// Makes the socket `name` in `dir` and listens on it.
pub fn listen(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let (socket, address) = (socket()?, address(dir, name)?);
    // SAFETY: `address` is whole and its size is passed.
    Errno::result(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            ADDRESS_LENGTH,
        )
    })?;
    // SAFETY: takes only numbers.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), 8) })?;
    Ok(socket)
}

/// Connects to the socket `name` in `dir`. `ECONNREFUSED`: nobody listens any more.
pub fn connect(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let (socket, address) = (socket()?, address(dir, name)?);
    // SAFETY: `address` is whole and its size is passed.
    Errno::result(unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            ADDRESS_LENGTH,
        )
    })?;
    Ok(socket)
}

/// Waits for somebody to connect. May run in the child.
pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    loop {
        // SAFETY: the peer's address is not asked for.
        let fd = checked(unsafe {
            libc::syscall(
                libc::SYS_accept4,
                listener.as_raw_fd(),
                std::ptr::null::<u8>(),
                std::ptr::null::<u8>(),
                libc::SOCK_CLOEXEC,
            )
        });
        match fd {
            Err(Errno::EINTR | Errno::ECONNABORTED) => {}
            Err(errno) => return Err(errno),
            Ok(fd) => return owned(i32::try_from(fd).map_err(|_| Errno::EMFILE)?),
        }
    }
}

/// Room for one descriptor in a control message, aligned as cmsg(3) wants it.
#[repr(C, align(8))]
struct Control([u8; 24]);

/// A message of bytes and a descriptor. Its parts must outlive what it is used for.
fn message(bytes: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: msghdr is numbers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    message
}

/// Sends `fd` (`SCM_RIGHTS`) with `bytes`: one at least, since a stream carries no descriptor without
/// (unix(7)). How many bytes were taken. May run in the child.
pub fn send_fd(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    let mut control = Control([0; 24]);
    // sendmsg(2) reads only, its type is recvmsg's.
    let mut iov = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let message = message(&mut iov, &mut control);
    // SAFETY: the control buffer holds one header and one descriptor (CMSG_SPACE(4) is 24), and
    // is aligned for the header; all parts live until the end of this function.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header)
            .cast::<i32>()
            .write_unaligned(fd.as_raw_fd());
        checked(libc::syscall(
            libc::SYS_sendmsg,
            socket.as_raw_fd(),
            &raw const message,
            libc::MSG_NOSIGNAL,
        ))
    }
}

/// Waits for a descriptor and the byte it came with; `None` when the peer ended without sending one.
pub fn receive_fd(socket: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    Ok(receive_with_fd(socket)?.and_then(|(_, fd)| fd))
}

/// Waits for one byte and the descriptor that came with it, if one did; `None` when the peer is gone.
pub fn receive_with_fd(socket: BorrowedFd<'_>) -> Result<Option<(u8, Option<OwnedFd>)>, Errno> {
    let mut byte = [0];
    let received = receive_packet(socket, &mut byte)?;
    Ok(received.map(|(_, fd)| (byte[0], fd)))
}

/// Waits for bytes, of packets a whole one, and the descriptor that may come with them; how many there
/// were. `None` when the peer has ended. What is longer than `bytes` is `EMSGSIZE`.
pub fn receive_packet(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
) -> Result<Option<(usize, Option<OwnedFd>)>, Errno> {
    let mut control = Control([0; 24]);
    let mut iov = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut message = message(&mut iov, &mut control);
    let length = loop {
        // SAFETY: all parts of the message are writable and live until the end of this function.
        let count = Errno::result(unsafe {
            libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC)
        });
        match count {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) | Ok(0) => return Ok(None),
            Err(errno) => return Err(errno),
            Ok(count) => break count.unsigned_abs(),
        }
    };
    // SAFETY: the kernel has filled in `message`; a header of SCM_RIGHTS carries a descriptor that
    // is ours alone.
    let fd = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let is_there = !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS;
        is_there.then(|| {
            let fd = libc::CMSG_DATA(header).cast::<i32>().read_unaligned();
            OwnedFd::from_raw_fd(fd)
        })
    };
    if message.msg_flags & libc::MSG_TRUNC != 0 {
        return Err(Errno::EMSGSIZE);
    }
    Ok(Some((length, fd)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_byte_and_the_end_arrive() {
        let (a, b) = pair().unwrap();
        send(a.as_fd(), 7).unwrap();
        assert_eq!(receive(b.as_fd()), Ok(Some(7)));
        drop(a);
        assert_eq!(receive(b.as_fd()), Ok(None));
        assert_eq!(send(b.as_fd(), 1), Err(Errno::EPIPE));
    }

    #[test]
    fn a_descriptor_arrives() {
        let (a, b) = pair().unwrap();
        let (c, d) = pair().unwrap();
        send_fd(a.as_fd(), c.as_fd(), b"by name").unwrap();
        let c2 = receive_fd(b.as_fd()).unwrap().unwrap();
        assert_eq!(receive(b.as_fd()), Ok(Some(b'y')), "the rest follows");
        drop(c);
        send(c2.as_fd(), 9).unwrap();
        assert_eq!(receive(d.as_fd()), Ok(Some(9)));
    }
}
