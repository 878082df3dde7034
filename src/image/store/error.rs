//! What can be wrong with the store.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::image::{Digest, documents, source};
use crate::sys::reason;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {act}: {}", reason(*.errno))]
    Call {
        path: PathBuf,
        act: &'static str,
        errno: Errno,
    },
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error("{path}: {cause}")]
    Document {
        path: PathBuf,
        cause: documents::Error,
    },
    #[error(
        "{path}: its content is {found}: the disk or somebody has changed it; \"image rm\" and take it again"
    )]
    Changed { path: PathBuf, found: Digest },
    #[error("{path}: {cause}")]
    Record {
        path: PathBuf,
        cause: serde_json::Error,
    },
    #[error("{0}: no such image here")]
    NoImage(String),
    #[error("{text:?} is the beginning of several images' ids: {}", .ids.join(", "))]
    Ambiguous { text: String, ids: Vec<String> },
    #[error("layer {diff_id} of the image is not unpacked here")]
    NoLayer { diff_id: Digest },
    #[error("container {0:?} is there already")]
    ContainerExists(String),
    #[error("image {image} is used by {}; --force removes its name only", list(.containers))]
    InUse {
        image: String,
        containers: Vec<String>,
    },
}

fn list(containers: &[String]) -> String {
    let quoted: Vec<String> = containers
        .iter()
        .map(|id| format!("container {id:?}"))
        .collect();
    quoted.join(", ")
}

impl Error {
    pub(super) fn call(path: &Path, act: &'static str, errno: Errno) -> Self {
        Self::Call {
            path: path.into(),
            act,
            errno,
        }
    }
}
