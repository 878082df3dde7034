//! Interfaces of the host move into the container (config-linux.md, "Network devices").

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

/// Gives `devices` to the network namespace of process `pid`, with the addresses that they have for
/// good, and sets them up there. What can be seen to fail does so before one has moved: many a device
/// ends with the namespace that it is in.
pub(super) fn move_devices(devices: &[NetDevice], pid: Pid) -> Result<(), Error> {
    let about = |errno| Error::NetDevices { errno };
    let own = open("/proc/thread-self/ns/net").map_err(about)?;
    let theirs = open(&format!("/proc/{pid}/ns/net")).map_err(about)?;
    let socket = Socket::open().map_err(about)?;
    let mut found = Vec::with_capacity(devices.len());
    for device in devices {
        found.push((device, look_at(&socket, device).map_err(of(device))?));
    }

    enter(&theirs).map_err(about)?;
    let free = devices
        .iter()
        .try_for_each(|device| check_free(device).map_err(of(device)));
    enter(&own).map_err(about)?;
    free?;

    for (device, (index, _)) in &found {
        let moved = socket.send_away(*index, theirs.as_fd(), &device.inside);
        moved.map_err(of(device))?;
    }
    enter(&theirs).map_err(about)?;
    let ready = found
        .iter()
        .try_for_each(|(device, (_, addresses))| set_up(device, addresses).map_err(of(device)));
    enter(&own).map_err(about)?;
    ready
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
fn look_at(socket: &Socket, device: &NetDevice) -> Result<(Index, Vec<Address>), Errno> {
    let index = netlink::index(&device.name)?;
    let mut addresses = socket.addresses(index)?;
    addresses.retain(|a| a.scope == libc::RT_SCOPE_UNIVERSE && a.flags & PERMANENT != 0);
    Ok((index, addresses))
}

/// In the container's namespace.
fn check_free(device: &NetDevice) -> Result<(), Errno> {
    match netlink::index(&device.inside) {
        Err(Errno::ENODEV) => Ok(()),
        Ok(_) => Err(Errno::EEXIST),
        Err(errno) => Err(errno),
    }
}

/// In the container's namespace.
fn set_up(device: &NetDevice, addresses: &[Address]) -> Result<(), Errno> {
    let socket = Socket::open()?;
    let index = netlink::index(&device.inside)?;
    for address in addresses {
        let mut address = address.clone();
        address.flags &= ASKED;
        socket.add_address(index, &address)?;
    }
    socket.set_up(index)
}
