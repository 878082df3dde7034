//! The bundle goes with its container.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::unistd::geteuid;

use crate::container::{Error, call};
use crate::image::{Store, store};
use crate::launch;
use crate::plan::step::Kind;
use crate::spec;
use crate::spec::container::IdMaps;
use crate::state::{Record, Slot};
use crate::sys::apart::{self, apart};
use crate::sys::{clone, identity, reason};

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
        .filter(|maps| !maps.uids.is_empty())
        // One that was killed has removed what the document speaks of: it is not read any more.
        .or_else(super::id_maps);
    remove_files(maps.as_ref(), || match Store::open_existing(store)? {
        Some(store) => store.remove_container(&record.id),
        None => Ok(()),
    })
}

pub(super) fn remove_files(
    maps: Option<&IdMaps>,
    act: impl FnOnce() -> Result<(), store::Error>,
) -> Result<(), Error> {
    match maps {
        Some(maps) if !geteuid().is_root() => {
            let act = || act().map(|()| String::new()).map_err(|e| e.to_string());
            as_their_root(maps, act).map(drop)
        }
        _ => Ok(act()?),
    }
}

/// Removes files of containers: all that `act` does. Its answer.
pub fn remove_by(act: impl FnOnce() -> Result<String, String>) -> Result<String, Error> {
    match super::id_maps() {
        Some(maps) => as_their_root(&maps, act),
        None => act().map_err(|why| Error::ImageFiles(apart::Error::Said(why))),
    }
}

/// Among what the container's users have written is what is not its owner's to remove, and the kernel's own
/// directory that nobody may read: for who is not root it is done by root of their user namespace.
fn as_their_root(
    maps: &IdMaps,
    act: impl FnOnce() -> Result<String, String>,
) -> Result<String, Error> {
    identity::set_dumpable().map_err(call("become dumpable"))?;
    let users = launch::user_namespace(maps).map_err(Error::UserNamespace)?;
    let enter = || {
        clone::join(users.as_fd(), Kind::User.bit())?;
        identity::set_gid(0)?;
        identity::set_uid(0)
    };
    apart(PATIENCE, || {
        enter().map_err(reason)?;
        act()
    })
    .map_err(Error::ImageFiles)
}
