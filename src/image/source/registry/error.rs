//! What can go wrong at a registry, in words for the user.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::image::Digest;
use crate::image::documents::LARGEST;
use crate::{aws, net};

#[derive(Debug, thiserror::Error)]
#[error("{image}: {cause}")]
pub struct Error {
    pub image: String,
    pub cause: Box<Cause>,
}

impl Error {
    pub(super) fn new(image: impl ToString, cause: Cause) -> Self {
        Self {
            image: image.to_string(),
            cause: Box::new(cause),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("the registry is blocked by registries.conf")]
    Blocked,
    #[error("read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    /// A host that no address can be made of.
    #[error("registry {host}: {cause}")]
    Host {
        host: String,
        cause: net::url::UrlError,
    },
    #[error("registry {host}: {cause}")]
    Network { host: String, cause: net::Error },
    /// 401, or 403, with what was shown to it.
    #[error("registry {host}: {}{}", refusal(*status, shown), said(message))]
    Unauthorized {
        host: String,
        status: u16,
        shown: Shown,
        message: String,
    },
    #[error("registry {host}: it has no {what}{}", said(message))]
    NotFound {
        host: String,
        what: String,
        message: String,
    },
    #[error("registry {host}: too many requests{}{}", again(after), said(message))]
    TooMany {
        host: String,
        /// How long it asked us to wait, if it did.
        after: Option<Duration>,
        message: String,
    },
    #[error("registry {host}: status {status} for {what}{}", said(message))]
    Status {
        host: String,
        status: u16,
        what: String,
        message: String,
    },
    #[error("registry {host}: token server: {why}")]
    Token { host: String, why: String },
    #[error("registry {host}: {cause}")]
    Aws {
        host: String,
        cause: Box<aws::Error>,
    },
    #[error("registry {host}: credential helper {helper}: {why}")]
    Helper {
        host: String,
        helper: String,
        why: String,
    },
    #[error("registry {host}: asked for {wanted}, it sent {found}")]
    Digest {
        host: String,
        wanted: Digest,
        found: Digest,
    },
    /// By its headers, so that nothing of it need be read. It will not be another the next time.
    #[error(
        "registry {host}: {digest}: it announces {announced} bytes from {start} on, and the blob has {size}"
    )]
    Length {
        host: String,
        digest: Digest,
        announced: u64,
        start: u64,
        size: u64,
    },
    #[error("registry {host}: it sent no manifest, but something of type {media_type:?}")]
    NoManifest { host: String, media_type: String },
    #[error("registry {host}: {digest}: {why}")]
    Blob {
        host: String,
        digest: Digest,
        why: String,
    },
    #[error("registry {host}: a document has {LARGEST} bytes at most, and this one more")]
    LargeDocument { host: String },
}

/// What a registry that refused us had been shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    Credentials,
    /// A token that was given to nobody in particular.
    AnonymousToken,
    Token,
}

fn refusal(status: u16, shown: &Shown) -> String {
    let act = match shown {
        Shown::Nothing | Shown::AnonymousToken => {
            "it wants credentials, and there are none for it (log in with docker, podman or skopeo, or give --creds)"
        }
        Shown::Credentials => "it refuses the credentials for it",
        Shown::Token => "it refuses the token that its token server gave for the credentials",
    };
    match status {
        403 if !matches!(shown, Shown::Nothing | Shown::AnonymousToken) => {
            "the credentials for it do not allow this".into()
        }
        _ => format!("{act}, or there is no such image"),
    }
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!("; it says: {message}")
    }
}

fn again(after: &Option<Duration>) -> String {
    after.map_or(String::new(), |after| {
        format!(", again in {} s", after.as_secs())
    })
}

impl Cause {
    /// Whether the same may succeed in a while.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { cause, .. } => cause.is_transient(),
            Self::Aws { cause, .. } => cause.is_transient(),
            Self::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
            Self::TooMany { .. } | Self::Blob { .. } => true,
            _ => false,
        }
    }

    pub(super) fn is_of_name(&self) -> bool {
        matches!(self, Self::Network { cause, .. } if matches!(cause.cause, net::Cause::Name(_)))
    }

    /// How long the registry asked us to wait.
    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { after, .. } => *after,
            _ => None,
        }
    }
}
