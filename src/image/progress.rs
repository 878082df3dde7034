//! What is told while an image comes.

use serde::Serialize;

use super::Digest;

/// Whoever is told: from several threads at once.
pub trait Progress: Send + Sync {
    fn tell(&self, event: Event<'_>);
}

/// Layers are known by the digest of their blob. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The store had it already.
    Known {
        blob: &'a Digest,
        size: u64,
    },
    /// It is on its way.
    Fetching {
        blob: &'a Digest,
        size: u64,
    },
    /// So much more of it has come.
    Came {
        blob: &'a Digest,
        bytes: u64,
    },
    /// It is whole, and is what it is called.
    Fetched {
        blob: &'a Digest,
    },
    Unpacking {
        blob: &'a Digest,
    },
    Unpacked {
        blob: &'a Digest,
        entries: u64,
        bytes: u64,
    },
}

/// Nobody listens.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn tell(&self, _: Event<'_>) {}
}
