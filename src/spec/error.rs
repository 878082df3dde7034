//! What can be wrong with config.json, and where in it.

use std::fmt;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("JSON specification file {} not found", .0.display())]
    Missing(PathBuf),
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("{}: more than {limit} bytes", path.display())]
    Large { path: PathBuf, limit: u64 },
    /// The document is the word `null`.
    #[error("config.json: config cannot be null")]
    Null,
    /// No JSON, or a value of another type than the OCI gives it.
    #[error("{at}line {line} column {column}: {reason}")]
    Json {
        /// The document, the path of the value where there is one, and `: `.
        at: String,
        line: usize,
        column: usize,
        reason: String,
    },
    /// A value of the right type that cannot be.
    #[error("{at}: {reason}")]
    Value { at: String, reason: String },
    #[error("config.json: {0}")]
    Seccomp(super::seccomp::Error),
    /// A part of the OCI that this version has not got: refused rather than ignored.
    #[error("{at}: not supported yet")]
    Unsupported { at: String },
}

/// A place in the document. It is put into words only when something is wrong there, so that a
/// good document costs no formatting.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<'a> {
    /// config.json as a whole.
    Top,
    /// `linux.resources` by itself, as `update` is given it.
    Resources,
    /// `linux.intelRdt` by itself, as `update` is given a part of it.
    Rdt,
    /// `process` by itself, as `exec` is given it.
    Process,
    Key(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    pub(super) fn key(&'a self, key: &'a str) -> At<'a> {
        At::Key(self, key)
    }

    pub(super) fn index(&'a self, index: usize) -> At<'a> {
        At::Index(self, index)
    }

    /// Whether what is not mentioned stays as it is, rather than being nothing.
    pub(super) fn is_of_update(&self) -> bool {
        matches!(self.document(), At::Resources)
    }

    /// The whole that this is a part of.
    fn document(&self) -> &At<'a> {
        match self {
            At::Key(parent, _) | At::Index(parent, _) => parent.document(),
            whole => whole,
        }
    }

    /// The place with its document.
    pub(super) fn whole(&self) -> String {
        match self.document() {
            At::Top => format!("config.json: {self}"),
            _ => self.to_string(),
        }
    }

    pub(super) fn fault(&self, reason: impl fmt::Display) -> Error {
        Error::Value {
            at: self.whole(),
            reason: reason.to_string(),
        }
    }

    /// Refuses a part of the OCI that is to come, where it is set.
    pub(super) fn refuse_if(&self, set: bool) -> Result<(), Error> {
        if !set {
            return Ok(());
        }
        Err(Error::Unsupported { at: self.whole() })
    }
}

/// `linux.namespaces[2].path`; a key that is no plain word is quoted.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Top => Ok(()),
            At::Resources => f.write_str("resources"),
            At::Rdt => f.write_str("intelRdt"),
            At::Process => f.write_str("process"),
            At::Index(parent, index) => write!(f, "{parent}[{index}]"),
            At::Key(parent, key) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                if key.is_empty() || !key.bytes().all(plain) {
                    write!(f, "{parent}[{key:?}]")
                } else if matches!(parent, At::Top) {
                    f.write_str(key)
                } else {
                    write!(f, "{parent}.{key}")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_it_is_written_in_javascript() {
        let linux = At::Top.key("linux");
        let namespaces = linux.key("namespaces");
        let second = namespaces.index(2);
        assert_eq!(second.key("path").to_string(), "linux.namespaces[2].path");
        let sysctl = linux.key("sysctl");
        assert_eq!(sysctl.key("net.a").to_string(), r#"linux.sysctl["net.a"]"#);
        assert_eq!(sysctl.key("").to_string(), r#"linux.sysctl[""]"#);
        let memory = At::Resources.key("memory");
        assert_eq!(memory.key("limit").whole(), "resources.memory.limit");
        assert_eq!(linux.whole(), "config.json: linux");
    }
}
