//! Network interfaces: the few requests of rtnetlink(7) that move one to another namespace. A socket is
//! of the network namespace it was opened in.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::path;

/// Where an interface is in its namespace (netdevice(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index(u32);

/// The interface that has this name in the network namespace of the caller.
pub fn index(name: &CStr) -> Result<Index, Errno> {
    // SAFETY: `name` ends in NUL and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(Errno::last()),
        index => Ok(Index(index)),
    }
}

/// An address of an interface, with what the kernel says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix: u8,
    /// `RT_SCOPE_*`
    pub scope: u8,
    /// `IFA_F_*`
    pub flags: u32,
    /// IFA_LOCAL, IFA_ADDRESS and IFA_BROADCAST, where they are there.
    parts: Vec<(u16, Vec<u8>)>,
}

const HEADER: usize = 16; // struct nlmsghdr: length, type, flags, sequence, port
const ACKNOWLEDGE: i32 = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
/// What a dump is answered in at a time, at most (netlink(7) counsels 8 KiB).
const ANSWER: usize = 32 << 10;

/// A request that grows. Lengths and attributes are padded to four bytes.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: i32, head: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let flags = u16::try_from(flags).expect("netlink has 16 of them");
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(head);
        Self(bytes)
    }

    /// struct rtattr: length and kind, both of two bytes, and the value.
    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).expect("names and addresses are short");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("some hundred bytes");
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// struct ifinfomsg: family, padding, type, index, flags, and which flags to change.
fn link(index: Index, flags: u32, change: u32) -> [u8; 16] {
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&index.0.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..].copy_from_slice(&change.to_ne_bytes());
    head
}

#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    pub fn open() -> Result<Self, Errno> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: takes only numbers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        let fd = Errno::result(fd)?;
        // SAFETY: the call succeeded: the descriptor is new and ours.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Moves an interface to another network namespace and renames it there. `EEXIST`: the name is taken,
    /// and it may have moved all the same.
    pub fn send_away(
        &self,
        index: Index,
        namespace: BorrowedFd<'_>,
        name: &CStr,
    ) -> Result<(), Errno> {
        let message = Message::new(libc::RTM_NEWLINK, ACKNOWLEDGE, &link(index, 0, 0))
            .attribute(
                libc::IFLA_NET_NS_FD,
                &namespace.as_raw_fd().cast_unsigned().to_ne_bytes(),
            )
            .attribute(libc::IFLA_IFNAME, name.to_bytes_with_nul());
        self.order(message)
    }

    pub fn is_up(&self, index: Index) -> Result<bool, Errno> {
        let head = link(index, 0, 0);
        self.send(Message::new(libc::RTM_GETLINK, libc::NLM_F_REQUEST, &head))?;
        let answer = self.receive()?;
        for (kind, body) in messages(&answer) {
            match i32::from(kind) {
                libc::NLMSG_ERROR => acknowledged(body)?,
                _ if kind == libc::RTM_NEWLINK => {
                    let flags = body.get(8..).and_then(<[u8]>::first_chunk);
                    let flags = flags.map_or(0, |flags| u32::from_ne_bytes(*flags));
                    return Ok(flags & libc::IFF_UP.cast_unsigned() != 0);
                }
                _ => {}
            }
        }
        Err(Errno::EPROTO)
    }

    pub fn set_up(&self, index: Index) -> Result<(), Errno> {
        let up = libc::IFF_UP.cast_unsigned();
        let head = link(index, up, up);
        self.order(Message::new(libc::RTM_NEWLINK, ACKNOWLEDGE, &head))
    }

    /// One that is there already is fine.
    pub fn add_address(&self, index: Index, address: &Address) -> Result<(), Errno> {
        let [i0, i1, i2, i3] = index.0.to_ne_bytes();
        let Address { family, prefix, .. } = *address;
        let head = [family, prefix, 0, address.scope, i0, i1, i2, i3];
        let flags = ACKNOWLEDGE | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let message = Message::new(libc::RTM_NEWADDR, flags, &head)
            .attribute(libc::IFA_FLAGS, &address.flags.to_ne_bytes());
        let message = address
            .parts
            .iter()
            .fold(message, |message, (kind, value)| {
                message.attribute(*kind, value)
            });
        self.order(message)
    }

    pub fn addresses(&self, index: Index) -> Result<Vec<Address>, Errno> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        self.send(Message::new(libc::RTM_GETADDR, flags, &[0; 8]))?;
        let mut found = Vec::new();
        loop {
            let answer = self.receive()?;
            for (kind, body) in messages(&answer) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(found),
                    libc::NLMSG_ERROR => acknowledged(body)?,
                    _ if kind == libc::RTM_NEWADDR => {
                        found.extend(address(body).filter(|(of, _)| *of == index).map(|(_, a)| a));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Sends a request and waits for the kernel's word on it.
    fn order(&self, message: Message) -> Result<(), Errno> {
        self.send(message)?;
        let answer = self.receive()?;
        let error = messages(&answer).find(|(kind, _)| i32::from(*kind) == libc::NLMSG_ERROR);
        acknowledged(error.ok_or(Errno::EPROTO)?.1)
    }

    fn send(&self, message: Message) -> Result<(), Errno> {
        path::write_once(self.0.as_fd(), &message.finish())
    }

    fn receive(&self) -> Result<Vec<u8>, Errno> {
        let mut answer = vec![0; ANSWER];
        let length = path::read(self.0.as_fd(), &mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }
}

/// struct nlmsgerr begins with an errno below zero, or zero.
fn acknowledged(body: &[u8]) -> Result<(), Errno> {
    let code = body
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    match code {
        0 => Ok(()),
        code => Err(Errno::from_raw(-code)),
    }
}

/// Kind and body of each message of an answer.
fn messages(mut answer: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*answer.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes([*answer.get(4)?, *answer.get(5)?]);
        let body = answer.get(HEADER..length)?;
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// struct ifaddrmsg: family, prefix, flags, scope, index; and attributes.
fn address(body: &[u8]) -> Option<(Index, Address)> {
    let [family, prefix, flags, scope, index @ ..] = *body.first_chunk::<8>()?;
    let mut address = Address {
        family,
        prefix,
        scope,
        flags: u32::from(flags),
        parts: Vec::new(),
    };
    let mut rest = body.get(8..)?;
    while let Some(&[l0, l1, k0, k1]) = rest.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let kind = u16::from_ne_bytes([k0, k1]);
        let value = rest.get(4..length)?;
        match kind {
            libc::IFA_LOCAL | libc::IFA_ADDRESS | libc::IFA_BROADCAST => {
                address.parts.push((kind, value.to_vec()));
            }
            // All of them, where those in the head are the first eight.
            libc::IFA_FLAGS => address.flags = u32::from_ne_bytes(*value.first_chunk()?),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((Index(u32::from_ne_bytes(index)), address))
}
