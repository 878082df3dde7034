//! What can go wrong with a request, in words for the user.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::names;
use super::url::UrlError;

/// A request that had no reply, or whose reply could not be read to its end. A reply that says no is
/// none of these: it has a status.
#[derive(Debug, thiserror::Error)]
#[error("{request}: {cause}")]
pub struct Error {
    /// Method and address, without the query.
    pub request: String,
    pub cause: Cause,
}

#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error(transparent)]
    Name(names::Error),
    /// No certificate at all was found.
    #[error(
        "there are no CA certificates to check the server's by: none in $SSL_CERT_FILE, $SSL_CERT_DIR, \
         /etc/ssl/certs, /etc/pki/tls/certs or where other distributions keep them; install ca-certificates"
    )]
    NoRoots,
    #[error("read certificates from {}: {why}", path.display())]
    Roots { path: PathBuf, why: String },
    #[error("TLS: {0}")]
    Tls(String),
    #[error("{act}: nothing for {} s", after.as_secs())]
    TimedOut { act: &'static str, after: Duration },
    /// It comes, but so slowly that it may be meant to keep us.
    #[error("read: too little in {} s", .0.as_secs())]
    Slow(Duration),
    #[error("{0}")]
    Io(io::Error),
    #[error("{variable}: {why}")]
    Proxy {
        /// The variable of the environment that names it.
        variable: &'static str,
        why: String,
    },
    #[error("not as HTTP has it: {0}")]
    Protocol(String),
    #[error("sent on to {0}: too many times, or for nothing")]
    Redirects(String),
    #[error("sent on to a place that cannot be: {0}")]
    Location(#[from] UrlError),
    /// HTTPS sent us to HTTP, or HTTP was not allowed in the first place.
    #[error(
        "{0} is not encrypted, and only this machine is spoken to like that unless told otherwise"
    )]
    Plain(String),
    #[error("the reply is longer than {0} bytes")]
    TooLong(u64),
}

impl Error {
    /// Whether the same request may do better in a while.
    pub fn is_transient(&self) -> bool {
        match &self.cause {
            Cause::Name(error) => error.is_transient(),
            Cause::TimedOut { .. } | Cause::Slow(_) | Cause::Io(_) | Cause::Protocol(_) => true,
            _ => false,
        }
    }
}

impl Cause {
    /// What the HTTP library says, in our words.
    pub(super) fn new(error: ureq::Error, times: &super::client::Times) -> Self {
        match error {
            ureq::Error::Timeout(which) => Self::timed_out(which, times),
            ureq::Error::Io(error) => Self::from_io(error, times),
            ureq::Error::Rustls(error) => Self::Tls(error.to_string()),
            ureq::Error::Tls(why) => Self::Tls(why.into()),
            ureq::Error::ConnectProxyFailed(why) => Self::Protocol(format!("the proxy: {why}")),
            ureq::Error::Other(error) => match error.downcast::<names::Error>() {
                Ok(error) => Self::Name(*error),
                Err(error) => Self::Protocol(error.to_string()),
            },
            other => Self::Protocol(other.to_string()),
        }
    }

    /// The library wraps its own errors where `Read` allows only these; TLS does, too.
    pub(super) fn from_io(error: io::Error, times: &super::client::Times) -> Self {
        let kind = error.kind();
        if let Some(inner) = error.get_ref() {
            if let Some(error) = inner.downcast_ref::<rustls::Error>() {
                return Self::Tls(error.to_string());
            }
            if let Some(ureq::Error::Timeout(which)) = inner.downcast_ref() {
                return Self::timed_out(*which, times);
            }
        }
        match kind {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut {
                act: "read",
                after: times.stall,
            },
            _ => Self::Io(error),
        }
    }

    fn timed_out(which: ureq::Timeout, times: &super::client::Times) -> Self {
        let (act, after) = match which {
            ureq::Timeout::Connect | ureq::Timeout::Resolve => ("connect", times.connect),
            ureq::Timeout::PerWrite => ("write", times.stall),
            _ => ("read", times.stall),
        };
        Self::TimedOut { act, after }
    }
}
