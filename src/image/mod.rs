//! Images: from a registry or an archive to a root filesystem.
//!
//! ```text
//! Source ──take──▶ Store (blobs, verified) ──unpack──▶ layers ──▶ a container's root (overlay, or a flat tree)
//! ```

pub mod digest;

pub use digest::{Digest, Hasher};
