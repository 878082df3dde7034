//! `image run`: an image becomes a container.

mod flags;
mod limits;
mod mounts;
mod settings;

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, bail};

use super::super::arguments::Order;
use super::super::usage::Count;
use super::super::{Call, Command, chain, output};
use super::taking;
use crate::container::{self, ImageRun, RunOptions};
use crate::image::bundle::Network;
use crate::image::store::{Error, Image};
use crate::image::{Name, Store, source};
use crate::spec::Id;
use crate::sys::apart::apart;
use crate::sys::exec;

/// However slow a registry is.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

pub(in crate::cli) const NAME: &str = "image run";

pub(super) const COMMAND: Command = Command {
    name: NAME,
    about: "run a container of an image",
    arguments: "IMAGE [COMMAND [ARGUMENT…]]",
    count: Count::AtLeast(1),
    order: Order::First,
    shielded: true,
    detail: "Takes the image if it is not in the store, and runs its program or the one that is given, with\n\
             the defaults of Docker: few capabilities, a filter of system calls, and masked paths. It differs\n\
             where Docker needs a service: there is no network but the host's, which --network host gives, and\n\
             no profile of AppArmor, as the one of Docker is loaded by its service.\n\
             In the foreground the container goes when it ends; a detached one stays for \"state\" and \"wait\"\n\
             until it is deleted, or goes with --rm. The exit code is the program's, 128 and the number of the\n\
             signal that killed it, 127 where there is no such program, 126 where it cannot be executed, and\n\
             125 for all else.",
    flags: flags::flags,
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    flags::refuse(call)?;
    let id = match call.word("name") {
        Some(name) => Id::new(name).context("--name")?,
        None => generate()?,
    };
    // Before anything is fetched: what is wrong with the words is said at once.
    let settings = settings::settings(call, &id)?;
    let store = call.store()?;
    let image = image(call, &store)?;

    let tells_of_network = settings.network == Network::None;
    let detach = call.has_letter("detach", 'd');
    let asked = ImageRun {
        image,
        settings,
        how: RunOptions {
            detach,
            keep: call.flags.get_flag("keep"),
            remove: call.flags.get_flag("rm"),
            no_subreaper: false,
            is_silent: detach,
            tells_of_network,
        },
    };
    if detach || !call.has_letter("interactive", 'i') {
        let null = File::open("/dev/null").context("open /dev/null")?;
        exec::duplicate(null.as_fd(), 0).context("take /dev/null for the standard input")?;
    }
    let code = container::run_image(&call.context(), &id, &store, &asked)?;
    if detach {
        output::print(&format!("{id}\n"))?;
    }
    Ok(code)
}

/// The exit code where the program was not even looked for.
pub(in crate::cli) const FAILED: u8 = 125;

/// The exit code of a failure, as Docker's callers know them.
pub(in crate::cli) fn failure(error: &anyhow::Error) -> u8 {
    let said = chain(error);
    // The sentence of a program that was not found or not executed begins with its name.
    let Some((_, about)) = said.split_once("error during container init: exec") else {
        return FAILED;
    };
    let is_missing = [
        "executable file not found in $PATH",
        "no such file or directory",
    ];
    match is_missing.iter().any(|text| about.ends_with(text)) {
        true => 127,
        false => 126,
    }
}

/// Twelve letters that no other container is called.
fn generate() -> Result<Id, anyhow::Error> {
    let mut random = [0; 6];
    let source = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    source.context("read /dev/urandom")?;
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Id::new(&text)?)
}

/// The image, taken into the store where `--pull` wants it.
fn image(call: &Call, store: &Store) -> Result<Image, anyhow::Error> {
    let text = call.text(0)?;
    let (pull, platform) = (call.word("pull").unwrap_or("missing"), call.platform()?);
    let name = Name::parse(text)?;
    // What a layout or an archive has may be another by now; its blobs are not copied twice.
    let is_named = matches!(name, Name::Registry(_));
    if is_named && pull != "always" {
        let found = store.resolve(text);
        let is_wanted = |image: &Image| platform.as_ref().is_none_or(|p| *p == image.platform);
        match found {
            Ok(image) if is_wanted(&image) => return Ok(image),
            Ok(image) if pull == "never" => {
                bail!(
                    "{text} is here for {} only, and --pull never",
                    image.platform
                )
            }
            Ok(_) => {}
            Err(Error::NoImage(_)) if pull == "missing" => {}
            Err(e) => return Err(e.into()),
        }
    }
    // That takes threads, and this process is to have one.
    let digest = apart(PATIENCE, || take(call, &name).map_err(|e| chain(&e)))?;
    let mut images = store.images()?.into_iter();
    let taken = images.find(|image| image.manifest.digest.to_string() == digest);
    taken.with_context(|| format!("{text}: somebody has removed it again"))
}

/// The digest of the manifest.
fn take(call: &Call, name: &Name) -> Result<String, anyhow::Error> {
    let access = call.access()?;
    let store = call.store_to_change()?;
    let using = store.using()?;
    let scratch = store.scratch(&using)?;
    let spool = || taking::spool(&scratch);
    let offers = source::open(name, &access, &spool)?;
    let offer = source::only(name.to_string().as_ref(), offers)?;
    let image = call.fetch(&store, &using, &offer, &offer.names)?;
    Ok(image.manifest.digest.to_string())
}
