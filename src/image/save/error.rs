//! Why an image was not saved.

use std::io;
use std::path::{Path, PathBuf};

use crate::image::{documents, source, store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error("{path}: {act}: {}", shown(.cause))]
    Call {
        path: PathBuf,
        act: &'static str,
        cause: io::Error,
    },
    #[error("{path}: {cause}")]
    Document {
        path: PathBuf,
        cause: documents::Error,
    },
    #[error("{0} is there, and is neither empty nor an OCI layout")]
    NotLayout(PathBuf),
}

fn shown(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => crate::sys::reason(nix::errno::Errno::from_raw(number)),
        None => error.to_string(),
    }
}

impl Error {
    pub(super) fn call(path: &Path, act: &'static str) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::Call {
            path: path.clone(),
            act,
            cause,
        }
    }
}
