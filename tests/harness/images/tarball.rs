//! Layers byte by byte: any entry, also what no archiver writes.

use std::fmt::Write as _;

/// How a name that does not fit into a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// In a PAX record.
    Pax,
    /// In an entry `L` or `K` before the own one.
    Gnu,
}

/// The ways in which GNU tar has written holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holes {
    Old,
    Pax00,
    Pax01,
    Pax10,
}

/// Where bytes of a file with holes stand, and the bytes.
pub(crate) type Piece = (u64, Vec<u8>);

/// One entry; every field may be wrong.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    /// The type flag.
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: i64,
    pub(crate) gid: i64,
    /// Seconds and nanoseconds.
    pub(crate) time: (i64, u32),
    pub(crate) link: Vec<u8>,
    pub(crate) content: Vec<u8>,
    /// What the header says of the size, where that is not the length of the content.
    pub(crate) size: Option<i64>,
    pub(crate) device: (u32, u32),
    pub(crate) pax: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) naming: Naming,
    /// Size and pieces (offset, bytes) of a file with holes.
    pub(crate) holes: Option<(Holes, u64, Vec<Piece>)>,
    /// Bytes put over the header before the checksum is made.
    pub(crate) patches: Vec<(usize, Vec<u8>)>,
    /// What is added to the right checksum.
    pub(crate) checksum_lie: u32,
}

impl Entry {
    pub(crate) fn new(kind: u8, name: impl AsRef<[u8]>, mode: u32) -> Self {
        Self {
            name: name.as_ref().into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            time: (1_700_000_000, 0),
            link: Vec::new(),
            content: Vec::new(),
            size: None,
            device: (0, 0),
            pax: Vec::new(),
            naming: Naming::Pax,
            holes: None,
            patches: Vec::new(),
            checksum_lie: 0,
        }
    }

    pub(crate) fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let mut entry = Self::new(b'0', name, 0o644);
        entry.content = content.as_ref().into();
        entry
    }

    pub(crate) fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', name, 0o755)
    }

    pub(crate) fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'2', name, 0o777).link(target)
    }

    pub(crate) fn hardlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'1', name, 0o644).link(target)
    }

    pub(crate) fn fifo(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'6', name, 0o644)
    }

    /// A device: `b'3'` of characters, `b'4'` of blocks.
    pub(crate) fn device(kind: u8, name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        let mut entry = Self::new(kind, name, 0o666);
        entry.device = (major, minor);
        entry
    }

    /// A file of `size` bytes with these pieces and holes between them.
    pub(crate) fn sparse(
        format: Holes,
        name: impl AsRef<[u8]>,
        size: u64,
        pieces: &[(u64, &[u8])],
    ) -> Self {
        let mut entry = Self::file(name, b"");
        let pieces = pieces.iter().map(|(at, bytes)| (*at, bytes.to_vec()));
        entry.holes = Some((format, size, pieces.collect()));
        entry
    }

    pub(crate) fn link(mut self, target: impl AsRef<[u8]>) -> Self {
        self.link = target.as_ref().into();
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn owner(mut self, uid: i64, gid: i64) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    pub(crate) fn time(mut self, seconds: i64, nanoseconds: u32) -> Self {
        self.time = (seconds, nanoseconds);
        self
    }

    /// The size in the header, whatever the content is.
    pub(crate) fn size(mut self, size: i64) -> Self {
        self.size = Some(size);
        self
    }

    pub(crate) fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.as_ref().into(), value.as_ref().into()));
        self
    }

    pub(crate) fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(format!("SCHILY.xattr.{name}"), value)
    }

    pub(crate) fn naming(mut self, naming: Naming) -> Self {
        self.naming = naming;
        self
    }

    pub(crate) fn patch(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.patches.push((at, bytes.as_ref().into()));
        self
    }

    pub(crate) fn wrong_checksum(mut self) -> Self {
        self.checksum_lie = 1;
        self
    }
}

/// An archive in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tarball(Vec<u8>);

impl Tarball {
    pub(crate) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        entries.into_iter().fold(Self::default(), Self::add)
    }

    pub(crate) fn add(mut self, mut entry: Entry) -> Self {
        let mut records = std::mem::take(&mut entry.pax);
        if entry.time.1 != 0 {
            let time = format!("{}.{:09}", entry.time.0, entry.time.1);
            records.push((b"mtime".into(), time.into()));
        }
        let extensions = self.spread_holes(&mut entry, &mut records);
        for (field, flag, key) in [(&entry.name, b'L', "path"), (&entry.link, b'K', "linkpath")] {
            if field.len() > 100 {
                match entry.naming {
                    Naming::Pax => records.push((key.into(), field.clone())),
                    Naming::Gnu => {
                        let mut long = Entry::file("././@LongLink", [&field[..], b"\0"].concat());
                        long.kind = flag;
                        self.one(&long, &[]);
                    }
                }
            }
        }
        if !records.is_empty() {
            self.one(&pax_header(b'x', &records), &[]);
        }
        self.one(&entry, &extensions);
        self
    }

    /// Records that hold for all that follows.
    pub(crate) fn global(mut self, records: &[(&str, &str)]) -> Self {
        let records: Vec<_> = records
            .iter()
            .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        self.one(&pax_header(b'g', &records), &[]);
        self
    }

    /// A PAX header with exactly this text.
    pub(crate) fn pax_text(mut self, text: &[u8]) -> Self {
        let mut entry = Entry::file("PaxHeaders/0", text);
        entry.kind = b'x';
        self.one(&entry, &[]);
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// With the two blocks of zeros that end an archive.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    /// As it stands, without an end.
    pub(crate) fn unfinished(self) -> Vec<u8> {
        self.0
    }

    /// Turns holes into the form that is asked for: content, records, fields of the header and the
    /// blocks that follow it.
    fn spread_holes(&self, entry: &mut Entry, records: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Vec<u8> {
        let Some((format, size, pieces)) = entry.holes.take() else {
            return Vec::new();
        };
        let mut say = |key: &str, value: String| records.push((key.into(), value.into()));
        let mut extensions = Vec::new();
        entry.content = pieces.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        match format {
            Holes::Old => {
                entry.kind = b'S';
                extensions = old_map(entry, size, &pieces);
            }
            Holes::Pax00 => {
                say("GNU.sparse.size", size.to_string());
                say("GNU.sparse.numblocks", pieces.len().to_string());
                for (at, bytes) in &pieces {
                    say("GNU.sparse.offset", at.to_string());
                    say("GNU.sparse.numbytes", bytes.len().to_string());
                }
            }
            Holes::Pax01 | Holes::Pax10 => {
                let name = String::from_utf8_lossy(&entry.name).into_owned();
                say("GNU.sparse.name", name);
                entry.name = b"GNUSparseFile.0/x".into();
                let numbers = pieces
                    .iter()
                    .flat_map(|(at, bytes)| [*at, bytes.len() as u64]);
                let numbers: Vec<String> = numbers.map(|n| n.to_string()).collect();
                if format == Holes::Pax01 {
                    say("GNU.sparse.size", size.to_string());
                    say("GNU.sparse.numblocks", pieces.len().to_string());
                    say("GNU.sparse.map", numbers.join(","));
                } else {
                    say("GNU.sparse.major", "1".into());
                    say("GNU.sparse.minor", "0".into());
                    say("GNU.sparse.realsize", size.to_string());
                    let mut map = format!("{}\n", pieces.len()).into_bytes();
                    for number in numbers {
                        map.extend(number.as_bytes());
                        map.push(b'\n');
                    }
                    map.resize(map.len().next_multiple_of(512), 0);
                    entry.content.splice(..0, map);
                }
            }
        }
        extensions
    }

    fn one(&mut self, entry: &Entry, extensions: &[u8]) {
        self.0.extend(header(entry));
        self.0.extend(extensions);
        self.0.extend(&entry.content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }
}

/// The map of an old sparse header: four pieces in it, 21 in each block behind it.
fn old_map(entry: &mut Entry, size: u64, pieces: &[Piece]) -> Vec<u8> {
    let pair = |(at, bytes): &Piece| format!("{at:011o}\0{:011o}\0", bytes.len());
    let first: String = pieces.iter().take(4).map(pair).collect();
    entry.patches.push((386, first.into()));
    entry.patches.push((482, vec![u8::from(pieces.len() > 4)]));
    let size = format!("{size:011o}\0").into_bytes();
    entry.patches.push((483, size));
    let rest = pieces.get(4..).unwrap_or_default();
    let mut blocks = Vec::new();
    for chunk in rest.chunks(21) {
        let mut block: Vec<u8> = chunk.iter().map(pair).collect::<String>().into();
        block.resize(512, 0);
        blocks.push(block);
    }
    let last = blocks.len().saturating_sub(1);
    for block in &mut blocks[..last] {
        block[504] = 1;
    }
    blocks.concat()
}

fn pax_header(kind: u8, records: &[(Vec<u8>, Vec<u8>)]) -> Entry {
    let text: Vec<u8> = records.iter().flat_map(|(k, v)| pax_record(k, v)).collect();
    let mut entry = Entry::file("PaxHeaders/0", text);
    entry.kind = kind;
    entry
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
pub(crate) fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn header(entry: &Entry) -> [u8; 512] {
    let mut block = [0; 512];
    put(&mut block, 0, &entry.name[..entry.name.len().min(100)]);
    number(&mut block[100..108], i64::from(entry.mode));
    number(&mut block[108..116], entry.uid);
    number(&mut block[116..124], entry.gid);
    let size = i64::try_from(entry.content.len()).unwrap();
    number(&mut block[124..136], entry.size.unwrap_or(size));
    number(&mut block[136..148], entry.time.0);
    block[156] = entry.kind;
    put(&mut block, 157, &entry.link[..entry.link.len().min(100)]);
    let is_old = entry.kind == b'S' || entry.naming == Naming::Gnu;
    put(
        &mut block,
        257,
        if is_old { b"ustar  \0" } else { b"ustar\x0000" },
    );
    number(&mut block[329..337], i64::from(entry.device.0));
    number(&mut block[337..345], i64::from(entry.device.1));
    for (at, bytes) in &entry.patches {
        put(&mut block, *at, bytes);
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    let mut text = String::new();
    write!(text, "{:06o}\0 ", sum + entry.checksum_lie).unwrap();
    put(&mut block, 148, text.as_bytes());
    block
}

fn put(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// In octal, or in base 256 where that does not hold it.
fn number(field: &mut [u8], value: i64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    if value >= 0 && text.len() <= digits {
        field[..digits].copy_from_slice(text.as_bytes());
        return;
    }
    field.fill(if value < 0 { 0xff } else { 0 });
    let bytes = value.to_be_bytes();
    let from = bytes.len().saturating_sub(field.len());
    let at = field.len() - (bytes.len() - from);
    field[at..].copy_from_slice(&bytes[from..]);
    field[0] |= 0x80;
}
