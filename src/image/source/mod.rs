//! Sources: where the documents and blobs of an image are read.

use std::io::Read;

use super::documents::{self, Descriptor};

/// A place that has one image.
///
/// Nothing of what it gives is to be believed: the caller checks size and digest of every document and
/// blob against the descriptor that it asked for.
pub trait Source: Send + Sync {
    /// The document that the image's name leads to, a manifest or an index, and its descriptor: by a
    /// registry's word where it was not asked for by digest.
    fn root(&self) -> Result<(Descriptor, Vec<u8>), Error>;

    /// A whole document: [`documents::LARGEST`] bytes at most.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error>;

    /// The bytes of a blob. The reader tries again and resumes by itself, where there is sense in it.
    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error>;
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Document(#[from] documents::Error),
}
