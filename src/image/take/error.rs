//! Why an image was not taken.

use std::io;

use crate::image::documents::{self, Descriptor};
use crate::image::{Digest, Platform, layer, source, store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Source(#[from] source::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error("document {digest}: {cause}")]
    Document {
        digest: Digest,
        cause: documents::Error,
    },
    #[error("blob {blob}: what came has the digest {found}")]
    Digest { blob: Digest, found: Digest },
    #[error("blob {blob}: {found} bytes came, and its descriptor says {wanted}")]
    Size {
        blob: Digest,
        found: u64,
        wanted: u64,
    },
    #[error("blob {blob}: more came than the {wanted} bytes that its descriptor says")]
    Long { blob: Digest, wanted: u64 },
    #[error("blob {blob}: read: {cause}")]
    Read { blob: Digest, cause: io::Error },
    #[error("there is no image for {wanted}; there is {}", list(.offered))]
    NoPlatform {
        wanted: Box<Platform>,
        offered: Vec<String>,
    },
    #[error("the image is for {found}, and not for {wanted}; --platform {found} takes it")]
    OtherPlatform {
        found: Box<Platform>,
        wanted: Box<Platform>,
    },
    #[error("{root}: more than {deepest} indexes lead to one another")]
    Deep { root: Digest, deepest: usize },
    /// Another thread has failed; its error is the one to be told.
    #[error("given up")]
    GivenUp,
}

fn list(offered: &[String]) -> String {
    match offered {
        [] => "none".into(),
        offered => offered.join(", "),
    }
}

impl Error {
    pub(super) fn document(descriptor: &Descriptor) -> impl Fn(documents::Error) -> Self + use<> {
        let digest = descriptor.digest.clone();
        move |cause| Self::Document {
            digest: digest.clone(),
            cause,
        }
    }
}
