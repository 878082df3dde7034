//! A layer's blob on its way to the archive in it: hashed as it comes and as it is unpacked.

use std::io::{self, BufReader, Read, Take};

use super::error::Fault;
use super::packing::Unpacker;
use super::pipe::Input;
use super::policy::Limits;
use crate::image::documents::Layer;
use crate::image::{Digest, Hasher, digest::Hashing};

/// Bytes read of a blob at once.
const BUFFER: usize = 128 << 10;

/// Below it no ratio is too high: what a block of zeros is packed in says nothing.
const SMALL: u64 = 64 << 20;

/// The blob as far as it was read, and no further than one byte past its end.
pub(super) type Blob<R> = BufReader<Hashing<Take<R>>>;

/// What became of the archive.
#[derive(Debug)]
pub(super) enum End {
    /// All of it was handed on.
    Whole(Digest),
    /// The reader wanted no more.
    Unwanted,
    Fault(Fault),
}

/// Unpacks a blob into a pipe.
pub(super) fn pump<R: Read>(
    stream: R,
    layer: &Layer,
    limits: &Limits,
    into: &Input,
) -> (Option<Blob<R>>, End) {
    let limited = stream.take(layer.blob.size.saturating_add(1));
    let hashing = Hashing::new(limited, layer.blob.digest.algorithm());
    let blob = BufReader::with_capacity(BUFFER, hashing);
    let mut unpacker = match Unpacker::new(blob, layer.compression) {
        Ok(unpacker) => unpacker,
        Err(fault) => return (None, End::Fault(fault)),
    };
    let end = hand_on(&mut unpacker, layer, limits, into).unwrap_or_else(End::Fault);
    (Some(unpacker.into_inner()), end)
}

fn hand_on<R: Read>(
    unpacker: &mut Unpacker<Blob<R>>,
    layer: &Layer,
    limits: &Limits,
    into: &Input,
) -> Result<End, Fault> {
    let mut hasher = Hasher::new(layer.diff_id.algorithm());
    let mut total = 0;
    loop {
        let Some(mut buffer) = into.buffer() else {
            return Ok(End::Unwanted);
        };
        let mut length = 0;
        while length < buffer.len() {
            match unpacker.read(&mut buffer[length..])? {
                0 => break,
                read => length += read,
            }
        }
        if length == 0 {
            return Ok(End::Whole(hasher.finish()));
        }
        hasher.update(&buffer[..length]);
        total += length as u64;
        if total > limits.size {
            return Err(Fault::Size(limits.size));
        }
        let read = unpacker.input().get_ref().count();
        if let Some(ratio) = limits.ratio
            && total > SMALL.max(read.saturating_mul(ratio))
        {
            return Err(Fault::Ratio(ratio));
        }
        if !into.send(buffer, length) {
            return Ok(End::Unwanted);
        }
    }
}

/// Reads what is left of a blob and holds it against its descriptor.
pub(super) fn check<R: Read>(mut blob: Blob<R>, layer: &Layer) -> Result<(), Fault> {
    io::copy(blob.get_mut(), &mut io::sink()).map_err(Fault::Read)?;
    let (_, count, digest) = blob.into_inner().finish();
    let wanted = layer.blob.size;
    if count < wanted {
        return Err(Fault::Shorter {
            found: count,
            wanted,
        });
    }
    if count > wanted {
        return Err(Fault::Longer { wanted });
    }
    if digest != layer.blob.digest {
        return Err(Fault::Digest { found: digest });
    }
    Ok(())
}
