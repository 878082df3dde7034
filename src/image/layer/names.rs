//! Names of entries: where they stand under the root, and what they mean.

use std::ffi::{CStr, CString};

use super::error::Fault;

/// PATH_MAX and NAME_MAX of limits.h, without the NUL.
const LONGEST_PATH: usize = 4095;
const LONGEST_NAME: usize = 255;

/// Each directory on the way is held open.
pub(super) const DEEPEST: usize = 256;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry's name asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    Root,
    /// Parents from the root down, and the name there.
    At(Vec<CString>, CString),
    /// That what layers below have there is not to be seen.
    Removed(Vec<CString>, CString),
    /// The same of all that is in a directory.
    Opaque(Vec<CString>),
}

/// Parts of a name, without slashes, `.` and what comes before the root: an archive's names are under the
/// root whether they say so or not. `..` is refused: no archiver writes it.
pub(super) fn parts(name: &[u8]) -> Result<Vec<CString>, Fault> {
    if name.len() > LONGEST_PATH {
        return Err(Fault::Name("longer than 4095 bytes"));
    }
    let mut parts = Vec::new();
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Fault::Name("it leads upwards")),
            part if part.len() > LONGEST_NAME => {
                return Err(Fault::Name("a part is longer than 255 bytes"));
            }
            part => parts.push(CString::new(part).map_err(|_| Fault::Name("a NUL in it"))?),
        }
    }
    if parts.len() > DEEPEST {
        return Err(Fault::Name("deeper than 256 directories"));
    }
    Ok(parts)
}

/// image-spec, layer.md, 'Whiteouts'.
pub(super) fn named(name: &[u8]) -> Result<Named, Fault> {
    let mut parts = parts(name)?;
    let Some(last) = parts.pop() else {
        return Ok(Named::Root);
    };
    if let Some(above) = parts.iter().find(|part| is_whiteout(part)) {
        return Err(not_a_whiteout(above));
    }
    let Some(hidden) = last.to_bytes().strip_prefix(WHITEOUT) else {
        return Ok(Named::At(parts, last));
    };
    match hidden {
        _ if last.to_bytes() == OPAQUE && !parts.is_empty() => Ok(Named::Opaque(parts)),
        // Overlayfs has no layer whose root hides those below; nobody writes one.
        b"" | b"." | b".." => Err(not_a_whiteout(&last)),
        // What aufs kept for itself, `.wh..wh.plnk` for one.
        hidden if hidden.starts_with(WHITEOUT) => Err(not_a_whiteout(&last)),
        hidden => {
            let hidden = CString::new(hidden).expect("part of a name without a NUL");
            Ok(Named::Removed(parts, hidden))
        }
    }
}

fn is_whiteout(part: &CStr) -> bool {
    part.to_bytes().starts_with(WHITEOUT)
}

fn not_a_whiteout(part: &CStr) -> Fault {
    Fault::Whiteout(part.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    fn c(parts: &[&str]) -> Vec<CString> {
        parts.iter().map(|p| CString::new(*p).unwrap()).collect()
    }

    #[test]
    fn a_name_is_under_the_root_however_it_is_written() {
        for name in ["a/b", "/a/b", "./a/b", "a//b", "//a/./b/", "/./a/b/."] {
            let expected = Named::At(c(&["a"]), c(&["b"]).remove(0));
            assert_eq!(named(name.as_bytes()).unwrap(), expected, "{name}");
        }
        for name in ["/", ".", "./", "//", "./."] {
            assert_eq!(named(name.as_bytes()).unwrap(), Named::Root, "{name}");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_or_nowhere_is_refused() {
        let long = "n".repeat(256);
        let path = "n/".repeat(2048);
        let deep = "n/".repeat(300);
        for name in [
            "..", "a/..", "../a", "/..", "a/../b", &long, &path, &deep, "a\0b",
        ] {
            assert!(named(name.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_whiteout_has_a_name_that_can_be_hidden() {
        let removed = Named::Removed(c(&["a"]), c(&["b"]).remove(0));
        assert_eq!(named(b"a/.wh.b").unwrap(), removed);
        let removed = Named::Removed(c(&[]), c(&["..."]).remove(0));
        assert_eq!(named(b".wh....").unwrap(), removed);
        assert_eq!(named(b"a/.wh..wh..opq").unwrap(), Named::Opaque(c(&["a"])));
        for name in [
            ".wh.",
            ".wh..",
            ".wh...",
            ".wh..wh..opq",
            ".wh..wh.plnk",
            ".wh..wh.plnk/1.2",
            "a/.wh..wh.aufs",
            "a/.wh.b/c",
            ".wh..wh..opq/a",
        ] {
            assert!(
                matches!(named(name.as_bytes()), Err(Fault::Whiteout(_))),
                "{name}"
            );
        }
    }
}
