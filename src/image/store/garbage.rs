//! What nothing refers to, and how it goes.

use std::collections::{BTreeMap, BTreeSet};

use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Alone, Error, Image, Scratch, Store, scratch};
use crate::image::Digest;
use crate::image::source::blob_path;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Freed {
    pub blobs: usize,
    pub layers: usize,
    /// Directories of writers that were killed.
    pub unfinished: usize,
    pub containers: Vec<String>,
    pub bytes: u64,
}

/// What is referred to.
#[derive(Default)]
struct Needed {
    blobs: BTreeSet<String>,
    layers: BTreeSet<String>,
}

impl Store {
    /// Removes this name from its image; and the image, where it has no other and nobody adds or uses
    /// anything now (else [`Store::prune`] does it later). An image that containers use keeps its layers.
    /// While another image is damaged nothing but the name goes, since it cannot be told what that one needs.
    pub fn remove(&self, image: &Image) -> Result<Freed, Error> {
        self.remove_name(image)?;
        match self.try_alone()? {
            Some(alone) => self.free_unreferenced(&alone).or_else(|error| {
                log::warn!("what {} needs stays: {error}", image.manifest.digest);
                Ok(Freed::default())
            }),
            None => Ok(Freed::default()),
        }
    }

    /// The containers that use an image, whatever it is called.
    pub fn users(&self, image: &Image) -> Result<Vec<String>, Error> {
        let holds = self.holds()?.into_iter();
        Ok(holds
            .filter(|(_, hold)| {
                hold.as_ref()
                    .is_some_and(|hold| hold.manifest == image.manifest.digest)
            })
            .map(|(id, _)| id)
            .collect())
    }

    /// Removes whatever nothing refers to: what killed writers left, containers without a record, layers
    /// and blobs of no image.
    pub fn prune(&self, alone: &Alone) -> Result<Freed, Error> {
        let containers = self.remove_stale()?;
        let unfinished = scratch::sweep_dead(self)?;
        Ok(Freed {
            containers,
            unfinished,
            ..self.free_unreferenced(alone)?
        })
    }

    fn free_unreferenced(&self, _alone: &Alone) -> Result<Freed, Error> {
        let needed = self.needed()?;
        let scratch = Scratch::make(self)?;
        let mut freed = Freed::default();
        for hex in self.all_layers()?.difference(&needed.layers) {
            freed.bytes += self.layer_bytes(hex);
            // What is half removed must not look whole.
            let place = format!("layers/{hex}");
            renameat(&self.dir, place.as_str(), scratch.dir(), hex.as_str())
                .map_err(self.fault(&place, "remove"))?;
            freed.layers += 1;
        }
        for (name, size) in self.all_blobs()? {
            if !needed.blobs.contains(&name) {
                unlinkat(&self.dir, name.as_str(), UnlinkatFlags::NoRemoveDir)
                    .map_err(self.fault(&name, "remove"))?;
                freed.blobs += 1;
                freed.bytes += size;
            }
        }
        Ok(freed)
    }

    /// Fails where it cannot be told: then nothing is removed.
    fn needed(&self) -> Result<Needed, Error> {
        let mut needed = Needed::default();
        for image in self.images()? {
            let manifest = self.manifest(&image)?;
            let digests = [&image.manifest.digest, &manifest.config.digest];
            let blobs = manifest.blobs().map(|blob| &blob.digest);
            needed
                .blobs
                .extend(digests.into_iter().chain(blobs).map(blob_path));
            let layers = self.image_layers(&image)?;
            // Both names that each may have.
            let diff_ids = layers.iter().map(|layer| &layer.diff_id);
            let chain = super::chain_ids(diff_ids.clone());
            let keys = diff_ids.chain(&chain).map(|key| key.hex().to_owned());
            needed.layers.extend(keys);
        }
        for (_, hold) in self.holds()? {
            let keys = hold.iter().flat_map(|hold| &hold.layers);
            needed.layers.extend(keys.map(|key| key.hex().to_owned()));
        }
        Ok(needed)
    }

    /// Paths and sizes of all blobs.
    pub(super) fn all_blobs(&self) -> Result<BTreeMap<String, u64>, Error> {
        let mut found = BTreeMap::new();
        for algorithm in ["blobs/sha256", "blobs/sha512"] {
            let dir = self.open_dir(algorithm)?;
            for name in super::layers::names(&dir).map_err(self.fault(algorithm, "list"))? {
                let path = format!("{algorithm}/{name}");
                let stat = fstatat(&dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                    .map_err(self.fault(&path, "look at"))?;
                found.insert(path, stat.st_size.cast_unsigned());
            }
        }
        Ok(found)
    }

    /// Of a layer by the name of its directory: what its record says, as far as it can be read.
    fn layer_bytes(&self, hex: &str) -> u64 {
        let key: Option<Digest> = match hex.len() {
            64 => format!("sha256:{hex}").parse().ok(),
            _ => format!("sha512:{hex}").parse().ok(),
        };
        let record = key.and_then(|key| self.layer_record(&key).ok());
        record.map_or(0, |record| record.bytes)
    }
}
