//! `image prune`: what nothing refers to goes.

use std::path::Path;

use clap::Arg;

use super::super::arguments::Order;
use super::super::usage::Count;
use super::super::{Call, Command, chain, output};
use super::size::shown;
use super::{format_flag, store_flag};
use crate::container;
use crate::image::Store;
use crate::image::store::Freed;

pub(super) const COMMAND: Command = Command {
    name: "image prune",
    about: "remove what nothing refers to",
    arguments: "",
    count: Count::Exactly(0),
    order: Order::Anywhere,
    shielded: false,
    detail: "Removes layers and blobs that belong to no image and no container, what killed commands\n\
             have left, and the files of containers that have no record any more. Waits until nobody adds\n\
             to the store.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![store_flag(), format_flag()]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let (path, as_json) = (call.store_path(), call.wants_json());
    let text = container::remove_by(|| prune(&path, as_json).map_err(|e| chain(&e)))?;
    output::print(&text)?;
    Ok(0)
}

fn prune(path: &Path, as_json: bool) -> Result<String, anyhow::Error> {
    let freed = match Store::open_existing(path)? {
        Some(store) => store.prune(&store.alone()?)?,
        None => Freed::default(),
    };
    let text = match as_json {
        true => serde_json::to_string(&freed)?,
        false => words(&freed),
    };
    Ok(text + "\n")
}

fn words(freed: &Freed) -> String {
    format!(
        "removed {} blobs, {} layers, {} containers' files, {} unfinished; freed {}",
        freed.blobs,
        freed.layers,
        freed.containers.len(),
        freed.unfinished,
        shown(freed.bytes)
    )
}
