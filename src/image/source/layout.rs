//! An OCI image layout: a directory that other programs may write to while we read it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Error, Source, pick};
use crate::image::Digest;
use crate::image::documents::{Descriptor, Index, LARGEST};
use crate::sys::{errno, path};

/// One image of a layout. Everything is opened under the directory's descriptor, and nothing that is not a
/// plain file in it: a link could lead out of it, and a fifo would hold us up.
#[derive(Debug)]
pub struct Layout {
    dir: OwnedFd,
    path: PathBuf,
    root: (Descriptor, Vec<u8>),
}

impl Layout {
    /// The image of the layout at `path` that is called `tag`; without one, the only image there.
    pub fn open(path: &Path, tag: Option<&str>) -> Result<Self, Error> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let name = super::c_path(path)?;
        let dir = path::open(path::HERE, &name, flags, path::Resolve::Host);
        let dir = dir.map_err(|errno| Error::call(path, "open", errno))?;
        let version = read_document(dir.as_fd(), path, "oci-layout")?;
        super::check_layout_version(path, &version)?;
        let index = read_document(dir.as_fd(), path, "index.json")?;
        let index =
            Index::of_layout(&index).map_err(|cause| Error::document(path, "index.json", cause))?;
        let read = |descriptor: &Descriptor| blob_document(dir.as_fd(), path, descriptor);
        let root = pick::root(path, &index, tag, read)?;
        Ok(Self {
            dir,
            path: path.into(),
            root,
        })
    }
}

impl Source for Layout {
    fn root(&self) -> Result<(Descriptor, Vec<u8>), Error> {
        Ok(self.root.clone())
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        blob_document(self.dir.as_fd(), &self.path, descriptor)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        let file = open_blob(self.dir.as_fd(), &self.path, descriptor)?;
        Ok(Box::new(file))
    }
}

/// Where a layout has a blob.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// Opens a blob of the layout `dir`; `path` is for messages. It has the size that the descriptor gives.
pub fn open_blob(dir: BorrowedFd<'_>, path: &Path, descriptor: &Descriptor) -> Result<File, Error> {
    let name = blob_path(&descriptor.digest);
    let (file, size) = match open_file(dir, path, &name) {
        Err(Error::Call {
            errno: Errno::ENOENT,
            ..
        }) => return Err(Error::NoBlob(path.into(), descriptor.digest.clone())),
        opened => opened?,
    };
    match size == descriptor.size {
        true => Ok(file),
        false => Err(Error::Size {
            path: path.join(name),
            found: size,
            wanted: descriptor.size,
        }),
    }
}

fn blob_document(
    dir: BorrowedFd<'_>,
    path: &Path,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, Error> {
    super::check_document_size(descriptor)?;
    let file = open_blob(dir, path, descriptor)?;
    read_all(file, &path.join(blob_path(&descriptor.digest)))
}

/// Reads a whole document beside the blobs.
pub fn read_document(dir: BorrowedFd<'_>, path: &Path, name: &str) -> Result<Vec<u8>, Error> {
    let (file, _) = open_file(dir, path, name)?;
    read_all(file, &path.join(name))
}

/// The file itself and its size.
fn open_file(dir: BorrowedFd<'_>, path: &Path, name: &str) -> Result<(File, u64), Error> {
    let whole = path.join(name);
    let c_name = super::c_path(Path::new(name))?;
    // O_NONBLOCK: a fifo's opening does not wait for a writer.
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let fd = match path::open(dir, &c_name, flags, path::Resolve::Beneath) {
        // What is a link on the way, a socket, or on another mount.
        Err(Errno::ELOOP | Errno::ENXIO | Errno::EXDEV) => return Err(Error::NotFile(whole)),
        opened => opened.map_err(|errno| Error::call(&whole, "open", errno))?,
    };
    let stat = path::stat(fd.as_fd()).map_err(|errno| Error::call(&whole, "look at", errno))?;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => Ok((File::from(fd), stat.st_size.cast_unsigned())),
        _ => Err(Error::NotFile(whole)),
    }
}

/// No more than a document may have, however large the file has become.
fn read_all(file: File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::call(path, "read", errno(error)))?;
    match bytes.len() as u64 > LARGEST {
        true => Err(Error::LargeDocument(path.into())),
        false => Ok(bytes),
    }
}
