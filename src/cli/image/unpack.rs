//! `image unpack`: a bundle for any OCI runtime.

use clap::Arg;

use super::super::arguments::Order;
use super::super::usage::Count;
use super::super::{Call, Command};
use super::taking;
use crate::container;
use crate::image::bundle::Settings;
use crate::image::layer::Form;
use crate::image::source::{self, Offer};
use crate::image::unpack::Draft;
use crate::image::{Name, Platform, Store};

pub(super) const COMMAND: Command = Command {
    name: "image unpack",
    about: "make a bundle of an image, for any OCI runtime",
    arguments: "IMAGE BUNDLE",
    count: Count::Exactly(2),
    order: Order::Anywhere,
    shielded: false,
    detail: "Makes the directory BUNDLE with the image's files in rootfs, and a config.json from what the\n\
             image says of itself. IMAGE is one of the store, or any that \"image pull\" takes: that one is\n\
             read where it is, and does not come into the store.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    let mut flags = taking::flags();
    flags.retain(|flag| matches!(flag.get_id().as_str(), "store" | "platform" | "max-size"));
    flags.extend(taking::registry_flags());
    flags
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let text = call.text(0)?;
    // While we are who we are.
    let (access, id_maps) = (call.access()?, container::id_maps());
    let store = call.store_to_change()?;
    let _using = store.using()?;
    let draft = Draft::begin(call.arguments[1].as_ref())?;
    let mut platform = call.platform()?;
    let offer = match of_store(&store, text)? {
        Some((offer, own)) => {
            platform.get_or_insert(own);
            offer
        }
        None => {
            let name = Name::parse(text)?;
            let spool = || taking::spool(draft.scratch());
            source::only(text.as_ref(), source::open(&name, &access, &spool)?)?
        }
    };
    let settings = Settings {
        id_maps,
        ..Settings::default()
    };
    let unpacking = call.unpacking(Form::Flat)?;
    draft.finish(&*offer.source, platform.as_ref(), &unpacking, &settings)?;
    Ok(0)
}

fn of_store(store: &Store, text: &str) -> Result<Option<(Offer, Platform)>, anyhow::Error> {
    match store.resolve(text) {
        Ok(image) => Ok(Some((store.source(&image)?, image.platform))),
        Err(crate::image::store::Error::NoImage(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
