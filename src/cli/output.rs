//! The standard output. Nothing else of the program writes to it.

use std::io::{self, Write};

/// Writes `text` as it is. A reader that has gone away is an error like any other: SIGPIPE is
/// ignored (Rust's runtime sees to that), so nothing dies half way.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error)
}

#[derive(Debug, thiserror::Error)]
#[error("write to the standard output: {}", cause(.0))]
pub(super) struct Error(io::Error);

impl Error {
    /// Whether the reader has gone away.
    pub(super) fn is_unheard(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// The system's sentence in the house's spelling: no capital, no `(os error 2)`.
pub(super) fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => nix::errno::Errno::from_raw(errno)
            .desc()
            .to_ascii_lowercase(),
        None => error.to_string(),
    }
}
