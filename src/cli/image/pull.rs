//! `image pull`: an image comes into the store.

use clap::Arg;

use super::super::arguments::Order;
use super::super::usage::Count;
use super::super::{Call, Command};
use super::taking;
use crate::image::{Name, source};

pub(super) const COMMAND: Command = Command {
    name: "image pull",
    about: "take an image from a registry, a layout or an archive",
    arguments: "IMAGE",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "IMAGE is [docker://]NAME[:TAG][@DIGEST] at a registry, oci:DIR[:TAG], oci-archive:FILE[:TAG]\n\
             or docker-archive:FILE[:NAME]. Every document, blob and layer is verified, and the layers are\n\
             unpacked. What the store has is not fetched again.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    let mut flags = taking::flags();
    flags.extend(taking::registry_flags());
    flags
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let name = Name::parse(call.text(0)?)?;
    let access = call.access()?;
    let store = call.store_to_change()?;
    let using = store.using()?;
    let scratch = store.scratch(&using)?;
    let spool = || taking::spool(&scratch);
    let offers = source::open(&name, &access, &spool)?;
    let offer = source::only(name.to_string().as_ref(), offers)?;
    call.take(&store, &using, &offer, &offer.names)?;
    Ok(0)
}
