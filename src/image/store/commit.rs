//! From a writer's scratch into the store, whole or not at all.

use super::{Error, Image, Made, Scratch, Store, Using};
use crate::image::Digest;

/// What a writer has made.
#[derive(Debug, Default)]
pub struct Work {
    pub blobs: Vec<Digest>,
    pub layers: Vec<Made>,
}

impl Store {
    /// A place to work in. What killed writers left is removed at this occasion.
    pub fn scratch(&self, _using: &Using) -> Result<Scratch, Error> {
        Scratch::make(self)
    }

    /// Makes what was made a part of the store, and then gives the images their names.
    ///
    /// All content is durable before any of it gets its place, and all places before any name: wherever
    /// the power goes, what is in its place is whole, and what a name leads to is there.
    pub fn commit(
        &self,
        _using: &Using,
        scratch: &Scratch,
        work: &Work,
        images: &[Image],
    ) -> Result<(), Error> {
        for layer in &work.layers {
            scratch.finish_layer(layer)?;
        }
        if !work.blobs.is_empty() || !work.layers.is_empty() {
            self.sync_all()?;
        }
        let place = || {
            for digest in &work.blobs {
                self.place_blob(scratch, digest)?;
            }
            for layer in &work.layers {
                self.place_layer(scratch, layer)?;
            }
            let changed = ["blobs/sha256", "blobs/sha512", "layers"];
            changed.iter().try_for_each(|name| self.sync_dir(name))
        };
        self.put_names(images, place)
    }
}
