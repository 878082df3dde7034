//! Documents beside config.json: from a file, or from the standard input.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context, anyhow, bail};

use super::output;

/// Beyond any that somebody writes, a list of a thousand devices included.
const LARGEST: u64 = 1 << 20;

/// All of `file`; `-` is the standard input.
pub(super) fn read(file: &OsStr) -> Result<Vec<u8>, anyhow::Error> {
    let source: Box<dyn Read> = if file == "-" {
        Box::new(io::stdin())
    } else {
        let opened = File::open(file).map_err(|e| anyhow!("{}", output::cause(&e)));
        Box::new(opened.with_context(|| format!("open {}", file.display()))?)
    };
    let mut json = Vec::new();
    let read = source.take(LARGEST + 1).read_to_end(&mut json);
    read.map_err(|e| anyhow!("{}", output::cause(&e)))
        .with_context(|| format!("read {}", file.display()))?;
    if json.len() as u64 > LARGEST {
        bail!("{}: more than {LARGEST} bytes", file.display());
    }
    Ok(json)
}
