//! PAX records: `LENGTH KEY=VALUE\n`, which take precedence over the header (POSIX, 'pax Extended Header').

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::header;
use super::holes::Piece;
use crate::image::layer::error::Fault;

/// What the records of one entry say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    /// Seconds and nanoseconds.
    pub(super) time: Option<(i64, u32)>,
    /// Names and values, each name once.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) holes: Holes,
}

/// GNU tar's records of files with holes ('Storing Sparse Files' in its manual).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holes {
    pub(super) name: Option<Vec<u8>>,
    /// Of the whole file: `GNU.sparse.size` or `GNU.sparse.realsize`.
    pub(super) size: Option<u64>,
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    count: Option<u64>,
    /// `GNU.sparse.map`, or offsets and lengths in turn.
    numbers: Vec<u64>,
}

impl Records {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Fault> {
        let mut records = Self::default();
        let mut bsd = Vec::new();
        for record in Split(text) {
            let (key, value) = record?;
            records.take(key, value, &mut bsd)?;
        }
        // libarchive writes both forms; the one that needs no decoding is the one that others read.
        for (name, value) in bsd {
            if !records.xattrs.iter().any(|(known, _)| *known == name) {
                records.xattrs.push((name, value));
            }
        }
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8], bsd: &mut Xattrs) -> Result<(), Fault> {
        match key {
            b"path" => once(&mut self.path, key, named(value)?),
            b"linkpath" => once(&mut self.link, key, named(value)?),
            b"size" => once(&mut self.size, key, number(value)?),
            b"uid" => once(&mut self.uid, key, owner("uid", value)?),
            b"gid" => once(&mut self.gid, key, owner("gid", value)?),
            b"mtime" => once(&mut self.time, key, time(value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                // They come in pairs, and only in this order do they make one.
                let is_offset = key == b"GNU.sparse.offset";
                if is_offset != self.holes.numbers.len().is_multiple_of(2) {
                    return Err(Fault::Holes("an offset without a length, or the reverse"));
                }
                self.holes.numbers.push(number(value)?);
                Ok(())
            }
            _ => match (
                strip(key, b"GNU.sparse."),
                strip(key, b"SCHILY.xattr."),
                strip(key, b"LIBARCHIVE.xattr."),
            ) {
                (Some(name), ..) => self.holes.take(name, key, value),
                (_, Some(name), _) => xattr(&mut self.xattrs, key, name.into(), value.into()),
                (_, _, Some(name)) => xattr(bsd, key, percent(name)?, base64(value)?),
                // Access times, names of users, charsets and what vendors add change nothing here.
                _ => Ok(()),
            },
        }
    }
}

type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

impl Holes {
    fn take(&mut self, name: &[u8], key: &[u8], value: &[u8]) -> Result<(), Fault> {
        match name {
            b"name" => once(&mut self.name, key, named(value)?),
            b"size" | b"realsize" => once(&mut self.size, key, number(value)?),
            b"major" => once(&mut self.major, key, number(value)?),
            b"minor" => once(&mut self.minor, key, number(value)?),
            b"numblocks" => once(&mut self.count, key, number(value)?),
            b"map" if self.numbers.is_empty() => {
                let numbers = value.split(|b| *b == b',').map(number);
                self.numbers = numbers.collect::<Result<_, _>>()?;
                Ok(())
            }
            _ => Err(Fault::Holes("a record of GNU.sparse that is unknown")),
        }
    }

    /// Whether there is any record of holes.
    pub(super) fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// The map of the forms 0.0 and 0.1.
    pub(super) fn map(&self) -> Result<Vec<Piece>, Fault> {
        let pairs = self.numbers.chunks_exact(2);
        let is_whole = pairs.remainder().is_empty();
        let pieces: Vec<_> = pairs
            .map(|pair| Piece {
                at: pair[0],
                length: pair[1],
            })
            .collect();
        if is_whole && self.count == Some(pieces.len() as u64) {
            Ok(pieces)
        } else {
            Err(Fault::Holes(
                "the map has another number of pieces than it says",
            ))
        }
    }
}

/// Keys of a global header that would change what follows. Docker and containerd pass over global headers and
/// GNU tar obeys them, so a layer with one means two things.
pub(super) fn check_global(text: &[u8]) -> Result<(), Fault> {
    for record in Split(text) {
        let (key, _) = record?;
        let known = [&b"path"[..], b"linkpath", b"size", b"uid", b"gid", b"mtime"];
        let prefixes = [&b"GNU.sparse."[..], b"SCHILY.", b"LIBARCHIVE."];
        if known.contains(&key) || prefixes.iter().any(|prefix| key.starts_with(prefix)) {
            return Err(Fault::Global(String::from_utf8_lossy(key).into_owned()));
        }
    }
    Ok(())
}

/// Keys and values of the records in a text.
struct Split<'a>(&'a [u8]);

impl<'a> Iterator for Split<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.split();
        if record.is_none() {
            self.0 = b"";
        }
        Some(record.ok_or(Fault::Pax("not of the form LENGTH KEY=VALUE")))
    }
}

impl<'a> Split<'a> {
    fn split(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let blank = self.0.iter().take(20).position(|b| *b == b' ')?;
        let length = usize::try_from(number(&self.0[..blank]).ok()?).ok()?;
        let (record, rest) = self.0.split_at_checked(length)?;
        let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
        let equals = record
            .iter()
            .position(|b| *b == b'=')
            .filter(|at| *at > 0)?;
        self.0 = rest;
        Some((&record[..equals], &record[equals + 1..]))
    }
}

fn strip<'a>(key: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    key.strip_prefix(prefix)
}

/// The last of two would win by POSIX, and the first in some readers.
fn once<T>(place: &mut Option<T>, key: &[u8], value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::PaxTwice(String::from_utf8_lossy(key).into_owned())),
    }
}

/// Each is held against all others; no file system of Linux keeps more of them in 64 KiB (xattr(7)) than this
/// with names and values of any use.
const MOST_XATTRS: usize = 256;

fn xattr(list: &mut Xattrs, key: &[u8], name: Vec<u8>, value: Vec<u8>) -> Result<(), Fault> {
    if name.is_empty() || name.contains(&0) {
        return Err(Fault::Pax("no name of an extended attribute"));
    }
    if list.iter().any(|(known, _)| *known == name) {
        return Err(Fault::PaxTwice(String::from_utf8_lossy(key).into_owned()));
    }
    if list.len() == MOST_XATTRS {
        return Err(Fault::Pax("more than 256 extended attributes"));
    }
    list.push((name, value));
    Ok(())
}

fn named(value: &[u8]) -> Result<Vec<u8>, Fault> {
    match value {
        [] => Err(Fault::Pax("a name that is empty")),
        value if value.contains(&0) => Err(Fault::Pax("a name with a NUL in it")),
        value => Ok(value.into()),
    }
}

/// Decimal digits and nothing else.
pub(super) fn number(text: &[u8]) -> Result<u64, Fault> {
    let digits = text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    });
    // Offsets of files have 63 bits.
    digits
        .filter(|value| !text.is_empty() && i64::try_from(*value).is_ok())
        .ok_or(Fault::Pax("not a number"))
}

fn owner(field: &'static str, text: &[u8]) -> Result<u32, Fault> {
    let value = number(text)?;
    header::id(field, i64::try_from(value).unwrap_or(-1))
}

/// `SECONDS[.FRACTION]`, where a sign holds for both.
fn time(text: &[u8]) -> Result<(i64, u32), Fault> {
    let (is_negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let whole = number(parts.next().unwrap_or_default())?;
    let seconds = i64::try_from(whole).map_err(|_| Fault::Pax("not a time"))?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Pax("not a time"));
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Ok(match (is_negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

/// libarchive writes bytes of names as `%HH`.
fn percent(name: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = byte.and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(byte.ok_or(Fault::Pax("no name of an extended attribute"))?);
        rest = &rest[2..];
    }
    Ok(bytes)
}

fn base64(value: &[u8]) -> Result<Vec<u8>, Fault> {
    // libarchive leaves the padding out, others do not.
    let end = value
        .iter()
        .rposition(|b| *b != b'=')
        .map_or(0, |at| at + 1);
    STANDARD_NO_PAD
        .decode(&value[..end])
        .map_err(|_| Fault::Pax("a value that is not base64"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    #[test]
    fn records_say_what_they_say() {
        let text =
            b"12 path=a=b\n23 mtime=-1.5000000001\n23 SCHILY.xattr.u.a=\0\n\n11 x.y=\n\n\n\n";
        let records = Records::parse(text).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(records.time, Some((-2, 500_000_000)));
        assert_eq!(
            records.xattrs,
            [(b"u.a".to_vec(), b"\0\n".to_vec())][..1].to_vec()
        );
    }

    #[test]
    fn both_forms_of_an_attribute_are_read() {
        let text = b"36 LIBARCHIVE.xattr.user.%41=aGk=\n\n\n";
        let records = Records::parse(&text[..33]);
        assert!(records.is_err(), "the length is wrong");
        let text = b"34 LIBARCHIVE.xattr.user.%41=aGk=\n";
        let records = Records::parse(text).unwrap();
        assert_eq!(records.xattrs, [(b"user.A".to_vec(), b"hi".to_vec())]);
    }

    #[test]
    fn a_record_that_could_be_read_in_two_ways_is_none() {
        for bad in [
            &b"5 a=\n6 b=\n"[..],
            b"0 path=a\n",
            b"+9 path=a\n",
            b"09 path=a\n ",
            b"8 path=a\n",
            b"10 path=a",
            b"9 path=a ",
            b"99999999999999999999 path=a\n",
            b"4 =\n",
            b"4 a\n",
            b"8 path=\n",
            b"11 path=\0a\n",
            b"11 size=-1\n",
            b"8 size=\n",
            b"18 uid=4294967295\n",
            b"29 size=18446744073709551615\n",
            b"13 mtime=1.x\n",
            b"25 GNU.sparse.numbytes=1\n",
            b"23 GNU.sparse.map=1,,2\n",
            b"22 GNU.sparse.other=1\n",
            b"9 path=a\n9 path=a\n",
            b"9 size=1\n9 size=1\n",
        ] {
            assert!(Records::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_global_record_may_only_be_a_comment() {
        check_global(b"13 comment=a\n").unwrap();
        for bad in [&b"9 path=a\n"[..], b"9 size=1\n", b"20 GNU.sparse.map=1\n"] {
            assert!(check_global(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
