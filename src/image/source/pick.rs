//! Which of a layout's images is meant.

use std::path::Path;

use super::Error;
use crate::image::documents::{Descriptor, Entry, Index, media};

/// The annotation that names an image in a layout's index (image-spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The document that `tag` leads to; `@sha256:…` is one by its digest. Several entries of one name are
/// the image for several platforms: they come as an index of their own.
pub(super) fn root(
    path: &Path,
    index: &Index,
    tag: Option<&str>,
    read: impl Fn(&Descriptor) -> Result<Vec<u8>, Error>,
) -> Result<(Descriptor, Vec<u8>), Error> {
    let name = |entry: &Entry| entry.annotations.get(REF_NAME).cloned();
    let names = || -> Vec<String> {
        let mut names: Vec<String> = index.entries.iter().filter_map(name).collect();
        names.sort();
        names.dedup();
        names
    };
    let is_meant = |entry: &&Entry| match tag {
        None => true,
        Some(tag) => match tag.strip_prefix('@') {
            Some(digest) => entry.descriptor.digest.to_string() == digest,
            None => entry
                .annotations
                .get(REF_NAME)
                .is_some_and(|name| name == tag),
        },
    };
    let meant: Vec<&Entry> = index.entries.iter().filter(is_meant).collect();
    let Some(first) = meant.first() else {
        return Err(Error::NoTag {
            path: path.into(),
            tag: tag.map(String::from),
            names: names(),
        });
    };
    if meant
        .iter()
        .all(|entry| entry.descriptor == first.descriptor)
    {
        return Ok((first.descriptor.clone(), read(&first.descriptor)?));
    }
    let is_one = meant
        .iter()
        .all(|entry| entry.platform.is_some() && name(entry) == name(first));
    match is_one {
        true => {
            let bytes = joined(&meant);
            Ok((Descriptor::of(media::INDEX, &bytes), bytes))
        }
        false => Err(Error::Several {
            path: path.into(),
            names: names(),
        }),
    }
}

fn joined(entries: &[&Entry]) -> Vec<u8> {
    let manifests = entries.iter().map(|entry| {
        let mut json = serde_json::json!(entry.descriptor);
        if let Some(platform) = &entry.platform {
            json["platform"] = platform.to_json();
        }
        json
    });
    let manifests: Vec<_> = manifests.collect();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media::INDEX,
        "manifests": manifests,
    });
    index.to_string().into_bytes()
}
