//! `image inspect`: all that is known of an image, as JSON.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::arguments::Order;
use super::super::usage::Count;
use super::super::{Call, Command, output};
use super::ls::unpacked_size;
use super::store_flag;
use crate::image::store::Image;
use crate::image::{Reference, Store};

pub(super) const COMMAND: Command = Command {
    name: "image inspect",
    about: "print all that is known of images",
    arguments: "IMAGE…",
    count: Count::AtLeast(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Prints a JSON array with an object for each image: the fields that Docker's has, and\n\
             Manifest, the image's own, and Layers, with the trees they are unpacked to.",
    flags: || vec![store_flag()],
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let store = call.store()?;
    let mut shown = Vec::new();
    for number in 0..call.arguments.len() {
        shown.push(inspect(&store, &store.resolve(call.text(number)?)?)?);
    }
    output::print(&(serde_json::to_string_pretty(&shown)? + "\n"))?;
    Ok(0)
}

fn inspect(store: &Store, image: &Image) -> Result<Value, anyhow::Error> {
    let manifest = store.manifest(image)?;
    let config = store.config(&manifest)?;
    // As they were written: there may be more in them than we know of.
    let raw_manifest: Value = serde_json::from_slice(&store.read_blob(&image.manifest)?)?;
    let raw_config: Value = serde_json::from_slice(&store.read_blob(&manifest.config)?)?;
    let names: Vec<Reference> = store
        .images()?
        .iter()
        .filter(|other| other.manifest == image.manifest)
        .filter_map(|other| Reference::parse(other.name.as_deref()?).ok())
        .collect();
    let tags: BTreeSet<String> = names
        .iter()
        .filter_map(|name| Some(format!("{}:{}", name.repository(), name.tag()?)))
        .collect();
    let digests: BTreeSet<String> = names
        .iter()
        .map(|name| format!("{}@{}", name.repository(), image.chosen_from))
        .collect();
    let layers = manifest.layers(&config)?;
    let trees = store.layers(image)?;
    let layers: Vec<Value> = layers
        .iter()
        .zip(trees)
        .map(|(layer, tree)| {
            json!({"Digest": layer.blob.digest, "MediaType": layer.blob.media_type, "Size": layer.blob.size,
                   "DiffId": layer.diff_id, "Tree": tree})
        })
        .collect();
    Ok(json!({
        "Id": manifest.config.digest,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": config.created,
        "Author": config.author,
        "Os": config.platform.os(),
        "Architecture": config.platform.architecture(),
        "Variant": config.platform.variant(),
        "Size": unpacked_size(store, image)?,
        "Config": raw_config["config"],
        "History": raw_config["history"],
        "RootFS": {"Type": "layers", "Layers": config.diff_ids},
        "Manifest": raw_manifest,
        "Layers": layers,
    }))
}
