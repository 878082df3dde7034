//! Where images are saved: a directory, or a file that becomes an archive.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde_json::Value;

use super::tar::{header, padding};
use super::{Error, Place};
use crate::image::documents::Index;
use crate::image::source::read_document;

/// A directory that has an OCI layout, or will have one.
#[derive(Debug)]
pub struct Directory {
    dir: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Makes it where it is not there. One with other things in it is left alone.
    pub fn open(path: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(path).map_err(Error::call(path, "make"))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = open(path, flags, Mode::empty());
        let dir = dir.map_err(|errno| Error::call(path, "open")(errno.into()))?;
        let own = Self {
            dir,
            path: path.into(),
        };
        let mut inside = std::fs::read_dir(path).map_err(Error::call(path, "list"))?;
        if inside.next().is_some() && !own.exists("oci-layout") {
            return Err(Error::NotLayout(path.into()));
        }
        for name in ["blobs", "blobs/sha256", "blobs/sha512"] {
            match mkdirat(&own.dir, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(Error::call(&path.join(name), "make")(errno.into())),
            }
        }
        Ok(own)
    }

    /// What its index has by now, as it is written.
    pub(super) fn entries(&self) -> Result<Vec<Value>, Error> {
        if !self.exists("index.json") {
            return Ok(Vec::new());
        }
        let bytes = read_document(self.dir.as_fd(), &self.path, "index.json")?;
        let fault = |cause| Error::Document {
            path: self.path.join("index.json"),
            cause,
        };
        Index::of_layout(&bytes).map_err(fault)?;
        let index: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(index["manifests"].as_array().cloned().unwrap_or_default())
    }

    fn exists(&self, name: &str) -> bool {
        fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }
}

impl Place for Directory {
    fn has(&self, name: &str, size: u64) -> bool {
        fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| stat.st_size.cast_unsigned() == size)
    }

    fn put(&mut self, name: &str, _: u64, content: &mut dyn Read) -> Result<(), Error> {
        let path = self.path.join(name);
        let new = format!("{name}.{}.new", std::process::id());
        let fault = |act| {
            let fault = Error::call(&path, act);
            move |errno: Errno| fault(errno.into())
        };
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o644);
        let file = openat(&self.dir, new.as_str(), flags, mode);
        let mut file = File::from(file.map_err(fault("create"))?);
        let written = io::copy(content, &mut file)
            .and_then(|_| file.sync_data())
            .map_err(Error::call(&self.path.join(name), "write"));
        let placed = written.and_then(|()| {
            renameat(&self.dir, new.as_str(), &self.dir, name).map_err(fault("place"))
        });
        if placed.is_err() {
            let _ = unlinkat(&self.dir, new.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        placed
    }
}

/// An archive that is being written.
#[derive(Debug)]
pub struct Archive<W> {
    out: W,
    path: PathBuf,
    names: HashSet<String>,
}

impl<W: Write> Archive<W> {
    /// `path` is for messages.
    pub fn new(out: W, path: &Path) -> Self {
        Self {
            out,
            path: path.into(),
            names: HashSet::new(),
        }
    }

    /// Ends it: without this it is cut short.
    pub fn finish(mut self) -> Result<W, Error> {
        self.out
            .write_all(&[0; 1024])
            .and_then(|()| self.out.flush())
            .map_err(Error::call(&self.path, "write"))?;
        Ok(self.out)
    }
}

impl<W: Write> Place for Archive<W> {
    fn has(&self, name: &str, _: u64) -> bool {
        self.names.contains(name)
    }

    fn put(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let fault = Error::call(&self.path, "write");
        self.out.write_all(&header(name, size)).map_err(&fault)?;
        let copied = io::copy(&mut content.take(size), &mut self.out).map_err(&fault)?;
        if copied != size {
            return Err(fault(io::ErrorKind::UnexpectedEof.into()));
        }
        self.out.write_all(&padding(size)).map_err(&fault)?;
        self.names.insert(name.into());
        Ok(())
    }
}
