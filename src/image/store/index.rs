//! The names of images: `index.json`.

use std::collections::BTreeMap;

use nix::fcntl::FlockArg;
use serde_json::json;

use super::{Error, Store};
use crate::image::documents::{Config, Descriptor, Document, Entry, Index, Layer, Manifest, media};
use crate::image::source::{REF_NAME, read_document};
use crate::image::{Digest, Platform, Reference};

pub(super) const EMPTY: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// The digest of the index that an image was chosen from: a name may hold it.
const CHOSEN_FROM: &str = "io.bulkhead.chosen-from";

/// Letters of an id that is cut short, at least: fewer could be anything.
const SHORTEST_ID: usize = 4;

/// One image of the store, under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `docker.io/library/debian:12`; none when it was replaced, or came without.
    pub name: Option<String>,
    pub manifest: Descriptor,
    pub platform: Platform,
    /// The document that its name led to: an index, or the manifest itself.
    pub chosen_from: Digest,
}

impl Image {
    fn of(entry: &Entry) -> Self {
        let chosen = entry.annotations.get(CHOSEN_FROM);
        let own = &entry.descriptor.digest;
        Self {
            name: entry.annotations.get(REF_NAME).cloned(),
            manifest: entry.descriptor.clone(),
            platform: entry.platform.clone().unwrap_or_else(Platform::host),
            chosen_from: chosen
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| own.clone()),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let mut annotations = BTreeMap::new();
        if let Some(name) = &self.name {
            annotations.insert(REF_NAME, name.clone());
        }
        if self.chosen_from != self.manifest.digest {
            annotations.insert(CHOSEN_FROM, self.chosen_from.to_string());
        }
        let mut json = json!(self.manifest);
        json["platform"] = self.platform.to_json();
        json["annotations"] = json!(annotations);
        json
    }

    fn is_called(&self, reference: &Reference) -> bool {
        let Some(name) = &self.name else { return false };
        if *name == reference.to_string() {
            return true;
        }
        // A digest is as good as a tag, for who has pulled by one.
        let (Some(digest), Ok(own)) = (reference.digest(), Reference::parse(name)) else {
            return false;
        };
        own.repository() == reference.repository()
            && reference.tag().is_none_or(|tag| own.tag() == Some(tag))
            && (*digest == self.chosen_from || *digest == self.manifest.digest)
    }
}

impl Store {
    /// All images, in the order of their coming.
    pub fn images(&self) -> Result<Vec<Image>, Error> {
        let bytes = read_document(self.dir(), &self.path, "index.json")?;
        let index = Index::of_layout(&bytes).map_err(|cause| Error::Document {
            path: self.path.join("index.json"),
            cause,
        })?;
        Ok(index.entries.iter().map(Image::of).collect())
    }

    /// The image of this name.
    pub fn find(&self, reference: &Reference) -> Result<Option<Image>, Error> {
        let images = self.images()?;
        Ok(images.into_iter().find(|image| image.is_called(reference)))
    }

    /// The image that a user means: by its name, or by the beginning of its id or digest.
    pub fn resolve(&self, text: &str) -> Result<Image, Error> {
        let images = self.images()?;
        if let Ok(reference) = Reference::parse(text)
            && let Some(image) = images.iter().find(|image| image.is_called(&reference))
        {
            return Ok(image.clone());
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let none = || Error::NoImage(text.into());
        if hex.len() < SHORTEST_ID || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(none());
        }
        let mut found: Vec<(Digest, Image)> = Vec::new();
        for image in images {
            // One that is damaged has no id to be found by.
            let Ok(manifest) = self.manifest(&image) else {
                continue;
            };
            let id = manifest.config.digest;
            let all = [&id, &image.manifest.digest, &image.chosen_from];
            if all.iter().any(|digest| digest.hex().starts_with(hex)) {
                found.push((id, image));
            }
        }
        let (id, image) = found.first().ok_or_else(none)?;
        match found.iter().all(|(other, _)| other == id) {
            true => Ok(image.clone()),
            false => Err(Error::Ambiguous {
                text: text.into(),
                ids: found.iter().map(|(id, _)| id.to_string()).collect(),
            }),
        }
    }

    pub fn manifest(&self, image: &Image) -> Result<Manifest, Error> {
        let fault = |cause| self.document_fault(&image.manifest.digest, cause);
        let bytes = self.read_blob(&image.manifest)?;
        match Document::read(&image.manifest.media_type, &bytes).map_err(fault)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => Err(Error::NoImage(image.manifest.digest.to_string())),
        }
    }

    pub fn config(&self, manifest: &Manifest) -> Result<Config, Error> {
        let bytes = self.read_blob(&manifest.config)?;
        Config::read(&bytes).map_err(|cause| self.document_fault(&manifest.config.digest, cause))
    }

    /// The layers of an image with their diff ids, bottom first.
    pub fn image_layers(&self, image: &Image) -> Result<Vec<Layer>, Error> {
        let manifest = self.manifest(image)?;
        let config = self.config(&manifest)?;
        let layers = manifest.layers(&config);
        layers.map_err(|cause| self.document_fault(&image.manifest.digest, cause))
    }

    /// Gives the images their names, which whatever had them loses. `place` puts what they need into the
    /// store, when the names are as good as written: a disk that is full is full before that.
    pub(super) fn put_names(
        &self,
        images: &[Image],
        place: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let change = |all: &mut Vec<Image>| {
            for image in images {
                all.retain(|other| other.name != image.name || other.name.is_none());
                all.retain(|other| other.name.is_some() || other.manifest != image.manifest);
                all.push(image.clone());
            }
        };
        self.change(change, place)
    }

    /// Gives an image of the store one more name.
    pub fn tag(&self, image: &Image, reference: &Reference) -> Result<(), Error> {
        let name = Some(reference.to_string());
        let named = Image {
            name,
            ..image.clone()
        };
        self.put_names(&[named], || Ok(()))
    }

    /// Takes this name from its image.
    pub(super) fn remove_name(&self, image: &Image) -> Result<(), Error> {
        self.change(|all| all.retain(|other| other != image), || Ok(()))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Image>),
        place: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _lock = self.lock(".", FlockArg::LockExclusive)?;
        let mut images = self.images()?;
        change(&mut images);
        let manifests: Vec<_> = images.iter().map(Image::to_json).collect();
        let index = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": manifests});
        self.replace("index.json", index.to_string().as_bytes(), place)
    }

    pub(super) fn document_fault(
        &self,
        digest: &Digest,
        cause: crate::image::documents::Error,
    ) -> Error {
        Error::Document {
            path: self.path.join(crate::image::source::blob_path(digest)),
            cause,
        }
    }
}
