//! `image prune`: what nothing refers to goes.

use clap::Arg;

use super::super::arguments::Order;
use super::super::usage::Count;
use super::super::{Call, Command, output};
use super::size::shown;
use super::{format_flag, store_flag};
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
    let freed = match Store::open_existing(&call.store_path())? {
        Some(store) => store.prune(&store.alone()?)?,
        None => Freed::default(),
    };
    let text = match call.wants_json() {
        true => serde_json::to_string(&freed)?,
        false => words(&freed),
    };
    output::print(&(text + "\n"))?;
    Ok(0)
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
