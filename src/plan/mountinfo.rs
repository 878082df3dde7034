//! What is mounted where, as this process sees it (proc_pid_mountinfo(5)).

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::sys::errno;
use nix::errno::Errno;

pub(super) const PATH: &str = "/proc/self/mountinfo";

/// One mount, by three of its fields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub id: u64,
    pub point: PathBuf,
    /// The filesystem's name: `ext4`.
    pub kind: String,
}

/// All mounts, in the order of the kernel: a mount comes after the one that it lies on.
pub(super) fn read() -> Result<Vec<Mount>, Errno> {
    Ok(parse_all(&std::fs::read(PATH).map_err(errno)?))
}

/// The same of a text that was read.
pub(crate) fn parse_all(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n').filter_map(parse).collect()
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|b| *b == b' ');
    let id = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let point = unescape(words.nth(3)?);
    let kind = words.skip_while(|word| *word != b"-").nth(1)?;
    Some(Mount {
        id,
        point: PathBuf::from(std::ffi::OsString::from_vec(point)),
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_by_its_fields() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw";
        let mount = parse(line).unwrap();
        assert_eq!((mount.id, mount.kind.as_str()), (36, "ext3"));
        assert_eq!(mount.point, PathBuf::from("/mnt 2"));
        let alone = b"36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw";
        assert_eq!(parse(alone).unwrap().kind, "ext3");
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_path_of_mountinfo_is_read_as_it_is() {
        for (written, path) in [
            ("/a", "/a"),
            ("/a\\040b", "/a b"),
            ("/\\134", "/\\"),
            ("/\\9", "/\\9"),
        ] {
            assert_eq!(unescape(written.as_bytes()), path.as_bytes(), "{written}");
        }
    }
}
