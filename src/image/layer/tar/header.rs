//! One header block: 512 bytes with a checksum (POSIX, pax, 'ustar Interchange Format').

use crate::image::layer::error::Fault;

pub(super) const BLOCK: usize = 512;

/// Fields by their place; their values are checked when they are asked for.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    /// Checks the checksum: the sum of the bytes as unsigned ones, with its own field as blanks.
    pub(super) fn new(block: &'a [u8; BLOCK]) -> Result<Self, Fault> {
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        let own: u32 = block[148..156].iter().map(|b| u32::from(*b)).sum();
        let told = octal(&block[148..156]).ok_or(Fault::Checksum)?;
        if told != u64::from(sum - own + 8 * u32::from(b' ')) {
            return Err(Fault::Checksum);
        }
        let header = Self(block);
        header.check_format()?;
        Ok(header)
    }

    /// The three forms that all readers know: POSIX's, GNU's, and the one before both, which has files and
    /// links alone. In others some see an extended header, or a prefix of the name, where others see none.
    fn check_format(&self) -> Result<(), Fault> {
        match &self.0[257..265] {
            b"ustar\x0000" | b"ustar  \0" => Ok(()),
            [0, 0, 0, 0, 0, 0, 0, 0] if matches!(self.kind(), 0 | b'0'..=b'2') => Ok(()),
            [0, 0, 0, 0, 0, 0, 0, 0] => Err(Fault::Kind(char::from(self.kind()))),
            _ => Err(Fault::Field {
                field: "magic",
                cause: "neither POSIX's nor GNU's",
            }),
        }
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// The name with the prefix before it, where this is a header that has one.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = text(&self.0[345..500]);
        if self.is_posix() && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.into()
        }
    }

    pub(super) fn link(&self) -> &'a [u8] {
        text(&self.0[157..257])
    }

    /// Permission bits, set-id bits and the sticky bit; the kind that some writers put there is left out.
    pub(super) fn mode(&self) -> Result<u32, Fault> {
        Ok(self.number("mode", 100..108)? & 0o7777)
    }

    pub(super) fn uid(&self) -> Result<u32, Fault> {
        id("uid", self.field("uid", 108..116)?)
    }

    pub(super) fn gid(&self) -> Result<u32, Fault> {
        id("gid", self.field("gid", 116..124)?)
    }

    /// Bytes of content that follow.
    pub(super) fn size(&self) -> Result<u64, Fault> {
        size("size", self.field("size", 124..136)?)
    }

    /// Seconds.
    pub(super) fn time(&self) -> Result<i64, Fault> {
        self.field("mtime", 136..148)
    }

    /// Numbers of a device, as many bits as the kernel has for them.
    pub(super) fn device(&self) -> Result<(u32, u32), Fault> {
        let out_of_range = |field| Fault::Field {
            field,
            cause: "no device has such a number",
        };
        let major = self.number("devmajor", 329..337)?;
        let minor = self.number("devminor", 337..345)?;
        match (major < 1 << 12, minor < 1 << 20) {
            (true, true) => Ok((major, minor)),
            (false, _) => Err(out_of_range("devmajor")),
            (_, false) => Err(out_of_range("devminor")),
        }
    }

    /// The map of holes in an old GNU header: its pieces, whether a block with more follows, and the size
    /// of the file.
    pub(super) fn old_map(&self) -> Result<(&'a [u8], bool, u64), Fault> {
        let real = size("realsize", self.field("realsize", 483..495)?)?;
        Ok((&self.0[386..482], self.0[482] != 0, real))
    }

    fn is_posix(&self) -> bool {
        self.0[257..263] == *b"ustar\0"
    }

    fn field(&self, field: &'static str, at: std::ops::Range<usize>) -> Result<i64, Fault> {
        number(&self.0[at]).map_err(|cause| Fault::Field { field, cause })
    }

    fn number(&self, field: &'static str, at: std::ops::Range<usize>) -> Result<u32, Fault> {
        u32::try_from(self.field(field, at)?).map_err(|_| Fault::Field {
            field,
            cause: "out of range",
        })
    }
}

/// An owner. 2^32-1 is no id: chown(2) takes it for "leave as it is", and so a file of such an owner would
/// stay root's.
pub(super) fn id(field: &'static str, value: i64) -> Result<u32, Fault> {
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or(Fault::Field {
            field,
            cause: "not an id: 0 to 4294967294",
        })
}

pub(super) fn size(field: &'static str, value: i64) -> Result<u64, Fault> {
    u64::try_from(value).map_err(|_| Fault::Field {
        field,
        cause: "a negative number of bytes",
    })
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0);
    &field[..end.unwrap_or(field.len())]
}

/// Octal digits, or, where the first bit is set, a big-endian number in two's complement (GNU and star).
pub(super) fn number(field: &[u8]) -> Result<i64, &'static str> {
    if field[0] & 0x80 == 0 {
        let value = octal(field).ok_or("not an octal number")?;
        return i64::try_from(value).map_err(|_| "out of range");
    }
    // The second bit is the sign, which the first takes the place of.
    let first = i128::from(field[0] & 0x3f) - i128::from(field[0] & 0x40);
    let mut value = first;
    for byte in &field[1..] {
        value = value.checked_mul(256).ok_or("out of range")? + i128::from(*byte);
    }
    i64::try_from(value).map_err(|_| "out of range")
}

/// Digits between blanks, ended by a blank or a NUL or the field; nothing at all is 0. GNU tar and Go pass
/// over a NUL before the digits, and where that is not the end, the one reader's content is the other's
/// headers (as in CVE-2025-62518): digits behind a NUL are none.
fn octal(field: &[u8]) -> Option<u64> {
    let text = text(field);
    if field[text.len()..].iter().any(u8::is_ascii_digit) {
        return None;
    }
    let text = text.trim_ascii();
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_of_base_256() {
        let cases: &[(&[u8], Result<i64, &str>)] = &[
            (b"0000644\0", Ok(0o644)),
            (b"   644 \0", Ok(0o644)),
            (b"\0\0\0\0\0\0\0\0", Ok(0)),
            (b"77777777", Ok(0o77_777_777)),
            (b"0000648\0", Err("not an octal number")),
            (b"-000001\0", Err("not an octal number")),
            (b"1 1\0\0\0\0\0", Err("not an octal number")),
            (b"\x000000644", Err("not an octal number")),
            (b"644\x000001", Err("not an octal number")),
            (b"\x80\0\0\0\0\0\x01\0", Ok(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Ok(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Ok(-2)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Ok(i64::MAX)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Err("out of range")),
            (b"\xc0\0\0\0\0\0\0\0\0\0\0\0", Err("out of range")),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), *expected, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn the_id_that_means_no_change_is_none() {
        assert_eq!(id("uid", 4_294_967_294).ok(), Some(4_294_967_294));
        for value in [4_294_967_295, 4_294_967_296, -1] {
            assert!(id("uid", value).is_err(), "{value}");
        }
    }
}
