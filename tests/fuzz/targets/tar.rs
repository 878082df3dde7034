//! Bytes to entries: no panic, no hang, and no entry that another reader does not see.
#![no_main]

#[path = "seeds.rs"]
mod seeds;

use std::io::Read;

use bulkhead::image::layer::tar::{Kind, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: seeds::write(|_| Vec::new()), |bytes: &[u8]| {
    let Some(ours) = ours(bytes) else {
        return; // refused
    };
    if has_line_in_value(bytes) {
        return;
    }
    // Where both take an archive they see the same in it: CVE-2025-62518.
    let theirs = theirs(bytes);
    for (own, other) in ours.iter().zip(&theirs) {
        assert_eq!(own, other);
    }
});

/// Name and content.
type Seen = (Vec<u8>, Vec<u8>);

fn ours(bytes: &[u8]) -> Option<Vec<Seen>> {
    let mut reader = Reader::new(bytes);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().ok()? {
        // The other reader knows no map of PAX.
        if matches!(entry.kind, Kind::File(Some(_))) {
            return None;
        }
        let mut content = Vec::new();
        loop {
            let part = reader.content().ok()?;
            let length = part.len();
            if length == 0 {
                break;
            }
            content.extend_from_slice(part);
            reader.consume(length);
        }
        entries.push((entry.name, content));
    }
    Some(entries)
}

/// Up to the first that it does not take.
fn theirs(bytes: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().expect("it is at its beginning") {
        let Ok(mut entry) = entry else { break };
        if entry.header().entry_type().is_pax_global_extensions() {
            continue;
        }
        let name = entry.path_bytes().into_owned();
        let mut content = Vec::new();
        if entry.read_to_end(&mut content).is_err() {
            break;
        }
        seen.push((name, content));
    }
    seen
}

/// The other reader takes a line for a record, whatever length that says: it does not read a record with a line's
/// end in its value, nor one behind it.
fn has_line_in_value(bytes: &[u8]) -> bool {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().expect("it is at its beginning").raw(true);
    entries.map_while(Result::ok).any(|mut entry| {
        let mut text = Vec::new();
        let is_read = entry.read_to_end(&mut text).is_ok();
        let is_pax = entry.header().entry_type().is_pax_local_extensions();
        let mut rest = &text[..];
        while is_read && is_pax && !rest.is_empty() {
            let length = rest
                .split(|b| *b == b' ')
                .next()
                .and_then(|n| str::from_utf8(n).ok());
            let length = length
                .and_then(|n| n.parse().ok())
                .filter(|n| (1..=rest.len()).contains(n));
            let Some(length) = length else { return false };
            if rest[..length - 1].contains(&b'\n') {
                return true;
            }
            rest = &rest[length..];
        }
        false
    })
}
