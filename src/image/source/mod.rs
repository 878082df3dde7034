//! Sources: where the documents and blobs of an image are read.

mod layout;
mod pick;
pub mod registry;

use std::ffi::CString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

pub use layout::{Layout, blob_path, open_blob, read_document};
pub use pick::REF_NAME;

use super::Digest;
use super::documents::{self, Descriptor, LARGEST};
use crate::sys::reason;

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
    #[error("{path}: {act}: {}", reason(*.errno))]
    Call {
        path: PathBuf,
        act: &'static str,
        errno: Errno,
    },
    #[error("{0:?} is no path: it has a NUL in it")]
    Nul(PathBuf),
    #[error("{0}: not a plain file of this layout")]
    NotFile(PathBuf),
    #[error("{0} has no blob {1}")]
    NoBlob(PathBuf, Digest),
    #[error("{path}: {found} bytes, and its descriptor says {wanted}")]
    Size {
        path: PathBuf,
        found: u64,
        wanted: u64,
    },
    #[error("{0}: a document has {LARGEST} bytes at most")]
    LargeDocument(PathBuf),
    #[error("{path}: {cause}")]
    Document {
        path: PathBuf,
        cause: documents::Error,
    },
    /// Of a document by its descriptor alone.
    #[error("document {digest}: {cause}")]
    Referred {
        digest: Digest,
        cause: documents::Error,
    },
    #[error("{path}: {}", no_tag(.tag.as_deref(), .names))]
    NoTag {
        path: PathBuf,
        tag: Option<String>,
        names: Vec<String>,
    },
    #[error("{path} has several images: name one of {}", .names.join(", "))]
    Several { path: PathBuf, names: Vec<String> },
    #[error("{path}: oci-layout: {found:?}: only layouts of version 1 are read")]
    Version { path: PathBuf, found: String },
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

fn no_tag(tag: Option<&str>, names: &[String]) -> String {
    match (tag, names) {
        (None, _) => "it has no image".into(),
        (Some(tag), []) => format!("no image is called {tag:?} there, nor anything else"),
        (Some(tag), names) => {
            format!(
                "no image is called {tag:?} there; there is {}",
                names.join(", ")
            )
        }
    }
}

impl Error {
    fn call(path: &Path, act: &'static str, errno: Errno) -> Self {
        Self::Call {
            path: path.into(),
            act,
            errno,
        }
    }

    fn document(path: &Path, name: &str, cause: documents::Error) -> Self {
        Self::Document {
            path: path.join(name),
            cause,
        }
    }
}

fn c_path(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::Nul(path.into()))
}

/// Before anything of it is read.
fn check_document_size(descriptor: &Descriptor) -> Result<(), Error> {
    match descriptor.size {
        size if size > LARGEST => Err(Error::Referred {
            digest: descriptor.digest.clone(),
            cause: documents::Error::TooLarge {
                what: "the document",
                size,
            },
        }),
        _ => Ok(()),
    }
}

/// image-spec, image-layout.md: `imageLayoutVersion` is 1.0.0.
fn check_layout_version(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        image_layout_version: String,
    }
    let what = "the mark of a layout";
    let read: Version = serde_json::from_slice(bytes).map_err(|cause| {
        Error::document(path, "oci-layout", documents::Error::Json { what, cause })
    })?;
    match read.image_layout_version.starts_with("1.") {
        true => Ok(()),
        false => Err(Error::Version {
            path: path.into(),
            found: read.image_layout_version,
        }),
    }
}
