//! `image rm`: a name goes, and with its last name the image.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::Arg;

use super::super::arguments::Order;
use super::super::context::boolean;
use super::super::usage::Count;
use super::super::{Call, Command, output};
use super::store_flag;
use crate::image::store::{Error, Image};
use crate::image::{Reference, Store};

pub(super) const COMMAND: Command = Command {
    name: "image rm",
    about: "remove images by name or id",
    arguments: "IMAGE…",
    count: Count::AtLeast(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Removes the name, and with an image's last name what no other image needs of it. An\n\
             image that a container uses is refused; --force removes its name, and prune the rest when\n\
             the container is gone.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        store_flag(),
        boolean("force")
            .short('f')
            .help("remove names of images that containers use, and all names of an id"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let force = call.flags.get_flag("force");
    let store = call.store_to_change()?;
    let mut words = Vec::new();
    for number in 0..call.arguments.len() {
        words.push(call.text(number)?);
    }
    // `ls -q` says the id of an image once for each of its names.
    let mut seen = BTreeSet::new();
    for text in words.into_iter().filter(|word| seen.insert(*word)) {
        for image in meant(&store, text, force)? {
            let containers = store.users(&image)?;
            if !containers.is_empty() && !force {
                let image = text.into();
                return Err(Error::InUse { image, containers }.into());
            }
            store.remove(&image)?;
            let name = image
                .name
                .unwrap_or_else(|| image.manifest.digest.to_string());
            output::print(&format!("{name}\n"))?;
        }
    }
    Ok(0)
}

/// The image under the name that was given, or under all that it has where an id was.
fn meant(store: &Store, text: &str, force: bool) -> Result<Vec<Image>, anyhow::Error> {
    let image = store.resolve(text)?;
    if let Ok(reference) = Reference::parse(text)
        && store.find(&reference)?.is_some()
    {
        return Ok(vec![image]);
    }
    let all = store.images()?.into_iter();
    let all: Vec<Image> = all
        .filter(|other| other.manifest == image.manifest)
        .collect();
    if all.len() > 1 && !force {
        let names: Vec<_> = all
            .iter()
            .filter_map(|image| image.name.as_deref())
            .collect();
        bail!(
            "{text} has several names: {}; remove them one by one, or with --force",
            names.join(", ")
        );
    }
    Ok(all)
}
