//! Why a layer was not unpacked.

use std::io;

use nix::errno::Errno;

use crate::image::Digest;
use crate::sys::reason;

/// Names the layer by its blob, where in it, and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer}: {}{fault}", place.as_deref().map(|p| format!("{p}: ")).unwrap_or_default())]
pub struct Error {
    pub layer: Digest,
    /// An entry by its name, or the position of a header in the archive; `None`: the layer as a whole.
    pub place: Option<String>,
    pub fault: Fault,
}

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    // --- the blob ---
    #[error("read: {0}")]
    Read(io::Error),
    #[error("the blob ended after {found} bytes, and its descriptor says {wanted}")]
    Shorter { found: u64, wanted: u64 },
    #[error("the blob has more than the {wanted} bytes that its descriptor says")]
    Longer { wanted: u64 },
    #[error("the blob's digest is {found}")]
    Digest { found: Digest },
    #[error("the archive's digest is {found}, and its diff id is {wanted}")]
    DiffId { found: Digest, wanted: Digest },

    // --- its packing ---
    #[error("the {0} stream is cut short")]
    Truncated(&'static str),
    #[error("the gzip stream has no trailer")]
    NoTrailer,
    #[error("the gzip trailer's checksum or length is not that of its content")]
    WrongTrailer,
    #[error("something that is not {0} follows the {0} stream")]
    Garbage(&'static str),
    #[error("not a {0} stream")]
    NotPacked(&'static str),
    #[error("{packing}: {cause}")]
    Corrupt {
        packing: &'static str,
        cause: String,
    },
    #[error("zstd: a frame wants more than the {} MiB of memory that are given to one", .0 >> 20)]
    Window(u64),

    // --- the archive ---
    #[error("the archive is cut short")]
    Cut,
    #[error("the header's checksum is wrong")]
    Checksum,
    #[error("a block of zeros is followed by something else")]
    LoneZeros,
    #[error("something follows the end of the archive")]
    AfterEnd,
    #[error("{field}: {cause}")]
    Field {
        field: &'static str,
        cause: &'static str,
    },
    #[error("PAX record: {0}")]
    Pax(&'static str),
    #[error("PAX record {0:?} is there twice")]
    PaxTwice(String),
    #[error("a global PAX record {0:?}: engines ignore it and others obey it")]
    Global(String),
    #[error("extended headers without an entry")]
    NoEntry,
    #[error("a second extended header of one kind")]
    HeaderTwice,
    #[error("an extended header of {0} bytes; {1} at most are read")]
    LongHeader(u64, u64),
    #[error("the header says {header} bytes, and the PAX record {pax}")]
    Sizes { header: u64, pax: u64 },
    #[error("type flag {0:?} is not supported")]
    Kind(char),
    #[error("an entry of this kind has no content, and its header says {0} bytes")]
    Content(u64),
    #[error("holes: {0}")]
    Holes(&'static str),

    // --- an entry ---
    #[error("name: {0}")]
    Name(&'static str),
    #[error("it is the root, which can only be a directory")]
    Root,
    #[error("link: {0}")]
    Link(&'static str),
    #[error("{0:?} is no name that a whiteout can have")]
    Whiteout(String),
    #[error("the directory above it is something else: {0:?}")]
    Parent(String),
    #[error("too many links on the way to it")]
    Links,
    #[error("extended attribute {0} is not taken from an image")]
    Xattr(String),
    #[error("a device is not taken from this image")]
    Device,
    #[error("a device 0:0, which overlay takes for a whiteout")]
    WhiteoutDevice,
    #[error("{field} {id} is not mapped in this user namespace")]
    Unmapped { field: &'static str, id: u32 },

    // --- limits ---
    #[error("with it the layer has more than {0} bytes (--max-size)")]
    Size(u64),
    #[error("the layer has more than {0} entries")]
    Entries(u64),
    #[error("it unpacks to more than {0} times its size")]
    Ratio(u64),
    #[error(
        "what the layer takes from those below it or removes is more than can be held: {0} names"
    )]
    Leanings(usize),

    // --- the system ---
    #[error("{act}: {}", reason(*errno))]
    Call { act: &'static str, errno: Errno },
}

impl Fault {
    /// For `map_err`: what was being done.
    pub(super) fn call(act: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::Call { act, errno }
    }

    /// Whether the blob may be another than its descriptor says, which would be the thing to be told.
    pub(super) fn is_of_bytes(&self) -> bool {
        !matches!(
            self,
            Self::Size(_)
                | Self::Entries(_)
                | Self::Ratio(_)
                | Self::Leanings(_)
                | Self::Call { .. }
                | Self::Read(_)
        )
    }

    pub(super) fn corrupt(packing: &'static str, cause: impl ToString) -> Self {
        Self::Corrupt {
            packing,
            cause: cause.to_string(),
        }
    }
}
