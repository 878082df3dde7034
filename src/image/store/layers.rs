//! Layers unpacked: `layers/HEX`, for the digest of what the layer's tree depends on.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use super::{DIRECTORY, Error, Image, Scratch, Store};
use crate::image::Digest;
use crate::image::documents::Layer;
use crate::image::layer::{self, Unpacked};
use crate::image::source::read_document;

/// What is said beside a layer's tree of its making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRecord {
    pub diff_id: Digest,
    /// Of the layer and all below it, where the tree has something of theirs.
    pub chain_id: Option<Digest>,
    pub entries: u64,
    pub bytes: u64,
}

impl LayerRecord {
    /// What the layer is called in the store: a tree that depends on its own blob alone serves every
    /// image that has the layer, whatever lies below it there.
    pub fn key(&self) -> &Digest {
        self.chain_id.as_ref().unwrap_or(&self.diff_id)
    }
}

/// A layer that a writer has unpacked in his scratch.
#[derive(Debug)]
pub struct Made {
    /// Its directory there.
    pub name: String,
    pub record: LayerRecord,
}

/// The chain ids of layers, bottom first (image-spec, config.md, 'Layer ChainID').
pub fn chain_ids<'a>(diff_ids: impl IntoIterator<Item = &'a Digest>) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::new();
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}

/// Gives a layer's tree what it takes from the trees below it, bottom first.
pub fn complete(
    layer: &Layer,
    unpacked: &Unpacked,
    below: &[OwnedFd],
    tree: BorrowedFd<'_>,
) -> Result<(), layer::Error> {
    let top_first: Vec<_> = below.iter().rev().map(AsFd::as_fd).collect();
    let completed = layer::complete(&unpacked.leanings, &top_first, tree);
    completed.map_err(|(place, fault)| layer::Error {
        layer: layer.blob.digest.clone(),
        place,
        fault,
    })
}

impl Store {
    /// The key of a layer that is there.
    pub fn find_layer(&self, diff_id: &Digest, chain_id: &Digest) -> Result<Option<Digest>, Error> {
        for key in [diff_id, chain_id] {
            if self.exists(&place(key))? && self.layer_record(key)?.key() == key {
                return Ok(Some(key.clone()));
            }
        }
        Ok(None)
    }

    /// The keys of an image's layers, bottom first. All are there since it was taken.
    pub fn layer_keys(&self, image: &Image) -> Result<Vec<Digest>, Error> {
        self.keys_of(&self.image_layers(image)?)
    }

    pub(super) fn keys_of(&self, layers: &[Layer]) -> Result<Vec<Digest>, Error> {
        let chain = chain_ids(layers.iter().map(|layer| &layer.diff_id));
        let pairs = layers.iter().zip(&chain);
        pairs
            .map(|(layer, chain_id)| {
                self.find_layer(&layer.diff_id, chain_id)?
                    .ok_or_else(|| Error::NoLayer {
                        diff_id: layer.diff_id.clone(),
                    })
            })
            .collect()
    }

    /// The trees of an image's layers, bottom first.
    pub fn layers(&self, image: &Image) -> Result<Vec<PathBuf>, Error> {
        let keys = self.layer_keys(image)?;
        Ok(keys.iter().map(|key| self.layer_path(key)).collect())
    }

    pub fn layer_path(&self, key: &Digest) -> PathBuf {
        self.path.join(place(key)).join("tree")
    }

    /// The tree of a layer, under whichever of its names it is there.
    pub fn open_layer(&self, diff_id: &Digest, chain_id: &Digest) -> Result<OwnedFd, Error> {
        let key = self.find_layer(diff_id, chain_id)?;
        let key = key.ok_or_else(|| Error::NoLayer {
            diff_id: diff_id.clone(),
        })?;
        self.open_dir(&format!("{}/tree", place(&key)))
    }

    pub fn layer_record(&self, key: &Digest) -> Result<LayerRecord, Error> {
        let name = format!("{}/layer.json", place(key));
        let bytes = read_document(self.dir(), &self.path, &name)?;
        serde_json::from_slice(&bytes).map_err(|cause| Error::Record {
            path: self.path.join(name),
            cause,
        })
    }

    /// Puts a layer that is whole and durable into its place; one that is there stays.
    pub(super) fn place_layer(&self, scratch: &Scratch, made: &Made) -> Result<(), Error> {
        let place = place(made.record.key());
        match renameat(scratch.dir(), made.name.as_str(), &self.dir, place.as_str()) {
            Ok(()) | Err(Errno::EEXIST | Errno::ENOTEMPTY) => Ok(()),
            Err(errno) => Err(self.fault(&place, "place")(errno)),
        }
    }

    /// All keys that there are.
    pub(super) fn all_layers(&self) -> Result<BTreeSet<String>, Error> {
        let dir = self.open_dir("layers")?;
        Ok(names(&dir)
            .map_err(self.fault("layers", "list"))?
            .into_iter()
            .collect())
    }
}

impl Scratch {
    /// An empty tree for a layer to be unpacked into, `name/tree`.
    pub fn make_layer(&self, name: &str) -> Result<OwnedFd, Error> {
        self.make_dir(name)?;
        self.make_open_dir(&format!("{name}/tree"))
    }

    /// The tree of a layer that was made here.
    pub fn open_layer(&self, name: &str) -> Result<OwnedFd, Error> {
        let tree = format!("{name}/tree");
        let flags = DIRECTORY | OFlag::O_NOFOLLOW;
        openat(self.dir(), tree.as_str(), flags, Mode::empty())
            .map_err(|errno| Error::call(&self.path().join(tree), "open", errno))
    }

    /// Writes down what a tree is of: the last thing before it may be placed.
    pub fn finish_layer(&self, made: &Made) -> Result<(), Error> {
        let name = format!("{}/layer.json", made.name);
        let mut file = self.create(&name)?;
        serde_json::to_writer(&mut file, &made.record).map_err(|cause| {
            let errno = cause.io_error_kind().map(|_| std::io::Error::from(cause));
            let errno = errno.map_or(Errno::EIO, crate::sys::errno);
            Error::call(&self.path().join(name), "write", errno)
        })
    }
}

pub(super) fn place(key: &Digest) -> String {
    format!("layers/{}", key.hex())
}

/// The names in a directory; one that is no UTF-8 is none of ours.
pub(super) fn names(dir: &OwnedFd) -> Result<Vec<String>, Errno> {
    let again = openat(dir, ".", DIRECTORY, Mode::empty())?;
    let mut found = Vec::new();
    for entry in Dir::from_fd(again)?.iter() {
        match entry?.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => found.push(name.to_owned()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn a_chain_id_is_of_all_layers_below() {
        let ids = [Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c")];
        let chain = chain_ids(&ids);
        let text = format!("{} {}", ids[0], ids[1]);
        assert_eq!(chain[0], ids[0]);
        assert_eq!(chain[1], Digest::of(text.as_bytes()));
        assert_eq!(
            chain[2],
            Digest::of(format!("{} {}", chain[1], ids[2]).as_bytes())
        );
    }
}
