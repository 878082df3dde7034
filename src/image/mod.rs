//! Images: from a registry or an archive to a root filesystem.
//!
//! ```text
//! Source ──take──▶ Store (blobs, verified) ──unpack──▶ layers ──▶ a container's root (overlay, or a flat tree)
//! ```

pub mod bundle;
pub mod digest;
pub mod documents;
pub mod layer;
pub mod name;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod save;
pub mod source;
pub mod store;
pub mod take;
pub mod unpack;
pub mod users;

pub use digest::{Digest, Hasher};
pub use name::Name;
pub use platform::Platform;
pub use progress::{Event, Progress};
pub use reference::Reference;
pub use store::Store;
