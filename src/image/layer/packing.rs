//! What a layer is packed in: gzip members or zstd frames, each checked to its last byte.

use std::io::{self, BufRead};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::stream::raw::{self, DParameter, InBuffer, Operation, OutBuffer};

use super::error::Fault;
use super::tar::fill;
use crate::image::documents::Compression;

/// The most memory that a zstd frame is given: level 19, the highest without `--ultra`, wants so much, and
/// RFC 8878 asks no more of a decoder (3.1.1.1.2).
const WINDOW_LOG: u32 = 23;

/// Takes a stream out of its packing.
pub(super) struct Unpacker<R> {
    input: R,
    state: State,
}

enum State {
    Plain,
    Gzip(Box<Gzip>),
    Zstd(Frames),
}

struct Gzip {
    inflate: Decompress,
    crc: Crc,
    /// Whether it is in the middle of a member.
    inside: bool,
    any: bool,
}

struct Frames {
    decoder: raw::Decoder<'static>,
    inside: bool,
    any: bool,
}

impl<R: BufRead> Unpacker<R> {
    pub(super) fn new(input: R, compression: Compression) -> Result<Self, Fault> {
        let state = match compression {
            Compression::None => State::Plain,
            Compression::Gzip => State::Gzip(Box::new(Gzip {
                inflate: Decompress::new(false),
                crc: Crc::new(),
                inside: false,
                any: false,
            })),
            Compression::Zstd => State::Zstd(Frames::new().map_err(Fault::Read)?),
        };
        Ok(Self { input, state })
    }

    pub(super) fn input(&self) -> &R {
        &self.input
    }

    pub(super) fn into_inner(self) -> R {
        self.input
    }

    /// Fills `out` from its beginning; 0 at the end, which is one only where the packing says so.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        match &mut self.state {
            State::Plain => self.input.read(out).map_err(Fault::Read),
            State::Gzip(gzip) => gzip.read(&mut self.input, out),
            State::Zstd(frames) => frames.read(&mut self.input, out),
        }
    }
}

impl Gzip {
    fn read(&mut self, input: &mut impl BufRead, out: &mut [u8]) -> Result<usize, Fault> {
        loop {
            if !self.inside {
                if fill(input)?.is_empty() {
                    return if self.any {
                        Ok(0)
                    } else {
                        Err(Fault::Truncated("gzip"))
                    };
                }
                gzip_header(input).map_err(|fault| match fault {
                    Fault::NotPacked(packing) if self.any => Fault::Garbage(packing),
                    other => other,
                })?;
                self.inflate.reset(false);
                self.crc.reset();
                (self.inside, self.any) = (true, true);
            }
            let bytes = fill(input)?;
            let is_end = bytes.is_empty();
            let (taken, given) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(bytes, out, FlushDecompress::None)
                .map_err(|cause| Fault::corrupt("gzip", cause))?;
            input.consume(difference(self.inflate.total_in(), taken));
            let written = difference(self.inflate.total_out(), given);
            self.crc.update(&out[..written]);
            match status {
                Status::StreamEnd => {
                    self.check_trailer(input)?;
                    self.inside = false;
                }
                _ if is_end && written == 0 => return Err(Fault::Truncated("gzip")),
                _ => {}
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }

    /// CRC-32 and length of the content (RFC 1952, 2.3.1).
    fn check_trailer(&self, input: &mut impl BufRead) -> Result<(), Fault> {
        let mut trailer = [0; 8];
        input
            .read_exact(&mut trailer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Fault::NoTrailer,
                _ => Fault::Read(error),
            })?;
        let wanted = (u64::from(self.crc.amount()) << 32) | u64::from(self.crc.sum());
        if u64::from_le_bytes(trailer) == wanted {
            Ok(())
        } else {
            Err(Fault::WrongTrailer)
        }
    }
}

/// Counts of one call differ by less than a buffer.
fn difference(now: u64, before: u64) -> usize {
    usize::try_from(now - before).expect("no more than a buffer holds")
}

/// Passes over the header of a member (RFC 1952, 2.3).
fn gzip_header(input: &mut impl BufRead) -> Result<(), Fault> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const CHECKSUM: u8 = 2;
    let mut start = [0; 10];
    exact(input, &mut start[..2])?;
    if start[..2] != [0x1f, 0x8b] {
        return Err(Fault::NotPacked("gzip"));
    }
    exact(input, &mut start[2..])?;
    let flags = start[3];
    if start[2] != 8 || flags & 0xe0 != 0 {
        return Err(Fault::corrupt("gzip", "a method or flags that are unknown"));
    }
    if flags & EXTRA != 0 {
        let mut length = [0; 2];
        exact(input, &mut length)?;
        exact(input, &mut vec![0; usize::from(u16::from_le_bytes(length))])?;
    }
    for text in [NAME, COMMENT] {
        let mut byte = [u8::from(flags & text != 0)];
        while byte != [0] {
            exact(input, &mut byte)?;
        }
    }
    if flags & CHECKSUM != 0 {
        exact(input, &mut [0; 2])?;
    }
    Ok(())
}

fn exact(input: &mut impl BufRead, into: &mut [u8]) -> Result<(), Fault> {
    input.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::Truncated("gzip"),
        _ => Fault::Read(error),
    })
}

impl Frames {
    fn new() -> io::Result<Self> {
        let mut decoder = raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self {
            decoder,
            inside: false,
            any: false,
        })
    }

    fn read(&mut self, input: &mut impl BufRead, out: &mut [u8]) -> Result<usize, Fault> {
        loop {
            let bytes = fill(input)?;
            let is_end = bytes.is_empty();
            if is_end && !self.inside {
                return if self.any {
                    Ok(0)
                } else {
                    Err(Fault::Truncated("zstd"))
                };
            }
            let (mut from, mut to) = (InBuffer::around(bytes), OutBuffer::around(&mut *out));
            // Frames that are to be skipped (RFC 8878, 3.1.2) are, by the library.
            let left = self.decoder.run(&mut from, &mut to);
            let (taken, written) = (from.pos(), to.pos());
            let left = left.map_err(|error| self.fault(&error))?;
            input.consume(taken);
            self.any = true;
            self.inside = left != 0;
            if written > 0 {
                return Ok(written);
            }
            if is_end && self.inside {
                return Err(Fault::Truncated("zstd"));
            }
        }
    }

    fn fault(&self, error: &io::Error) -> Fault {
        let cause = error.to_string();
        // zstd_errors.h, prefix_unknown and frameParameter_windowTooLarge, in the library's words.
        if cause.contains("Unknown frame descriptor") {
            match self.any {
                true => Fault::Garbage("zstd"),
                false => Fault::NotPacked("zstd"),
            }
        } else if cause.contains("requires too much memory") {
            Fault::Window(1 << WINDOW_LOG)
        } else {
            Fault::corrupt("zstd", cause)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    fn unpack(bytes: &[u8], compression: Compression) -> Result<Vec<u8>, Fault> {
        // Few bytes at a time, so that everything falls on a border once.
        let input = io::BufReader::with_capacity(3, bytes);
        let mut unpacker = Unpacker::new(input, compression)?;
        let (mut all, mut buffer) = (Vec::new(), [0; 7]);
        loop {
            match unpacker.read(&mut buffer)? {
                0 => return Ok(all),
                read => all.extend(&buffer[..read]),
            }
        }
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let text = b"some text, some text, some text".repeat(20);
        let two = |pack: fn(&[u8]) -> Vec<u8>| [pack(&text), pack(b""), pack(&text)].concat();
        let twice = text.repeat(2);
        assert_eq!(unpack(&two(gzip), Compression::Gzip).unwrap(), twice);
        assert_eq!(unpack(&two(zstd), Compression::Zstd).unwrap(), twice);
        assert_eq!(unpack(&text, Compression::None).unwrap(), text);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        let chunked = [&skippable[..], &zstd(&text), &skippable].concat();
        assert_eq!(unpack(&chunked, Compression::Zstd).unwrap(), text);
    }

    #[test]
    fn a_stream_cut_anywhere_is_no_stream() {
        let (whole_gzip, whole_zstd) = (gzip(b"some text"), zstd(b"some text"));
        for cut in 0..whole_gzip.len() {
            let fault = unpack(&whole_gzip[..cut], Compression::Gzip).unwrap_err();
            match cut {
                n if n + 8 < whole_gzip.len() => {
                    assert!(matches!(fault, Fault::Truncated("gzip")), "{cut}: {fault}");
                }
                _ => assert!(matches!(fault, Fault::NoTrailer), "{cut}: {fault}"),
            }
        }
        for cut in 0..whole_zstd.len() {
            let fault = unpack(&whole_zstd[..cut], Compression::Zstd).unwrap_err();
            assert!(matches!(fault, Fault::Truncated("zstd")), "{cut}: {fault}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_stream_has_its_own_fault() {
        let fault = |bytes: &[u8], compression| unpack(bytes, compression).unwrap_err();
        let mut gz = gzip(b"text");
        let behind = [&gz[..], b"\0\0\0"].concat();
        assert!(matches!(
            fault(&behind, Compression::Gzip),
            Fault::Garbage("gzip")
        ));
        let behind = [&zstd(b"text")[..], b"\0\0\0\0"].concat();
        assert!(matches!(
            fault(&behind, Compression::Zstd),
            Fault::Garbage("zstd")
        ));
        assert!(matches!(
            fault(b"plain text", Compression::Gzip),
            Fault::NotPacked("gzip")
        ));
        assert!(matches!(
            fault(b"plain text", Compression::Zstd),
            Fault::NotPacked("zstd")
        ));
        let end = gz.len() - 1;
        gz[end] ^= 1;
        assert!(matches!(fault(&gz, Compression::Gzip), Fault::WrongTrailer));
        let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(27).unwrap();
        wide.write_all(b"text").unwrap();
        let wide = wide.finish().unwrap();
        assert!(matches!(fault(&wide, Compression::Zstd), Fault::Window(_)));
        let broken = [&zstd(b"")[..4], &[0xff; 20]].concat();
        assert!(matches!(
            fault(&broken, Compression::Zstd),
            Fault::Corrupt { .. }
        ));
    }
}
