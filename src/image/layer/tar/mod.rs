//! Archives: entries one after the other, each checked before it is handed on.
//!
//! ustar, GNU's long names and PAX, as GNU tar, Go and libarchive write them. What two readers could take for
//! two things is refused, since a layer would then hold what a scanner of images did not see
//! (CVE-2025-62518): sizes that differ, names said twice, content where there can be none, global records.

mod header;
mod holes;
mod pax;

use std::io::{self, BufRead};

use self::header::{BLOCK, Header};
use self::holes::Lines;
use self::pax::Records;
use super::error::Fault;

pub use self::holes::{Holes, Piece};

/// Bytes of one extended header: what it holds is kept in memory.
const LONGEST: u64 = 1 << 20;

/// What an ustar header can say of a size.
const USTAR_SIZE: u64 = 0o77_777_777_777;

/// A member of an archive. Its content is read from the reader before the next entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it is written: nothing is known of it but that it is not empty and has no NUL.
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub time: (i64, u32),
    /// Bytes of content that the archive has; 0 of all but files.
    pub size: u64,
    /// Names and values as they are written.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With holes where the archive does not have all of it.
    File(Option<Holes>),
    Directory,
    /// To another name of the archive.
    Link(Vec<u8>),
    Symlink(Vec<u8>),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// Reads an archive.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Bytes read.
    at: u64,
    /// Bytes of the current entry's content that are still to come, and of padding behind them.
    left: u64,
    padding: u64,
    /// Where the header being read began, or the name of the current entry.
    place: Place,
}

/// Bytes of a name in a message: no path is longer, and what is none can have a megabyte.
const LONGEST_TOLD: usize = 4096;

#[derive(Debug)]
enum Place {
    Header(u64),
    Entry(Vec<u8>),
}

/// What stands before an entry and belongs to it.
#[derive(Default)]
struct Extended {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R) -> Self {
        Self {
            input,
            at: 0,
            left: 0,
            padding: 0,
            place: Place::Header(0),
        }
    }

    /// For messages: the entry, or where its header is.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Header(at) => format!("header at byte {at}"),
            Place::Entry(name) => {
                let (start, rest) = name.split_at(name.len().min(LONGEST_TOLD));
                let dots = if rest.is_empty() { "" } else { "…" };
                format!("entry {:?}{dots}", String::from_utf8_lossy(start))
            }
        }
    }

    /// The next entry; `None` at the end, after which nothing but zeros was found. What is left of the
    /// last one's content is passed over.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Fault> {
        self.skip()?;
        self.place = Place::Header(self.at);
        let mut extended = Extended::default();
        let mut block = [0; BLOCK];
        loop {
            if !self.block(&mut block)? {
                return match extended.is_any() {
                    true => Err(Fault::NoEntry),
                    false => Ok(None),
                };
            }
            let header = Header::new(&block)?;
            match header.kind() {
                b'x' => {
                    let text = self.extension(&header)?;
                    put(&mut extended.records, Records::parse(&text)?)?;
                }
                b'L' => put(&mut extended.name, self.long_name(&header)?)?,
                b'K' => put(&mut extended.link, self.long_name(&header)?)?,
                b'g' if extended.is_any() => return Err(Fault::NoEntry),
                b'g' => {
                    let text = self.extension(&header)?;
                    pax::check_global(&text)?;
                    self.place = Place::Header(self.at);
                }
                _ => return self.entry(&header, extended).map(Some),
            }
        }
    }

    /// What can be had of the content at once; empty at its end. [`Self::consume`] moves on.
    pub fn content(&mut self) -> Result<&[u8], Fault> {
        let left = self.left;
        if left == 0 {
            return Ok(&[]);
        }
        let bytes = fill(&mut self.input)?;
        match bytes.len() {
            0 => Err(Fault::Cut),
            length => Ok(&bytes[..length.min(usize::try_from(left).unwrap_or(usize::MAX))]),
        }
    }

    /// Bytes read so far: behind a header, where the content begins.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// At most as much as [`Self::content`] gave.
    pub fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
        self.left -= amount as u64;
        self.at += amount as u64;
    }

    fn skip(&mut self) -> Result<(), Fault> {
        self.left += std::mem::take(&mut self.padding);
        loop {
            match self.content()?.len() {
                0 => return Ok(()),
                length => self.consume(length),
            }
        }
    }

    /// Reads a block; false at the end of the archive: two blocks of zeros, or, as some writers leave
    /// it and Go's reader takes it, where nothing follows.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, Fault> {
        if !self.read_block(block)? {
            return Ok(false);
        }
        if block.iter().any(|b| *b != 0) {
            return Ok(true);
        }
        if self.read_block(block)? && block.iter().any(|b| *b != 0) {
            return Err(Fault::LoneZeros);
        }
        loop {
            let bytes = fill(&mut self.input)?;
            if bytes.iter().any(|b| *b != 0) {
                return Err(Fault::AfterEnd);
            }
            match bytes.len() {
                0 => return Ok(false),
                length => self.input.consume(length),
            }
        }
    }

    /// False where nothing follows; a part of a block is none.
    fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, Fault> {
        let mut have = 0;
        while have < BLOCK {
            let bytes = fill(&mut self.input)?;
            let taken = bytes.len().min(BLOCK - have);
            block[have..have + taken].copy_from_slice(&bytes[..taken]);
            self.input.consume(taken);
            match (taken, have) {
                (0, 0) => return Ok(false),
                (0, _) => return Err(Fault::Cut),
                _ => have += taken,
            }
        }
        self.at += BLOCK as u64;
        Ok(true)
    }

    /// The content of an extended header.
    fn extension(&mut self, header: &Header<'_>) -> Result<Vec<u8>, Fault> {
        let size = header.size()?;
        if size > LONGEST {
            return Err(Fault::LongHeader(size, LONGEST));
        }
        self.expect(size);
        let mut text = Vec::new();
        loop {
            let bytes = self.content()?;
            let length = bytes.len();
            text.extend_from_slice(bytes);
            if length == 0 {
                break;
            }
            self.consume(length);
        }
        self.skip()?;
        Ok(text)
    }

    /// GNU's long names end in a NUL; another before it is a part of the name to some readers.
    fn long_name(&mut self, header: &Header<'_>) -> Result<Vec<u8>, Fault> {
        let mut name = self.extension(header)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        if name.is_empty() || name.contains(&0) {
            return Err(Fault::Name("a long name that is empty, or has a NUL in it"));
        }
        Ok(name)
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn entry(&mut self, header: &Header<'_>, extended: Extended) -> Result<Entry, Fault> {
        let Extended {
            records,
            name: long_name,
            link: long_link,
        } = extended;
        let mut records = records.unwrap_or_default();
        if long_name.is_some() && records.path.is_some()
            || long_link.is_some() && records.link.is_some()
        {
            return Err(Fault::Name("it is said twice, as GNU and as PAX do"));
        }
        let own_name = records
            .path
            .take()
            .or(long_name)
            .unwrap_or_else(|| header.name());
        let name = records.holes.name.take().unwrap_or(own_name);
        if name.is_empty() {
            return Err(Fault::Name("it is empty"));
        }
        self.place = Place::Entry(name.clone());
        let link = records
            .link
            .take()
            .or(long_link)
            .unwrap_or_else(|| header.link().into());

        let mut size = one_size(header.size()?, records.size)?;
        let ends_in_slash = name.ends_with(b"/");
        let kind = match header.kind() {
            // Before POSIX, directories were files whose name ends so.
            0 if ends_in_slash => Kind::Directory,
            // POSIX: 7 is to be taken for 0 where it means nothing else.
            0 | b'0' | b'7' | b'S' if ends_in_slash => {
                return Err(Fault::Name("a file whose name ends in a slash"));
            }
            0 | b'0' | b'7' | b'S' => Kind::File(None),
            b'1' => Kind::Link(link),
            b'2' => Kind::Symlink(link),
            b'3' => header
                .device()
                .map(|(major, minor)| Kind::CharDevice(major, minor))?,
            b'4' => header
                .device()
                .map(|(major, minor)| Kind::BlockDevice(major, minor))?,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(Fault::Kind(char::from(other))),
        };
        let kind = match kind {
            Kind::File(_) => Kind::File(self.holes(header, &records, &mut size)?),
            // tar(5) of libarchive and GNU tar pass over such content, Go's reader does not.
            _ if size > 0 => return Err(Fault::Content(size)),
            _ if records.holes.is_any() => {
                return Err(Fault::Holes("of something that is no file"));
            }
            other => other,
        };
        Ok(Entry {
            name,
            kind,
            mode: header.mode()?,
            uid: records.uid.map_or_else(|| header.uid(), Ok)?,
            gid: records.gid.map_or_else(|| header.gid(), Ok)?,
            time: records
                .time
                .map_or_else(|| header.time().map(|seconds| (seconds, 0)), Ok)?,
            size,
            xattrs: records.xattrs,
        })
    }

    /// Reads the map of a file with holes, in whichever of the four forms; begins the content. `size` is
    /// what the archive has, and becomes what it has of the file.
    fn holes(
        &mut self,
        header: &Header<'_>,
        records: &Records,
        size: &mut u64,
    ) -> Result<Option<Holes>, Fault> {
        let told = &records.holes;
        let (real, pieces) = match (header.kind() == b'S', told.is_any()) {
            (true, true) => return Err(Fault::Holes("said twice, as GNU and as PAX do")),
            (true, false) => {
                let (real, pieces) = self.old_map(header)?;
                self.expect(*size);
                (real, pieces)
            }
            (false, false) => {
                self.expect(*size);
                return Ok(None);
            }
            (false, true) => {
                let real = told.size.ok_or(Fault::Holes("no size of the whole"))?;
                self.expect(*size);
                let pieces = match (told.major, told.minor) {
                    (None, None) | (Some(0), Some(0 | 1)) => told.map()?,
                    (Some(1), Some(0)) => self.map_in_content()?,
                    _ => return Err(Fault::Holes("a version that is unknown")),
                };
                *size = self.left;
                (real, pieces)
            }
        };
        Holes::new(real, pieces, *size).map(Some)
    }

    fn old_map(&mut self, header: &Header<'_>) -> Result<(u64, Vec<Piece>), Fault> {
        let (first, mut goes_on, real) = header.old_map()?;
        let mut pieces = Vec::new();
        holes::old_pieces(first, &mut pieces)?;
        let mut block = [0; BLOCK];
        while goes_on {
            if !self.read_block(&mut block)? {
                return Err(Fault::Cut);
            }
            let before = pieces.len();
            holes::old_pieces(&block[..504], &mut pieces)?;
            if pieces.len() == before {
                return Err(Fault::Holes("a block without a piece"));
            }
            goes_on = block[504] != 0;
        }
        Ok((real, pieces))
    }

    fn map_in_content(&mut self) -> Result<Vec<Piece>, Fault> {
        let mut lines = Lines::default();
        let mut block = [0; BLOCK];
        loop {
            if self.left < BLOCK as u64 || !self.read_block(&mut block)? {
                return Err(Fault::Holes("a map that is longer than the content"));
            }
            self.left -= BLOCK as u64;
            if lines.take(&block)? {
                return Ok(lines.into_pieces());
            }
        }
    }
}

impl<R: BufRead + io::Seek> Reader<R> {
    /// Passes over what is left of the content without reading it; whether it is there is not seen.
    pub fn seek_over(&mut self) -> io::Result<()> {
        let length = self.left + std::mem::take(&mut self.padding);
        self.left = 0;
        self.at += length;
        let offset = i64::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.input.seek_relative(offset)
    }
}

impl Extended {
    fn is_any(&self) -> bool {
        self.records.is_some() || self.name.is_some() || self.link.is_some()
    }
}

fn put<T>(place: &mut Option<T>, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::HeaderTwice),
    }
}

/// The PAX record wins (POSIX). A header that can say the same must: where it does not, readers that pass
/// over the record see other entries (CVE-2025-62518).
fn one_size(header: u64, pax: Option<u64>) -> Result<u64, Fault> {
    match pax {
        Some(pax) if pax != header && pax <= USTAR_SIZE => Err(Fault::Sizes { header, pax }),
        Some(pax) => Ok(pax),
        None => Ok(header),
    }
}

/// What the input has, after waiting for it; empty at its end.
pub(super) fn fill(input: &mut impl BufRead) -> Result<&[u8], Fault> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Read(error)),
        }
    }
    // Again, since a borrow that a loop may return lasts for the whole of it; it is there already.
    input.fill_buf().map_err(Fault::Read)
}
