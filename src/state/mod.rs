//! Records and locks: what one command leaves for the next.
//!
//! ```text
//! ROOT/            0700
//!   ID/            0711, locked (flock) by the command that changes the container
//!     state.json   0600, replaced by rename: readers need no lock
//!     notify/      0755, where a container says that it is ready, if somebody waits for it
//! ```
//!
//! Nothing here is synced to a disk: the state root is a tmpfs and dies with the containers that it
//! tells of.

mod holder;
pub mod pid_file;
pub mod record;
mod root;
mod slot;
mod store;

use std::path::PathBuf;

use nix::errno::Errno;

pub use crate::sys::time::Time;
pub use record::{End, Exit, Identity, LaterHooks, Phase, Record};
pub use root::{default_root, in_user_namespace};
pub use slot::Slot;
pub use store::{Listed, Store};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("container with given ID already exists")]
    Exists,
    #[error("container does not exist")]
    Missing,
    /// Not JSON, half of it, or not our layout.
    #[error("{path}: not the record of a container: {cause}")]
    Damaged {
        path: PathBuf,
        cause: serde_json::Error,
    },
    #[error(
        "{path}: record version {found}, this program reads {}",
        record::VERSION
    )]
    Version { path: PathBuf, found: u32 },
    /// Only a path that is not UTF-8 cannot be written.
    #[error("{path}: cannot be written as JSON: {cause}")]
    Encode {
        path: PathBuf,
        cause: serde_json::Error,
    },
    #[error("{path}: {act}: {}", .errno.desc().to_ascii_lowercase())]
    Call {
        path: PathBuf,
        act: &'static str,
        errno: Errno,
    },
}
