//! Sources: where the documents and blobs of an image are read.

mod archive;
mod docker;
mod layout;
mod oci;
pub mod registry;

use std::ffi::CString;
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

pub use archive::Spool;
pub use layout::{blob_path, open_blob, read_document};
pub use oci::REF_NAME;

use self::archive::Archive;
use self::registry::{Access, Registry};
use super::documents::{self, Descriptor, LARGEST};
use super::{Digest, Name, Reference, layer};
use crate::sys::{errno, reason};

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

/// An image that a place has.
pub struct Offer {
    /// What the place calls it: for messages.
    pub label: String,
    /// What a store calls it.
    pub names: Vec<Reference>,
    pub source: Box<dyn Source>,
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offer")
            .field(&self.label)
            .field(&self.names)
            .finish()
    }
}

/// The images that a name means: of a registry one, of a file all where it has no tag. `spool` makes a file
/// without a name, for an archive that cannot be read where it lies.
pub fn open(name: &Name, access: &Access, spool: Spool<'_>) -> Result<Vec<Offer>, Error> {
    match name {
        Name::Registry(reference) => Ok(vec![Offer {
            label: reference.to_string(),
            names: vec![reference.clone()],
            source: Box::new(Registry::open(reference, access)?),
        }]),
        Name::Layout { dir, tag } => layout(dir, tag.as_deref()),
        Name::OciArchive { file, tag } => {
            oci::offers(Arc::new(Archive::open(file, spool)?), tag.as_deref())
        }
        Name::DockerArchive { file, tag } => {
            let archive = Arc::new(Archive::open(file, spool)?);
            match archive.has(docker::MANIFEST) {
                true => docker::offers(&archive, tag.as_deref()),
                false => oci::offers(archive, tag.as_deref()),
            }
        }
    }
}

/// All images of an archive, whichever kind it is; of one that is both, as Docker writes it since version
/// 25, the layout has the digests of a registry.
pub fn archive(path: &Path, spool: Spool<'_>) -> Result<Vec<Offer>, Error> {
    let archive = Arc::new(Archive::open(path, spool)?);
    match archive.has("index.json") {
        true => oci::offers(archive, None),
        false => docker::offers(&archive, None),
    }
}

/// The images of the layout in the directory `path` that are called `tag`, or all.
pub fn layout(path: &Path, tag: Option<&str>) -> Result<Vec<Offer>, Error> {
    oci::offers(Arc::new(layout::Directory::open(path)?), tag)
}

/// The one image of several that is meant, if there is one.
pub fn only(path: &Path, mut offers: Vec<Offer>) -> Result<Offer, Error> {
    match (offers.pop(), offers.is_empty()) {
        (Some(offer), true) => Ok(offer),
        (last, _) => Err(Error::Several {
            path: path.into(),
            names: offers
                .into_iter()
                .chain(last)
                .map(|offer| offer.label)
                .collect(),
        }),
    }
}

/// A file that is being read, and its size.
struct Content {
    reader: Box<dyn Read + Send>,
    size: u64,
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
    #[error("{path}: {}{fault}", .place.as_deref().map(|p| format!("{p}: ")).unwrap_or_default())]
    Archive {
        path: PathBuf,
        place: Option<String>,
        fault: layer::Fault,
    },
    #[error("{path}: unpack: {cause}")]
    Unpack {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error("{0}: it has more members than an archive of images")]
    ManyMembers(PathBuf),
    #[error("{path}: {name:?} is there twice")]
    Twice { path: PathBuf, name: String },
    #[error("make a file for what is unpacked of an archive: {0}")]
    Spool(String),
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

    fn archive(path: &Path, place: &str, fault: layer::Fault) -> Self {
        Self::Archive {
            path: path.into(),
            place: Some(place.into()),
            fault,
        }
    }

    /// What a missing file is, where it is a blob's.
    fn of_blob(self, path: &Path, descriptor: &Descriptor) -> Self {
        match self {
            Self::Call {
                errno: Errno::ENOENT,
                ..
            } => Self::NoBlob(path.into(), descriptor.digest.clone()),
            other => other,
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

/// A blob of another size needs no hashing to be known for wrong.
fn check_size(path: &Path, descriptor: &Descriptor, found: u64) -> Result<(), Error> {
    match found == descriptor.size {
        true => Ok(()),
        false => Err(Error::Size {
            path: path.join(blob_path(&descriptor.digest)),
            found,
            wanted: descriptor.size,
        }),
    }
}

/// No more than a document may have, however large the file has become.
fn read_all(reader: impl Read, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = reader.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::call(path, "read", errno(error)))?;
    match bytes.len() as u64 > LARGEST {
        true => Err(Error::LargeDocument(path.into())),
        false => Ok(bytes),
    }
}
