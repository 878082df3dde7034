//! Whether a container ends with its runtime, as one of `run` in the foreground does: its first process
//! has asked the kernel for that, and CRIU brings it back with its wish.
//!
//! A file beside the images says so; where there is none, it does not.

use super::{Error, Images, kept};

const FILE: &str = "bulkhead.json";
const KEY: &str = "endsWithRuntime";

pub(crate) fn save_ending(with_runtime: bool, images: &Images) -> Result<(), Error> {
    let path = images.file(FILE);
    if !with_runtime {
        // Of what was saved here before.
        return kept::remove(&path);
    }
    let text = serde_json::json!({ KEY: true }).to_string();
    kept::write(&path, text.as_bytes())
}

pub(crate) fn saved_ending(images: &Images) -> Result<bool, Error> {
    let path = images.file(FILE);
    let Some(text) = kept::read(&path)? else {
        return Ok(false);
    };
    let found: Result<serde_json::Value, _> = serde_json::from_slice(&text);
    let found = found.ok().and_then(|found| found[KEY].as_bool());
    found.ok_or(Error::Alien { path })
}
