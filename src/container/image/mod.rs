//! `image run`: a container whose bundle is made for it alone, in the image store.
//!
//! The bundle is `containers/ID` of the store. It holds the layers from before anything else is made,
//! and is locked until the container has a record, which says where it is: `delete` and `--rm` remove it with
//! the container. What is left by one who was killed before the record was written goes with `image prune`.

mod files;
mod ids;
mod lookups;
mod removal;
mod root;

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::{Context, CreateOptions, Error, RunOptions, run};
use crate::image::bundle::{self, Network, Settings};
use crate::image::store::{Container, Image, Store};
use crate::spec::Id;
use crate::spec::container::IdMaps;
use crate::state::{self as records, in_user_namespace};
use crate::sys::errno;
pub(super) use lookups::Lookups;
pub(super) use removal::remove;
pub use removal::remove_by;
use root::Root;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct ImageRun {
    /// Taken and unpacked.
    pub image: Image,
    pub settings: Settings,
    pub how: RunOptions,
}

/// Runs a container of an image and returns its exit code, 128 + n for signal n; 0 when detached.
/// Must be called while this process has one thread.
pub fn run_image(cx: &Context, id: &Id, store: &Store, asked: &ImageRun) -> Result<u8, Error> {
    let using = store.using()?;
    let place = store.make_container(&using, id, &asked.image, cx.store.root())?;
    let options = CreateOptions {
        bundle: place.path().into(),
        image_store: Some(store.path().into()),
        ..CreateOptions::default()
    };
    let made = make_bundle(store, &place, asked);
    // Its hold on the layers is on disk.
    drop(using);
    let ran = made.and_then(|()| run(cx, id, &options, &asked.how));
    if ran.is_err() && !has_record(cx, id, &place) {
        let maps = asked.settings.id_maps.as_ref();
        removal::remove_files(maps, || store.discard(id, &place))?;
    }
    ran
}

/// Whether a record tells of it, and not of another container of that name.
fn has_record(cx: &Context, id: &Id, place: &Container) -> bool {
    let own = place.path().canonicalize().ok();
    match cx.store.load(id) {
        Ok(record) => Some(record.bundle) == own,
        Err(records::Error::Missing) => false,
        Err(_) => true,
    }
}

/// The ids that containers of this user have inside; `None` for root, whose containers have his own.
pub fn id_maps() -> Option<IdMaps> {
    (!geteuid().is_root()).then(ids::of_user)
}

fn make_bundle(store: &Store, place: &Container, asked: &ImageRun) -> Result<(), Error> {
    let dir = place.path();
    let config = store.config(&store.manifest(&asked.image)?)?;
    let root = Root {
        store,
        image: &asked.image,
        userxattr: !geteuid().is_root() || in_user_namespace(),
        users_are_ours: asked.settings.id_maps.is_some(),
    };
    let users = root.make(dir)?;
    let mut settings = asked.settings.clone();
    settings.mounts = [files::write_all(dir, &settings)?, settings.mounts].concat();
    let document = bundle::document(&config, &users, &settings)?;
    write(dir, "config.json", document.to_string().as_bytes())
}

/// Where files of the host take the place of ours.
fn shares_names(settings: &Settings) -> bool {
    settings.network == Network::Host
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path: PathBuf = dir.join(name);
    std::fs::write(&path, bytes).map_err(|e| Error::Bundle {
        path,
        errno: errno(&e),
    })
}
