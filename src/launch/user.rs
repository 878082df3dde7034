//! From the runtime's root to the user of the program, in pieces. All of this runs in the child.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::fault::{Call, Stop};
use crate::plan::step::{Kind, OtherGroups};
use crate::sys::{clone, identity, path};

pub(super) fn become_root() -> Result<(), Stop> {
    identity::set_gid(0).map_err(|errno| Stop::at(Call::SetGid, errno))?;
    identity::set_uid(0).map_err(|errno| Stop::at(Call::SetUid, errno))?;
    stay_closed()
}

/// Goes to namespaces of these kinds. A user namespace comes with other capabilities, which are a change of
/// the user to the kernel.
pub(super) fn join(namespaces: BorrowedFd<'_>, kinds: u64) -> Result<(), Stop> {
    clone::join(namespaces, kinds)?;
    if kinds & Kind::User.bit() != 0 {
        stay_closed()?;
    }
    Ok(())
}

/// A process that changes its user is dumpable as fs.suid_dumpable says (proc(5)); we are not, until the
/// program runs.
fn stay_closed() -> Result<(), Stop> {
    Ok(identity::set_undumpable()?)
}

/// Pipes belong to who made them, and /dev/stdout is opened anew through /proc: give them to the
/// container's user. Files and terminals stay whose they are.
pub(super) fn own_pipes(uid: u32) -> Result<(), Stop> {
    for number in 0..3 {
        let fd = path::standard(number);
        let Ok(stat) = path::stat(fd) else { continue };
        if stat.st_mode & libc::S_IFMT == libc::S_IFIFO && stat.st_uid != uid {
            match path::set_owner(fd, uid, stat.st_gid) {
                // Not ours to give: an unmapped owner in a user namespace.
                Ok(()) | Err(Errno::EPERM | Errno::EINVAL | Errno::EROFS) => {}
                Err(errno) => return Err(Stop::at(Call::SetOwner, errno)),
            }
        }
    }
    Ok(())
}

/// Drops every capability that is not in `keep`; the kernel says with `EINVAL` which is the last.
pub(super) fn bound(keep: u64) -> Result<(), Stop> {
    for capability in 0..64 {
        if keep & (1 << capability) != 0 {
            continue;
        }
        match identity::drop_bounding(capability) {
            Err(Errno::EINVAL) => break,
            dropped => dropped.map_err(|errno| Stop::at(Call::Bound, errno))?,
        }
    }
    Ok(())
}

pub(super) fn become_user(uid: u32, gid: u32, groups: &OtherGroups) -> Result<(), Stop> {
    identity::keep_capabilities(true)?;
    let set = match groups {
        OtherGroups::Stay => Ok(()),
        OtherGroups::Are(groups) => identity::set_groups(groups),
        // Nothing tells of a namespace by its path alone whether it denies setgroups, but the call.
        OtherGroups::NoneIfAllowed => match identity::set_groups(&[]) {
            Err(Errno::EPERM) => Ok(()),
            set => set,
        },
    };
    set.map_err(|errno| Stop::at(Call::SetGroups, errno))?;
    identity::set_gid(gid).map_err(|errno| Stop::at(Call::SetGid, errno))?;
    identity::set_uid(uid).map_err(|errno| Stop::at(Call::SetUid, errno))?;
    identity::keep_capabilities(false)?;
    stay_closed()
}

pub(super) fn take_capabilities(sets: &identity::CapabilitySets, ambient: u64) -> Result<(), Stop> {
    identity::set_capabilities(sets)?;
    identity::clear_ambient().map_err(|errno| Stop::at(Call::Ambient, errno))?;
    for capability in (0..64).filter(|c| ambient & (1 << c) != 0) {
        identity::raise_ambient(capability).map_err(|errno| Stop::at(Call::Ambient, errno))?;
    }
    Ok(())
}
