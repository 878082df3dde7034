//! `image ls`: what the store has.

use clap::Arg;
use serde::Serialize;

use super::super::arguments::Order;
use super::super::context::boolean;
use super::super::table::aligned;
use super::super::usage::Count;
use super::super::{Call, Command, chain, output};
use super::size::shown;
use super::{format_flag, store_flag};
use crate::image::store::Image;
use crate::image::{Digest, Reference, Store};

pub(super) const COMMAND: Command = Command {
    name: "image ls",
    about: "list images",
    arguments: "[IMAGE]",
    count: Count::Between(0, 1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Lists the images of the store, or those of one repository. The size is that of the\n\
             layers unpacked; what several images share is counted for each.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        store_flag(),
        format_flag(),
        boolean("quiet").short('q').help("print the ids alone"),
        boolean("digests").help("show digests"),
        boolean("no-trunc").help("print ids whole"),
    ]
}

/// One line of the list; the form of `--format json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    /// Empty for an image without a name.
    name: String,
    id: Digest,
    digest: Digest,
    created: Option<String>,
    platform: String,
    /// Bytes of all layers unpacked.
    size: u64,
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let only = match call.arguments.is_empty() {
        true => None,
        false => Some(Reference::parse(call.text(0)?)?.repository()),
    };
    let mut listed = Vec::new();
    if let Some(store) = Store::open_existing(&call.store_path())? {
        for image in store.images()? {
            let name = image
                .name
                .as_deref()
                .and_then(|name| Reference::parse(name).ok());
            if only.is_none() || only == name.map(|name| name.repository()) {
                match look(&store, &image) {
                    Ok(one) => listed.push(one),
                    Err(error) => {
                        let name = image.name.unwrap_or_default();
                        log::warn!("image {name} is damaged: {}", chain(&error));
                    }
                }
            }
        }
    }
    let whole = call.flags.get_flag("no-trunc");
    let text = match call.wants_json() {
        _ if call.flags.get_flag("quiet") => {
            let id = |one: &Listed| id(&one.id, whole) + "\n";
            listed.iter().map(id).collect()
        }
        true => serde_json::to_string(&listed)? + "\n",
        false => table(&listed, whole, call.flags.get_flag("digests")),
    };
    output::print(&text)?;
    Ok(0)
}

fn look(store: &Store, image: &Image) -> Result<Listed, anyhow::Error> {
    let manifest = store.manifest(image)?;
    let config = store.config(&manifest)?;
    Ok(Listed {
        name: image.name.clone().unwrap_or_default(),
        id: manifest.config.digest,
        digest: image.chosen_from.clone(),
        created: config.created,
        platform: image.platform.to_string(),
        size: unpacked_size(store, image)?,
    })
}

/// Bytes of an image's layers unpacked.
pub(super) fn unpacked_size(store: &Store, image: &Image) -> Result<u64, anyhow::Error> {
    let mut size = 0;
    for key in store.layer_keys(image)? {
        size += store.layer_record(&key)?.bytes;
    }
    Ok(size)
}

/// Twelve digits are what Docker shows of an id.
fn id(digest: &Digest, whole: bool) -> String {
    match whole {
        true => digest.to_string(),
        false => digest.hex()[..12].into(),
    }
}

fn table(listed: &[Listed], whole: bool, digests: bool) -> String {
    let header = [
        "REPOSITORY",
        "TAG",
        "DIGEST",
        "IMAGE ID",
        "CREATED",
        "PLATFORM",
        "SIZE",
    ];
    let mut rows = vec![header.map(String::from)];
    rows.extend(listed.iter().map(|one| {
        let name = Reference::parse(&one.name).ok();
        let none = || String::from("<none>");
        let tag = name.as_ref().and_then(|name| name.tag().map(String::from));
        [
            name.map_or_else(none, |name| name.repository()),
            tag.unwrap_or_else(none),
            one.digest.to_string(),
            id(&one.id, whole),
            // To the second: the rest of RFC 3339 is for machines.
            one.created
                .as_deref()
                .unwrap_or("")
                .chars()
                .take(19)
                .collect(),
            one.platform.clone(),
            shown(one.size),
        ]
    }));
    if digests {
        return aligned(&rows);
    }
    let rows = rows.into_iter();
    let without: Vec<_> = rows
        .map(|[repository, tag, _, id, created, platform, size]| {
            [repository, tag, id, created, platform, size]
        })
        .collect();
    aligned(&without)
}
