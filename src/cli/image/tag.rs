//! `image tag`: one more name.

use super::super::arguments::Order;
use super::super::usage::Count;
use super::super::{Call, Command};
use super::store_flag;
use crate::image::Reference;

pub(super) const COMMAND: Command = Command {
    name: "image tag",
    about: "give an image one more name",
    arguments: "IMAGE NAME[:TAG]",
    count: Count::Exactly(2),
    order: Order::Anywhere,
    shielded: false,
    detail: "The image keeps the names that it has; another image that has this name loses it.",
    flags: || vec![store_flag()],
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let reference = Reference::parse(call.text(1)?)?;
    if reference.digest().is_some() {
        anyhow::bail!("{reference}: a digest is not given, it is what the image has");
    }
    let store = call.store()?;
    let _using = store.using()?;
    let image = store.resolve(call.text(0)?)?;
    store.tag(&image, &reference)?;
    Ok(0)
}
