//! The documents of images: untrusted JSON becomes types that cannot be wrong.
//!
//! What each may hold: image-spec v1.1, descriptor.md, manifest.md, image-index.md and config.md; Docker's
//! forms differ in media types alone.

mod config;
mod descriptor;
mod manifest;
#[cfg(test)]
mod tests;

pub use config::{Config, Process};
pub use descriptor::{Compression, Descriptor, Kind, media};
pub use manifest::{Document, Entry, Index, Layer, Manifest};

use super::Digest;
use super::digest::DigestError;

/// No document of an image is larger: what registries take for a manifest (distribution-spec, 'Pushing
/// Manifests') bounds the memory that a stranger's can cost.
pub const LARGEST: u64 = 4 << 20;

/// No image has more layers: twice what overlay takes, and four times what Docker writes.
pub const MOST_LAYERS: usize = 1000;

/// Why a document is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} has {size} bytes, and {LARGEST} at most are read")]
    TooLarge { what: &'static str, size: u64 },
    #[error("{what}: {cause}")]
    Json {
        what: &'static str,
        cause: serde_json::Error,
    },
    #[error("{field}: {cause}")]
    Digest { field: String, cause: DigestError },
    #[error("{field}: {found} is not a number of bytes")]
    Size { field: String, found: String },
    #[error("{field}: {found:?} is no media type of {wanted} that is known")]
    MediaType {
        field: String,
        found: String,
        wanted: &'static str,
    },
    #[error(
        "{field}: {media_type:?} may be had from its owner's servers only, which is not supported"
    )]
    Foreign { field: String, media_type: String },
    #[error("schemaVersion: {0}: only 2 is read")]
    SchemaVersion(u64),
    /// CVE-2021-41190: whether such a document is a manifest or an index is anyone's guess.
    #[error("the document is ambiguous: it calls itself {is}, and has {also:?}")]
    Ambiguous {
        is: &'static str,
        also: &'static str,
    },
    #[error("mediaType: the document calls itself {own:?}, and is referred to as {referred:?}")]
    OtherType { own: String, referred: String },
    #[error("layers: there is none")]
    NoLayers,
    #[error("layers: {0} are more than {MOST_LAYERS}")]
    ManyLayers(usize),
    #[error("rootfs.diff_ids: {diff_ids}, where the manifest has {layers} layers")]
    DiffIds { diff_ids: usize, layers: usize },
    #[error("{field}: {cause}")]
    Value { field: String, cause: &'static str },
}

fn check_size(what: &'static str, bytes: &[u8]) -> Result<(), Error> {
    match bytes.len() as u64 {
        size if size > LARGEST => Err(Error::TooLarge { what, size }),
        _ => Ok(()),
    }
}

fn digest(field: impl Into<String>, text: &str) -> Result<Digest, Error> {
    text.parse().map_err(|cause| Error::Digest {
        field: field.into(),
        cause,
    })
}
