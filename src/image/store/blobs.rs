//! Blobs: from a stream to a file that has its digest for its name.

use std::fs::File;
use std::io::{self, Read, Write};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};

use super::{Error, Scratch, Store};
use crate::image::documents::Descriptor;
use crate::image::source::{blob_path, open_blob};
use crate::image::{Digest, Hasher};

impl Store {
    /// Whether the blob is there with its size. [`super::Using`] keeps it there.
    pub fn has_blob(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        let name = blob_path(&descriptor.digest);
        match fstatat(&self.dir, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(stat.st_size.cast_unsigned() == descriptor.size),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(self.fault(&name, "look at")(errno)),
        }
    }

    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<File, Error> {
        Ok(open_blob(self.dir(), &self.path, descriptor)?)
    }

    /// A whole document; what it says decides what is run, so that it is held against its digest each time.
    pub fn read_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut file = self.open_blob(descriptor)?;
        let read = file.read_to_end(&mut bytes);
        read.map_err(|error| {
            self.fault(&blob_path(&descriptor.digest), "read")(crate::sys::errno(&error))
        })?;
        let mut hasher = Hasher::new(descriptor.digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found != descriptor.digest {
            let path = self.path.join(blob_path(&descriptor.digest));
            return Err(Error::Changed { path, found });
        }
        Ok(bytes)
    }

    /// Puts a blob that is whole and durable into its place.
    pub(super) fn place_blob(&self, scratch: &Scratch, digest: &Digest) -> Result<(), Error> {
        let name = blob_path(digest);
        let own = scratch_name(digest);
        renameat(scratch.dir(), own.as_str(), &self.dir, name.as_str())
            .map_err(self.fault(&name, "place"))
    }
}

fn scratch_name(digest: &Digest) -> String {
    format!("blob-{}", digest.hex())
}

impl Scratch {
    /// Writes a small blob.
    pub fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.create_blob(digest)?;
        file.write_all(bytes)
            .map_err(|error| self.blob_fault(digest, &error))
    }

    /// A blob that was written here, from its beginning.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let name = scratch_name(digest);
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(self.dir(), name.as_str(), flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| Error::call(&self.path().join(name), "open", errno))
    }

    pub fn create_blob(&self, digest: &Digest) -> Result<File, Error> {
        self.create(&scratch_name(digest))
    }

    /// What a failing write of a blob is.
    pub fn blob_fault(&self, digest: &Digest, error: &io::Error) -> Error {
        let path = self.path().join(scratch_name(digest));
        Error::call(&path, "write", crate::sys::errno(error))
    }
}
