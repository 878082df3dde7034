//! A directory that has an OCI image layout, and that other programs may write to while we read it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::oci::Files;
use super::{Content, Error, read_all};
use crate::image::Digest;
use crate::image::documents::Descriptor;
use crate::sys::path;

/// An open layout. Everything is opened under the directory's descriptor, and nothing that is not a plain
/// file in it: a link could lead out of it, and a fifo would hold us up.
#[derive(Debug)]
pub(super) struct Directory {
    dir: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let name = super::c_path(path)?;
        let dir = path::open(path::HERE, &name, flags, path::Resolve::Host);
        Ok(Self {
            dir: dir.map_err(|errno| Error::call(path, "open", errno))?,
            path: path.into(),
        })
    }
}

impl Files for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &str) -> Result<Content, Error> {
        let (file, size) = open_file(self.dir.as_fd(), &self.path, name)?;
        // No more than what it had: it may grow while it is read.
        let reader = Box::new(file.take(size));
        Ok(Content { reader, size })
    }
}

/// Where a layout has a blob.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// Opens a blob of the layout `dir`; `path` is for messages. It has the size that the descriptor gives.
pub fn open_blob(dir: BorrowedFd<'_>, path: &Path, descriptor: &Descriptor) -> Result<File, Error> {
    let name = blob_path(&descriptor.digest);
    let opened = open_file(dir, path, &name);
    let (file, size) = opened.map_err(|error| error.of_blob(path, descriptor))?;
    super::check_size(path, descriptor, size)?;
    Ok(file)
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
