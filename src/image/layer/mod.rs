//! Layers: from a blob to a tree under one descriptor, in one pass.
//!
//! ```text
//! stream ──▶ hash ──▶ unpack ──▶ hash ═══pipe═══▶ read the archive ──▶ write the tree
//!         one thread, which ends at the blob's end       another, with a umask of its own
//! ```
//!
//! Nothing of a layer is believed: sizes and digests are checked to the last byte, and what the archive names
//! stays under the descriptor. On an error what was written stays: the caller unpacks into a directory of its
//! own, which becomes a layer by rename when it is whole, and is removed by descriptors when it is not.

mod below;
mod blob;
mod complete;
mod direct;
mod dress;
mod error;
mod flatten;
mod leanings;
mod merge;
mod names;
mod packing;
mod pipe;
mod policy;
pub mod tar;
mod walk;
mod whiteouts;
mod write;

pub use complete::complete;
pub use error::{Error, Fault};
pub use flatten::flatten;
pub use leanings::Leanings;
pub use policy::{Devices, Form, Limits, Owners, Unpacking};
pub use write::{Dropped, Removed, Unpacked};

use std::io::{BufRead, Read};
use std::os::fd::BorrowedFd;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

use self::blob::{Blob, End};
use self::tar::Reader;
use self::write::Writer;
use super::documents::Layer;

/// Unpacks one layer into the empty directory `into`. A layer that takes something from those below it is to
/// be completed from them; see [`Unpacked::leanings`].
pub fn unpack(
    stream: impl Read + Send,
    layer: &Layer,
    into: BorrowedFd<'_>,
    how: &Unpacking,
) -> Result<Unpacked, Error> {
    let (input, mut output) = pipe::pipe();
    let ((blob, end), written) = thread::scope(|scope| {
        // Moved into it: the pipe ends with the thread.
        let pumping = scope.spawn(move || {
            let input = input;
            blob::pump(stream, layer, &how.limits, &input)
        });
        let writing = scope.spawn(move || {
            // The mask is the whole process's, unless the thread has its own.
            let has_own_mask = unshare(CloneFlags::CLONE_FS).is_ok();
            if has_own_mask {
                umask(Mode::empty());
            }
            write_tree(&mut output, into, how, has_own_mask)
        });
        let written = writing.join();
        let pumped = pumping.join();
        (
            pumped.expect("a thread does not panic"),
            written.expect("a thread does not panic"),
        )
    });
    verdict(layer, blob, end, written)
}

/// Writes the tree of an archive.
///
/// `has_no_mask`: the caller's umask is 0. For an archive that comes from no blob; what it was when an error
/// is found is said before the fault.
pub fn write_tree(
    archive: impl BufRead,
    into: BorrowedFd<'_>,
    how: &Unpacking,
    has_no_mask: bool,
) -> Result<Unpacked, (Option<String>, Fault)> {
    let mut writer = Writer::new(into, how, has_no_mask).map_err(|fault| (None, fault))?;
    let mut reader = Reader::new(archive);
    loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return writer.finish().map_err(|fault| (None, fault)),
            Err(fault) => return Err((Some(reader.place()), fault)),
        };
        writer
            .write(&entry, &mut reader)
            .map_err(|fault| (Some(reader.place()), fault))?;
    }
}

/// Which of the faults is told. A blob that is not what its descriptor says comes first, since all else may be
/// a consequence; but nothing more is read of one that is refused for its size.
fn verdict<R: Read>(
    layer: &Layer,
    blob: Option<Blob<R>>,
    end: End,
    written: Result<Unpacked, (Option<String>, Fault)>,
) -> Result<Unpacked, Error> {
    let error = |place, fault| Error {
        layer: layer.blob.digest.clone(),
        place,
        fault,
    };
    let diff_id = match end {
        End::Fault(fault) if !fault.is_of_bytes() => return Err(error(None, fault)),
        End::Fault(fault) => {
            check(blob, layer).map_err(|fault| error(None, fault))?;
            return Err(error(None, fault));
        }
        End::Whole(digest) => Some(digest),
        End::Unwanted => None,
    };
    let written = match written {
        Err((place, fault)) if !fault.is_of_bytes() => return Err(error(place, fault)),
        other => {
            check(blob, layer).map_err(|fault| error(None, fault))?;
            other.map_err(|(place, fault)| error(place, fault))?
        }
    };
    match diff_id {
        Some(found) if found != layer.diff_id => Err(error(
            None,
            Fault::DiffId {
                found,
                wanted: layer.diff_id.clone(),
            },
        )),
        Some(_) => Ok(written),
        // Who reads an archive to its end reads all that comes.
        None => Err(error(None, Fault::Cut)),
    }
}

fn check<R: Read>(blob: Option<Blob<R>>, layer: &Layer) -> Result<(), Fault> {
    blob.map_or(Ok(()), |blob| blob::check(blob, layer))
}
