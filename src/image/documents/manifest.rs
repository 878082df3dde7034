//! Manifests and indexes, which no document can be at once.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::descriptor::{Compression, Descriptor, Kind, Raw, media};
use super::{Config, Error, MOST_LAYERS, check_size};
use crate::image::{Digest, Platform};

/// What the name of an image leads to.
#[derive(Debug)]
pub enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// One image of one platform.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub config: Descriptor,
    /// Bottom first; at least one, each of a kind that can be unpacked.
    layers: Vec<(Descriptor, Compression)>,
    pub annotations: BTreeMap<String, String>,
}

/// Images of several platforms, or several images of a layout.
#[derive(Clone, Debug)]
pub struct Index {
    pub entries: Vec<Entry>,
}

/// What an index says of one of its images.
#[derive(Clone, Debug)]
pub struct Entry {
    pub descriptor: Descriptor,
    pub platform: Option<Platform>,
    pub annotations: BTreeMap<String, String>,
}

/// A layer: its blob, and the digest of the tar stream in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub blob: Descriptor,
    pub compression: Compression,
    pub diff_id: Digest,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawPlatform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl RawPlatform {
    fn platform(&self) -> Platform {
        let variant = self.variant.as_deref().unwrap_or_default();
        Platform::new(&self.os, &self.architecture, variant)
    }
}

/// All fields of both documents: one that has what only the other may have is ambiguous.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<Raw>,
    layers: Option<Vec<Raw>>,
    manifests: Option<Vec<Raw>>,
    /// Of schema 1, which holds no digest of a config.
    fs_layers: Option<serde::de::IgnoredAny>,
    annotations: Option<BTreeMap<String, String>>,
}

impl RawDocument {
    fn read(what: &'static str, bytes: &[u8]) -> Result<Self, Error> {
        check_size(what, bytes)?;
        let raw: Self =
            serde_json::from_slice(bytes).map_err(|cause| Error::Json { what, cause })?;
        match raw.schema_version {
            2 => Ok(raw),
            other => Err(Error::SchemaVersion(other)),
        }
    }

    /// Only what the descriptor says is believed, and the document must not say another thing.
    fn check_type(&self, referred: &str) -> Result<(), Error> {
        match &self.media_type {
            Some(own) if own != referred => Err(Error::OtherType {
                own: own.clone(),
                referred: referred.into(),
            }),
            _ => Ok(()),
        }
    }
}

impl Document {
    /// Reads what `media_type`, its descriptor's, says that it is.
    pub fn read(media_type: &str, bytes: &[u8]) -> Result<Self, Error> {
        match Kind::of(media_type) {
            Kind::Manifest => Manifest::read(media_type, bytes).map(Self::Manifest),
            Kind::Index => Index::read(media_type, bytes).map(Self::Index),
            _ => Err(Error::MediaType {
                field: "mediaType".into(),
                found: media_type.into(),
                wanted: "a manifest or an index",
            }),
        }
    }
}

impl Manifest {
    fn read(media_type: &str, bytes: &[u8]) -> Result<Self, Error> {
        let raw = RawDocument::read("the manifest", bytes)?;
        let also = [
            (raw.manifests.is_some(), "manifests"),
            (raw.fs_layers.is_some(), "fsLayers"),
        ];
        if let Some((_, also)) = also.into_iter().find(|(there, _)| *there) {
            let is = "a manifest";
            return Err(Error::Ambiguous { is, also });
        }
        raw.check_type(media_type)?;

        let missing = |field: &str| Error::Value {
            field: field.into(),
            cause: "is not there",
        };
        let config = raw.config.ok_or_else(|| missing("config"))?;
        let config = config.check("config")?;
        if config.kind() != Kind::Config {
            return Err(Error::MediaType {
                field: "config.mediaType".into(),
                found: config.media_type,
                wanted: "an image's config",
            });
        }
        let raws = raw.layers.ok_or_else(|| missing("layers"))?;
        match raws.len() {
            0 => return Err(Error::NoLayers),
            count if count > MOST_LAYERS => return Err(Error::ManyLayers(count)),
            _ => {}
        }
        let layers = raws.iter().enumerate();
        Ok(Self {
            config,
            layers: layers
                .map(|(number, raw)| layer(number, raw))
                .collect::<Result<_, _>>()?,
            annotations: raw.annotations.unwrap_or_default(),
        })
    }

    /// The blobs of the layers, bottom first.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.layers.iter().map(|(blob, _)| blob)
    }

    /// The layers with the diff ids that the config gives them.
    pub fn layers(&self, config: &Config) -> Result<Vec<Layer>, Error> {
        let (layers, diff_ids) = (self.layers.len(), config.diff_ids.len());
        if layers != diff_ids {
            return Err(Error::DiffIds { diff_ids, layers });
        }
        let pairs = self.layers.iter().zip(&config.diff_ids);
        Ok(pairs
            .map(|((blob, compression), diff_id)| Layer {
                blob: blob.clone(),
                compression: *compression,
                diff_id: diff_id.clone(),
            })
            .collect())
    }
}

fn layer(number: usize, raw: &Raw) -> Result<(Descriptor, Compression), Error> {
    let blob = raw.check(&format!("layers[{number}]"))?;
    let field = || format!("layers[{number}].mediaType");
    match blob.kind() {
        Kind::Layer(compression) => Ok((blob, compression)),
        Kind::ForeignLayer => Err(Error::Foreign {
            field: field(),
            media_type: blob.media_type,
        }),
        _ => Err(Error::MediaType {
            field: field(),
            found: blob.media_type,
            wanted: "a layer",
        }),
    }
}

impl Index {
    /// The `index.json` of a layout.
    pub fn of_layout(bytes: &[u8]) -> Result<Self, Error> {
        Self::read(media::INDEX, bytes)
    }

    fn read(media_type: &str, bytes: &[u8]) -> Result<Self, Error> {
        let raw = RawDocument::read("the index", bytes)?;
        let also = [
            (raw.config.is_some(), "config"),
            (raw.layers.is_some(), "layers"),
            (raw.fs_layers.is_some(), "fsLayers"),
        ];
        if let Some((_, also)) = also.into_iter().find(|(there, _)| *there) {
            let is = "an index";
            return Err(Error::Ambiguous { is, also });
        }
        raw.check_type(media_type)?;
        let raws = raw.manifests.ok_or_else(|| Error::Value {
            field: "manifests".into(),
            cause: "is not there",
        })?;
        let entries = raws.into_iter().enumerate().map(|(number, raw)| {
            Ok(Entry {
                descriptor: raw.check(&format!("manifests[{number}]"))?,
                platform: raw.platform.as_ref().map(RawPlatform::platform),
                annotations: raw.annotations.unwrap_or_default(),
            })
        });
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}
