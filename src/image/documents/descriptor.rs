//! Descriptors: what a blob is, what it is called, and how large it is.

use serde::{Deserialize, Serialize};

use super::{Error, digest};
use crate::image::Digest;

/// Media types as they are written.
pub mod media {
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
}

/// How a layer's tar stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// What a descriptor refers to, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Manifest,
    Index,
    Config,
    Layer(Compression),
    /// A layer that registries do not hand out.
    ForeignLayer,
    /// Attestations, charts and other things that are no part of an image.
    Other,
}

impl Kind {
    pub fn of(media_type: &str) -> Self {
        match media_type {
            media::MANIFEST | media::DOCKER_MANIFEST => Self::Manifest,
            media::INDEX | media::DOCKER_LIST => Self::Index,
            media::CONFIG | media::DOCKER_CONFIG => Self::Config,
            media::LAYER | media::DOCKER_LAYER => Self::Layer(Compression::None),
            media::LAYER_GZIP | media::DOCKER_LAYER_GZIP => Self::Layer(Compression::Gzip),
            media::LAYER_ZSTD | media::DOCKER_LAYER_ZSTD => Self::Layer(Compression::Zstd),
            other
                if other.starts_with("application/vnd.oci.image.layer.nondistributable.")
                    || other.starts_with("application/vnd.docker.image.rootfs.foreign.") =>
            {
                Self::ForeignLayer
            }
            _ => Self::Other,
        }
    }
}

/// A blob by its digest, with the size and the type that it must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
}

impl Descriptor {
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.into(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        }
    }

    pub fn kind(&self) -> Kind {
        Kind::of(&self.media_type)
    }
}

/// A descriptor as it is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    media_type: String,
    digest: String,
    size: serde_json::Number,
    #[serde(default)]
    pub(super) platform: Option<super::manifest::RawPlatform>,
    #[serde(default)]
    pub(super) annotations: Option<std::collections::BTreeMap<String, String>>,
}

impl Raw {
    /// `field` is where it stands in the document.
    pub(super) fn check(&self, field: &str) -> Result<Descriptor, Error> {
        // Offsets of files have 63 bits.
        let size = self
            .size
            .as_u64()
            .filter(|size| i64::try_from(*size).is_ok());
        Ok(Descriptor {
            media_type: self.media_type.clone(),
            digest: digest(format!("{field}.digest"), &self.digest)?,
            size: size.ok_or_else(|| Error::Size {
                field: format!("{field}.size"),
                found: self.size.to_string(),
            })?,
        })
    }
}
