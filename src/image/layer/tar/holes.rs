//! Maps of files with holes.

use super::header::number;
use super::pax;
use crate::image::layer::error::Fault;

/// No map has more pieces: 4 MiB of them.
pub(super) const MOST: usize = 1 << 18;

/// Bytes that the archive has of a file, and where in it they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub at: u64,
    pub length: u64,
}

/// A file of which the archive has only pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holes {
    /// Of the whole file.
    pub size: u64,
    /// In ascending order, without overlap, and none of them empty.
    pub pieces: Vec<Piece>,
}

impl Holes {
    /// Checks a map against the size of the file and the bytes that the archive has.
    pub(super) fn new(size: u64, mut pieces: Vec<Piece>, stored: u64) -> Result<Self, Fault> {
        let mut end = 0;
        let mut sum = 0;
        for piece in &pieces {
            if piece.at < end {
                return Err(Fault::Holes("pieces that overlap or go back"));
            }
            end = piece.at.saturating_add(piece.length);
            sum += piece.length;
        }
        if end > size {
            return Err(Fault::Holes("a piece beyond the end of the file"));
        }
        if sum != stored {
            return Err(Fault::Holes("the pieces are not as long as the content"));
        }
        // GNU tar ends a map with an empty piece at the end of the file.
        pieces.retain(|piece| piece.length > 0);
        Ok(Self { size, pieces })
    }
}

/// Takes the pieces of an old header or of a block behind it: 24 bytes each, up to the first without
/// numbers.
pub(super) fn old_pieces(block: &[u8], pieces: &mut Vec<Piece>) -> Result<(), Fault> {
    const FIELD: &str = "pieces of a file with holes";
    let wrong = |cause| Fault::Field {
        field: FIELD,
        cause,
    };
    for pair in block.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        let at = super::header::size(FIELD, number(&pair[..12]).map_err(wrong)?)?;
        let length = super::header::size(FIELD, number(&pair[12..]).map_err(wrong)?)?;
        push(pieces, Piece { at, length })?;
    }
    Ok(())
}

fn push(pieces: &mut Vec<Piece>, piece: Piece) -> Result<(), Fault> {
    if pieces.len() == MOST {
        return Err(Fault::Holes("too many pieces"));
    }
    pieces.push(piece);
    Ok(())
}

/// The map of the form 1.0, which is the beginning of the content: lines with numbers, the first of which
/// says how many pairs follow; padded to a block.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    count: Option<u64>,
    at: Option<u64>,
    pieces: Vec<Piece>,
}

impl Lines {
    /// Takes a block of it; whether it was the last.
    pub(super) fn take(&mut self, block: &[u8]) -> Result<bool, Fault> {
        for byte in block {
            if self.is_whole() {
                break;
            }
            match byte {
                b'\n' => self.end_line()?,
                _ if self.line.len() < 20 => self.line.push(*byte),
                _ => return Err(Fault::Holes("a map that is none")),
            }
        }
        Ok(self.is_whole())
    }

    pub(super) fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }

    fn is_whole(&self) -> bool {
        self.count == Some(self.pieces.len() as u64)
    }

    fn end_line(&mut self) -> Result<(), Fault> {
        let value = pax::number(&self.line)?;
        self.line.clear();
        match (self.count, self.at.take()) {
            (None, _) if value > MOST as u64 => return Err(Fault::Holes("too many pieces")),
            (None, _) => self.count = Some(value),
            (Some(_), None) => self.at = Some(value),
            (Some(_), Some(at)) => push(&mut self.pieces, Piece { at, length: value })?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn a_map_fits_the_file_and_the_content() {
        let piece = |at, length| Piece { at, length };
        let check = |size, pieces: &[Piece], stored| Holes::new(size, pieces.to_vec(), stored);
        let good = check(100, &[piece(0, 10), piece(50, 10), piece(100, 0)], 20).unwrap();
        assert_eq!(good.pieces.len(), 2);
        for (size, pieces, stored) in [
            (100, vec![piece(0, 10), piece(5, 10)], 20),
            (100, vec![piece(50, 10), piece(0, 10)], 20),
            (100, vec![piece(95, 10)], 10),
            (100, vec![piece(0, 10)], 11),
            (
                u64::MAX,
                vec![piece(u64::MAX - 1, u64::MAX / 2)],
                u64::MAX / 2 + 1,
            ),
        ] {
            assert!(check(size, &pieces, stored).is_err(), "{pieces:?}");
        }
    }

    #[test]
    fn a_map_in_lines_may_span_blocks() {
        let mut lines = Lines::default();
        assert!(!lines.take(b"2\n0\n10").unwrap());
        assert!(lines.take(b"0\n5\n6\n\0\0\0").unwrap());
        let pieces = [(0, 100), (5, 6)].map(|(at, length)| Piece { at, length });
        assert_eq!(lines.into_pieces(), pieces);
        for bad in [
            &b"x\n"[..],
            b"\n",
            b"-1\n",
            b"999999999\n",
            b"111111111111111111111111",
        ] {
            assert!(Lines::default().take(bad).is_err());
        }
    }
}
