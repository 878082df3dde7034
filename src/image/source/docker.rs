//! What `docker save` writes: a manifest.json, which names a config and layers.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::archive::{Archive, Packing};
use super::oci::Files;
use super::{Error, Offer, Source, check_document_size, read_all};
use crate::image::digest::{Algorithm, Hashing};
use crate::image::documents::{self, Config, Descriptor, media};
use crate::image::{Digest, Reference};
use crate::sys::errno;

pub(super) const MANIFEST: &str = "manifest.json";

/// One image of manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// An image of an archive with the manifest that it lacks: its layers are known by their diff ids where they
/// are plain, which the config says, and by their own digests where they are packed.
struct Image {
    archive: Arc<Archive>,
    config: (Descriptor, Vec<u8>),
    manifest: (Descriptor, Vec<u8>),
    /// Where each blob lies.
    places: HashMap<Digest, (u64, u64)>,
}

/// The images of an archive that are called `tag`; without one, all.
pub(super) fn offers(archive: &Arc<Archive>, tag: Option<&str>) -> Result<Vec<Offer>, Error> {
    let path = archive.path();
    let text = read_all(archive.open(MANIFEST)?.reader, &path.join(MANIFEST))?;
    let what = "the list of images";
    let images: Vec<Raw> = serde_json::from_slice(&text)
        .map_err(|cause| Error::document(path, MANIFEST, documents::Error::Json { what, cause }))?;
    let is_meant = |raw: &&Raw| match tag {
        None => true,
        Some(tag) => {
            let wanted = Reference::parse(tag);
            raw.names()
                .any(|name| name == tag || Reference::parse(name) == wanted)
        }
    };
    let meant: Vec<&Raw> = images.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Err(Error::NoTag {
            path: path.into(),
            tag: tag.map(String::from),
            names: images
                .iter()
                .flat_map(Raw::names)
                .map(String::from)
                .collect(),
        });
    }
    meant.into_iter().map(|raw| offer(archive, raw)).collect()
}

impl Raw {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.repo_tags.iter().flatten().map(String::as_str)
    }
}

fn offer(archive: &Arc<Archive>, raw: &Raw) -> Result<Offer, Error> {
    let names = raw.names().filter_map(|name| Reference::parse(name).ok());
    Ok(Offer {
        label: raw.names().next().unwrap_or(&raw.config).to_owned(),
        names: names.collect(),
        source: Box::new(Image::read(archive, raw)?),
    })
}

impl Image {
    fn read(archive: &Arc<Archive>, raw: &Raw) -> Result<Self, Error> {
        let path = archive.path();
        let bytes = read_all(archive.open(&raw.config)?.reader, &path.join(&raw.config))?;
        let config =
            Config::read(&bytes).map_err(|cause| Error::document(path, &raw.config, cause))?;
        let own = Descriptor::of(media::CONFIG, &bytes);
        let files = raw.layers.as_deref().unwrap_or_default();
        let (layers, diff_ids) = (files.len(), config.diff_ids.len());
        if layers != diff_ids {
            let cause = documents::Error::DiffIds { diff_ids, layers };
            return Err(Error::document(path, &raw.config, cause));
        }
        let mut places = HashMap::new();
        let mut layers = Vec::new();
        for (name, diff_id) in files.iter().zip(&config.diff_ids) {
            let place = archive.find(name)?;
            let layer = layer(archive, name, place, diff_id)?;
            places.insert(layer.digest.clone(), place);
            layers.push(layer);
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::MANIFEST,
            "config": own,
            "layers": layers,
        });
        let manifest = manifest.to_string().into_bytes();
        Ok(Self {
            archive: Arc::clone(archive),
            config: (own, bytes),
            manifest: (Descriptor::of(media::MANIFEST, &manifest), manifest),
            places,
        })
    }
}

/// What the manifest says of a layer.
fn layer(
    archive: &Archive,
    name: &str,
    place: (u64, u64),
    diff_id: &Digest,
) -> Result<Descriptor, Error> {
    let fault = |error| Error::call(&archive.path().join(name), "read", errno(&error));
    let mut start = Vec::new();
    let read = archive.section(place).take(4).read_to_end(&mut start);
    read.map_err(fault)?;
    let media_type = match Packing::of(&start) {
        Packing::None => {
            return Ok(Descriptor {
                media_type: media::LAYER.into(),
                digest: diff_id.clone(),
                size: place.1,
            });
        }
        Packing::Gzip => media::LAYER_GZIP,
        Packing::Zstd => media::LAYER_ZSTD,
    };
    let mut hashing = Hashing::new(archive.section(place), Algorithm::Sha256);
    std::io::copy(&mut hashing, &mut std::io::sink()).map_err(fault)?;
    let (_, size, digest) = hashing.finish();
    Ok(Descriptor {
        media_type: media_type.into(),
        digest,
        size,
    })
}

impl Source for Image {
    fn root(&self) -> Result<(Descriptor, Vec<u8>), Error> {
        Ok(self.manifest.clone())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        check_document_size(descriptor)?;
        let (own, bytes) = &self.config;
        match own.digest == descriptor.digest {
            true => Ok(bytes.clone()),
            false => Err(self.missing(descriptor)),
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        let place = self.places.get(&descriptor.digest);
        let place = place.ok_or_else(|| self.missing(descriptor))?;
        Ok(Box::new(self.archive.section(*place)))
    }
}

impl Image {
    fn missing(&self, descriptor: &Descriptor) -> Error {
        Error::NoBlob(self.archive.path().into(), descriptor.digest.clone())
    }
}
