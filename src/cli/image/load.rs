//! `image load`: all images of a file come into the store.

use anyhow::bail;
use clap::Arg;

use super::super::arguments::Order;
use super::super::context::path;
use super::super::usage::Count;
use super::super::{Call, Command};
use super::taking;
use crate::image::source::{self, registry};
use crate::image::{Name, Reference};

pub(super) const COMMAND: Command = Command {
    name: "image load",
    about: "take all images of an archive or a layout",
    arguments: "[oci:DIR | oci-archive:FILE | docker-archive:FILE]",
    count: Count::Between(0, 1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Takes an archive of either kind from the standard input, or what --input or the argument\n\
             names. Images have the names that are in the file; one with a tag alone is called\n\
             localhost/FILE:TAG. --name gives another to the only one.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    let mut flags = taking::flags();
    flags.push(
        path("input")
            .short('i')
            .help("read this archive; - is the standard input"),
    );
    flags.push(
        Arg::new("name")
            .long("name")
            .short('t')
            .help("call the image so"),
    );
    flags
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let name = call.flags.get_one::<String>("name");
    let name = name.map(|text| Reference::parse(text)).transpose()?;
    let store = call.store_to_change()?;
    let using = store.using()?;
    let scratch = store.scratch(&using)?;
    let spool = || taking::spool(&scratch);
    let offers = match (call.arguments.is_empty(), call.path("input")) {
        (true, None) => source::archive("-".as_ref(), &spool)?,
        (true, Some(path)) => source::archive(&path, &spool)?,
        (false, None) => match Name::parse(call.text(0)?)? {
            Name::Registry(reference) => {
                bail!("{reference} is at a registry: pull takes it; a file is --input FILE")
            }
            place => source::open(&place, &registry::Access::of_process(), &spool)?,
        },
        (false, Some(_)) => bail!("--input and an argument are two places to load from"),
    };
    if name.is_some() && offers.len() > 1 {
        bail!(
            "--name gives one name, and there are {} images",
            offers.len()
        );
    }
    for offer in &offers {
        let names = name.as_ref().map_or(&offer.names[..], std::slice::from_ref);
        call.take(&store, &using, offer, names)?;
    }
    Ok(0)
}
