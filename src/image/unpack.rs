//! A bundle of an image: its layers as one tree, and a config.json that any OCI runtime runs.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Platform;
use super::bundle::{self, Settings};
use super::layer::{self, Unpacked, Unpacking};
use super::source::Source;
use super::store::{self, Scratch};
use super::take::{self, choose};
use super::users::{self, Users};
use crate::sys::{errno, reason};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} is there, and is not an empty directory")]
    Exists(PathBuf),
    #[error("{0} is no name of a directory")]
    NoName(PathBuf),
    #[error("{path}: {act}: {}", reason(*.errno))]
    Call {
        path: PathBuf,
        act: &'static str,
        errno: Errno,
    },
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Take(#[from] take::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error(transparent)]
    Users(#[from] users::Error),
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
}

/// A bundle in the making, beside what it is to become: a failed one leaves nothing, and what a killed one
/// leaves is removed by the next.
#[derive(Debug)]
pub struct Draft {
    scratch: Scratch,
    name: std::ffi::OsString,
}

impl Draft {
    /// `path` is not there, or is an empty directory.
    pub fn begin(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(fault(path, "find"))?;
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::NoName(path));
        };
        match fs::read_dir(&path).map(|mut inside| inside.next().is_none()) {
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return Err(Error::Exists(path)),
        }
        fs::create_dir_all(above).map_err(fault(above, "make"))?;
        Ok(Self {
            scratch: Scratch::beside(above, &prefix(name))?,
            name: name.into(),
        })
    }

    /// A file without a name, for what of the source cannot be read where it lies.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Unpacks the image that the source has for this platform, and makes its config.json. What came of
    /// each layer is returned, bottom first.
    pub fn finish(
        self,
        source: &dyn Source,
        platform: Option<&Platform>,
        how: &Unpacking,
        settings: &Settings,
    ) -> Result<Vec<Unpacked>, Error> {
        let chosen = choose(source, platform)?;
        let root = self.scratch.make_open_dir("rootfs")?;
        let blob =
            |layer: &super::documents::Layer| source.blob(&layer.blob).map_err(io::Error::other);
        let unpacked = layer::flatten(&chosen.layers, blob, root.as_fd(), how)?;
        for (layer, done) in chosen.layers.iter().zip(&unpacked) {
            done.dropped.warn(&layer.blob.digest);
        }

        let users = Users::read(root.as_fd())?;
        let mut settings = settings.clone();
        let process = &chosen.parsed.process;
        if process.entrypoint.is_empty() && process.cmd.is_empty() {
            // What `runc spec` has: who makes a bundle may still say another thing in its config.json.
            settings.args = vec!["sh".into()];
        }
        let document = bundle::document(&chosen.parsed, &users, &settings)?;
        let path = self.scratch.path().join("config.json");
        self.scratch
            .create("config.json")?
            .write_all(format!("{document:#}\n").as_bytes())
            .map_err(fault(&path, "write"))?;
        self.scratch.become_whole(&self.name)?;
        Ok(unpacked)
    }
}

fn prefix(name: &OsStr) -> String {
    format!(".{}.unpacking-", name.to_string_lossy())
}

fn fault(path: &Path, act: &'static str) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::Call {
        path: path.clone(),
        act,
        errno: errno(&error),
    }
}
