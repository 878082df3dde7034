//! Under which name the program was called, and which versions it tells.

use std::ffi::OsStr;
use std::path::Path;

/// The release of runc whose command line this one is, by its own account (`features`,
/// `runc --version`).
pub(super) const RUNC: &str = "1.2.0";

pub(super) use crate::spec::defaults::VERSION as SPEC;

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

const COMMIT: &str = match option_env!("BULKHEAD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The program as its caller named it.
#[derive(Debug)]
pub(super) struct Program {
    /// The whole first word, for the messages that show it.
    pub(super) called: String,
    /// `runc` where a caller was pointed at us by that name, `bulkhead` otherwise.
    pub(super) name: &'static str,
}

impl Program {
    pub(super) fn called(by: Option<&OsStr>) -> Self {
        let base = by.and_then(|word| Path::new(word).file_name());
        let name = match base {
            Some(base) if base == "runc" => "runc",
            _ => "bulkhead",
        };
        Self {
            called: by.map_or_else(|| name.into(), |word| word.display().to_string()),
            name,
        }
    }

    /// Docker and containerd take the first line for a version of runc when it begins with that
    /// name, and the second one for its commit.
    pub(super) fn version(&self) -> String {
        let first = match self.name {
            "runc" => format!("runc version {RUNC} (bulkhead {VERSION})"),
            name => format!("{name} version {VERSION}"),
        };
        format!("{first}\ncommit: {COMMIT}\nspec: {SPEC}\n")
    }
}
