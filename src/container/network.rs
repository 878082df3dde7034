//! Interfaces of the host move into the container (config-linux.md, "Network devices").

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::Error;
use crate::plan::step::Kind;
use crate::spec::net_devices::NetDevice;
use crate::sys::clone;
use crate::sys::netlink::{self, Address, Index, Socket};
use crate::sys::path::{self, HERE, Resolve};

/// `IFA_F_PERMANENT`: not learnt from a router, and for ever.
const PERMANENT: u32 = 0x80;
/// `IFA_F_TENTATIVE`, `IFA_F_DADFAILED` and the like are the kernel's to say; these are asked for:
/// IFA_F_NODAD, IFA_F_NOPREFIXROUTE.
const ASKED: u32 = 0x02 | 0x200;

/// Devices on their way into a container, which can be taken back.
#[derive(Debug)]
pub(super) struct Move {
    own: OwnedFd,
    theirs: OwnedFd,
    /// What has arrived, in order.
    moved: Vec<Found>,
}

/// A device as it was here.
#[derive(Debug)]
struct Found {
    device: NetDevice,
    index: Index,
    addresses: Vec<Address>,
    is_up: bool,
}

impl Move {
    /// Into the network namespace of process `pid`.
    pub(super) fn to(pid: Pid) -> Result<Self, Error> {
        let open = |path: &str| open(path).map_err(about);
        Ok(Self {
            own: open("/proc/thread-self/ns/net")?,
            theirs: open(&format!("/proc/{pid}/ns/net"))?,
            moved: Vec::new(),
        })
    }

    /// Gives away `devices` with the addresses that they have for good, and sets them up there. What
    /// can be seen to fail does so before one has moved.
    pub(super) fn give(&mut self, devices: &[NetDevice]) -> Result<(), Error> {
        let socket = Socket::open().map_err(about)?;
        let look = |device| look_at(&socket, device).map_err(of(device));
        let found: Vec<Found> = devices.iter().map(look).collect::<Result<_, _>>()?;
        self.there(|| {
            let mut devices = devices.iter();
            devices.try_for_each(|device| check_free(device).map_err(of(device)))
        })?;

        for found in found {
            let Found { device, index, .. } = &found;
            let sent = socket.send_away(*index, self.theirs.as_fd(), &device.inside);
            sent.map_err(of(device))?;
            self.moved.push(found);
        }
        self.there(|| {
            self.moved.iter().try_for_each(|found| {
                let ready = set_up(&found.device.inside, &found.addresses, true);
                ready.map_err(of(&found.device))
            })
        })
    }

    /// Takes back what was given, as it was, but for routes and for addresses that were lent. Our hold
    /// on the namespace keeps it there when its processes have ended: many a device ends with it.
    pub(super) fn take_back(&mut self) -> Result<(), Error> {
        let moved = std::mem::take(&mut self.moved);
        let back = moved.iter().rev().map(|found| {
            self.take_one(found).map_err(|errno| Error::NetDeviceLost {
                name: found.device.name.to_string_lossy().into_owned(),
                errno,
            })
        });
        // All of them, whatever becomes of one.
        back.fold(Ok(()), Result::and)
    }

    fn take_one(&self, found: &Found) -> Result<(), Errno> {
        let device = &found.device;
        enter(&self.theirs)?;
        let sent = netlink::index(&device.inside)
            .and_then(|index| Socket::open()?.send_away(index, self.own.as_fd(), &device.name));
        enter(&self.own)?;
        sent?;
        set_up(&device.name, &found.addresses, found.is_up)
    }

    /// Does something in the container's namespace.
    fn there(&self, act: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        enter(&self.theirs).map_err(about)?;
        let done = act();
        enter(&self.own).map_err(about)?;
        done
    }
}

fn about(errno: Errno) -> Error {
    Error::NetDevices { errno }
}

fn of(device: &NetDevice) -> impl FnOnce(Errno) -> Error {
    let name = device.name.to_string_lossy().into_owned();
    move |errno| Error::NetDevice { name, errno }
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    let path = std::ffi::CString::new(path).map_err(|_| Errno::EINVAL)?;
    path::open(HERE, &path, libc::O_RDONLY, Resolve::Host)
}

fn enter(namespace: &OwnedFd) -> Result<(), Errno> {
    clone::join(namespace.as_fd(), Kind::Network.bit())
}

/// The kernel drops all addresses on the way. Kept are those of global scope that it has for good.
fn look_at(socket: &Socket, device: &NetDevice) -> Result<Found, Errno> {
    let index = netlink::index(&device.name)?;
    let mut addresses = socket.addresses(index)?;
    addresses.retain(|a| a.scope == libc::RT_SCOPE_UNIVERSE && a.flags & PERMANENT != 0);
    Ok(Found {
        device: device.clone(),
        index,
        addresses,
        is_up: socket.is_up(index)?,
    })
}

/// In the container's namespace.
fn check_free(device: &NetDevice) -> Result<(), Errno> {
    match netlink::index(&device.inside) {
        Err(Errno::ENODEV) => Ok(()),
        Ok(_) => Err(Errno::EEXIST),
        Err(errno) => Err(errno),
    }
}

/// In the namespace that the caller is in.
fn set_up(name: &CStr, addresses: &[Address], is_up: bool) -> Result<(), Errno> {
    let socket = Socket::open()?;
    let index = netlink::index(name)?;
    for address in addresses {
        let mut address = address.clone();
        address.flags &= ASKED;
        socket.add_address(index, &address)?;
    }
    match is_up {
        true => socket.set_up(index),
        false => Ok(()),
    }
}
