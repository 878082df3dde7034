//! What can go wrong with AWS, in words for the user.

use std::io;
use std::path::PathBuf;

use crate::net;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no AWS credentials: none in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in profile {profile:?} of the \
         shared files, at a container's or an instance's endpoint{also}"
    )]
    NoCredentials {
        profile: String,
        /// What is set, and not supported.
        also: String,
    },
    #[error("no AWS region: set AWS_REGION, or region in profile {profile:?} of ~/.aws/config")]
    NoRegion { profile: String },
    /// `AWS_PROFILE` names one that neither file has.
    #[error("AWS_PROFILE: neither of the shared files has a profile {0:?}")]
    NoProfile(String),
    #[error("{}: line {line}: neither [section] nor key = value", path.display())]
    Profile { path: PathBuf, line: usize },
    #[error("{}: profile {profile:?}: {key} is not supported; {instead}", path.display())]
    NotSupported {
        path: PathBuf,
        profile: String,
        key: String,
        instead: &'static str,
    },
    #[error("{}: profile {profile:?}: it has no {key}", path.display())]
    Half {
        path: PathBuf,
        profile: String,
        key: &'static str,
    },
    #[error("read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("credential_process of profile {profile:?}: {why}")]
    Process { profile: String, why: String },
    /// A variable whose value cannot be used.
    #[error("{variable}: {why}")]
    Variable { variable: String, why: String },
    #[error("credentials from {from}: {why}")]
    Source { from: String, why: String },
    #[error("credentials from the {from}'s endpoint: {cause}")]
    Endpoint {
        from: &'static str,
        cause: net::Error,
    },
    #[error("{action}: {cause}")]
    Call { action: String, cause: net::Error },
    /// A reply that says no.
    #[error("{action} at {endpoint}: {code}: {message} (status {status})")]
    Refused {
        action: String,
        endpoint: String,
        status: u16,
        code: String,
        message: String,
    },
    #[error("{action} at {endpoint}: the reply is not what it should be: {why}")]
    Reply {
        action: String,
        endpoint: String,
        why: String,
    },
}

impl Error {
    /// Whether the credentials were good once: new ones may do.
    pub(super) fn is_expiry(&self) -> bool {
        matches!(self, Self::Refused { code, .. }
            if matches!(code.as_str(), "ExpiredToken" | "ExpiredTokenException" | "RequestExpired"))
    }

    /// Whether the same call may succeed in a while.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Endpoint { cause, .. } | Self::Call { cause, .. } => cause.is_transient(),
            Self::Refused { status, code, .. } => {
                *status >= 500 || *status == 429 || code.contains("Throttl")
            }
            _ => false,
        }
    }
}
