//! Quantities, names and paths that cannot be wrong once they exist.

use std::ffi::{CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A span of time in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub u64);

/// A bound that may be absent on purpose. "Not mentioned" is `Option::None` around this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// Explicitly unlimited (`-1` in config.json, `max` in cgroup v2).
    None,
    At(T),
}

/// The name of a container: `[0-9A-Za-z_+.-]+`, not `.` or `..`, at most 255 bytes, since it is
/// also the name of its directory under the state root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    #[error("container id cannot be empty")]
    Empty,
    #[error("invalid container ID format: {0:?}: only letters, digits and _+.- are allowed")]
    Format(String),
    #[error("invalid container ID format: {0} bytes is more than 255, the longest file name")]
    Long(usize),
}

impl Id {
    /// Checks `text` against the rule above.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+.-".contains(&b);
        match text {
            "" => Err(IdError::Empty),
            _ if text.len() > 255 => Err(IdError::Long(text.len())),
            "." | ".." => Err(IdError::Format(text.into())),
            _ if !text.bytes().all(allowed) => Err(IdError::Format(text.into())),
            _ => Ok(Self(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path inside a root filesystem, relative to it, without `.`, `..` or empty parts; the root
/// itself is `.`. It is still only a name: links in the image are met when it is opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InRoot(CString);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    #[error("{0:?} is not an absolute path")]
    Relative(String),
    #[error("{0:?} contains a NUL byte")]
    Nul(String),
    #[error("a path of {0} bytes is longer than 4095, the most the kernel takes")]
    Long(usize),
    #[error("the path is empty")]
    Empty,
}

/// `clean`, which was given as `path`, as the kernel takes it: no NUL within it, and no more than
/// `most` bytes.
fn path_bytes(clean: &Path, path: &Path, most: usize) -> Result<CString, PathError> {
    let bytes = clean.as_os_str().as_bytes();
    if bytes.len() > most {
        return Err(PathError::Long(bytes.len()));
    }
    CString::new(bytes).map_err(|_| PathError::Nul(path.display().to_string()))
}

impl InRoot {
    /// Takes an absolute or relative path as the inside sees it. `..` is resolved as a name, and
    /// stops at the root as it does in the kernel.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, PathError> {
        let path = path.as_ref();
        if path.as_os_str().is_empty() {
            return Err(PathError::Empty);
        }
        let mut clean = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => drop(clean.pop()),
                Component::Normal(name) => clean.push(name),
                _ => {}
            }
        }
        if clean.as_os_str().is_empty() {
            clean.push(".");
        }
        // The outside may put a slash in front.
        path_bytes(&clean, path, 4094).map(Self)
    }

    /// Relative to the root, NUL at its end: what `openat2` under the root's descriptor takes.
    pub fn as_c_str(&self) -> &std::ffi::CStr {
        &self.0
    }

    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.0.to_bytes()))
    }

    /// The directory it lies in, as bytes (empty for the root), and its last component.
    pub fn split_last(&self) -> (&[u8], &std::ffi::CStr) {
        let bytes = self.0.to_bytes();
        match bytes.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&bytes[..slash], &self.0.as_c_str()[slash + 1..]),
            None => (b"", &self.0),
        }
    }

    pub fn is_root(&self) -> bool {
        self.0.to_bytes() == b"."
    }

    /// Whether this is `dir` itself or below it.
    pub fn is_in(&self, dir: &str) -> bool {
        self.as_path().starts_with(dir)
    }
}

/// As the inside names it, with the leading slash.
impl fmt::Display for InRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            f.write_str("/")
        } else {
            write!(f, "/{}", self.as_path().display())
        }
    }
}

/// An absolute path of the host or of the inside, without NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbsPath(CString);

impl AbsPath {
    pub fn new(path: impl AsRef<Path>) -> Result<Self, PathError> {
        let path = path.as_ref();
        if path.as_os_str().is_empty() {
            return Err(PathError::Empty);
        }
        if !path.is_absolute() {
            return Err(PathError::Relative(path.display().to_string()));
        }
        path_bytes(path, path, 4095).map(Self)
    }

    pub fn as_c_str(&self) -> &std::ffi::CStr {
        &self.0
    }

    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(self.0.to_bytes()))
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_file_name() {
        for good in ["a", "a.b", "A_9+-.x", "...", "-", &"x".repeat(255)] {
            assert!(Id::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a\0", "é", &"x".repeat(256)] {
            assert!(Id::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_in_the_root_stays_in_the_root() {
        for (given, shown) in [
            ("/", "/"),
            ("/../..", "/"),
            ("/proc/", "/proc"),
            ("a//./b", "/a/b"),
            ("/a/../../b", "/b"),
        ] {
            assert_eq!(InRoot::new(given).unwrap().to_string(), shown, "{given}");
        }
        assert_eq!(InRoot::new(""), Err(PathError::Empty));
        assert!(InRoot::new("/proc/sys").unwrap().is_in("proc"));
        assert!(!InRoot::new("/process").unwrap().is_in("proc"));
    }
}
