//! The bundle goes with its container.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::unistd::geteuid;

use crate::container::Error;
use crate::image::Store;
use crate::launch;
use crate::spec::container::IdMaps;
use crate::spec::{self, Id};
use crate::state::{Record, Slot};
use crate::sys::apart::apart;
use crate::sys::{clone, identity};

/// However much a container has written.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Removes the bundle of the container that `record` tells of, if it was made for it. Deleting twice is
/// deleting once.
pub(in crate::container) fn remove(slot: &Slot, record: &Record) -> Result<(), Error> {
    let Some(store) = &record.image_store else {
        return Ok(());
    };
    // A creator that was killed may not have kept it: then nothing ran that could have made files of others.
    let maps = slot
        .config()
        .ok()
        .and_then(|json| spec::parse(&json, &record.bundle).ok())
        .map(|container| container.id_maps)
        .filter(|maps| !maps.uids.is_empty());
    remove_files(store, &record.id, maps.as_ref())
}

/// Among what the container's users have written is what is not its owner's to remove, and the kernel's own
/// directory that nobody may read: for who is not root it is done by root of their user namespace.
pub(super) fn remove_files(path: &Path, id: &Id, maps: Option<&IdMaps>) -> Result<(), Error> {
    let act = || match Store::open_existing(path)? {
        Some(store) => store.remove_container(id),
        None => Ok(()),
    };
    let maps = match maps {
        Some(maps) if !geteuid().is_root() => maps,
        _ => return Ok(act()?),
    };
    identity::set_dumpable().map_err(super::super::call("become dumpable"))?;
    let users = launch::user_namespace(maps).map_err(Error::UserNamespace)?;
    let removed = apart(PATIENCE, || {
        let enter = || {
            clone::join(users.as_fd(), libc::CLONE_NEWUSER as u64)?;
            identity::set_gid(0)?;
            identity::set_uid(0)
        };
        enter().map_err(|errno: nix::errno::Errno| crate::sys::reason(errno))?;
        act().map(|()| String::new()).map_err(|e| e.to_string())
    });
    removed.map(drop).map_err(Error::ImageFiles)
}
