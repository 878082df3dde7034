//! `image`: a group of commands, one file each.

mod inspect;
mod load;
mod ls;
mod progress;
mod prune;
mod pull;
mod rm;
pub(super) mod run;
mod save;
mod size;
mod tag;
mod taking;
mod unpack;
mod verify;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Arg;
use nix::unistd::geteuid;

use super::arguments::Order;
use super::context::{none, path};
use super::usage::Count;
use super::{Call, Command};
use crate::image::Store;
use crate::image::store::default_path;
use crate::sys::{reason, users};

pub(super) const NAME: &str = "image";

/// The group itself: what it does is done by one of [`COMMANDS`].
pub(super) const COMMAND: Command = Command {
    name: NAME,
    about: "pull, load, save, list and remove images, and run one",
    arguments: "COMMAND [options] [arguments]",
    count: Count::AtLeast(0),
    order: Order::First,
    shielded: false,
    detail: "Images lie in a store: $BULKHEAD_STORE, or /var/lib/bulkhead, or for a user\n\
             $XDG_DATA_HOME/bulkhead. The store is an OCI image layout that other programs can read.\n\
             \"bulkhead image COMMAND --help\" says more of each.",
    flags: none,
    run: |_| Ok(0),
};

/// In the order of the help.
pub(super) static COMMANDS: &[Command] = &[
    run::COMMAND,
    pull::COMMAND,
    load::COMMAND,
    save::COMMAND,
    unpack::COMMAND,
    ls::COMMAND,
    inspect::COMMAND,
    tag::COMMAND,
    rm::COMMAND,
    prune::COMMAND,
    verify::COMMAND,
];

/// `--store`, which every command of images has.
fn store_flag() -> Arg {
    path("store").help("directory of the images (default: $BULKHEAD_STORE, /var/lib/bulkhead, …)")
}

fn format_flag() -> Arg {
    Arg::new("format")
        .long("format")
        .short('f')
        .value_parser(clap::builder::PossibleValuesParser::new(["table", "json"]))
        .help("table (default) or json")
}

impl Call {
    fn store_path(&self) -> PathBuf {
        self.path("store").unwrap_or_else(default_path)
    }

    /// The store, made where it is not there.
    fn store(&self) -> Result<Store, anyhow::Error> {
        Ok(Store::open(&self.store_path())?)
    }

    /// The store, for who changes it. A user is root of a namespace of his own from now on: a layer may have
    /// directories that let nobody but root write or look into them.
    fn store_to_change(&self) -> Result<Store, anyhow::Error> {
        let path = self.store_path();
        if !geteuid().is_root()
            && let Err(errno) = users::become_root_alone()
        {
            log::warn!("make a user namespace: {}", reason(errno));
        }
        Ok(Store::open(&path)?)
    }

    fn wants_json(&self) -> bool {
        let format = self.flags.get_one::<String>("format");
        format.is_some_and(|format| format == "json")
    }

    /// Argument `number` as text.
    fn text(&self, number: usize) -> Result<&str, anyhow::Error> {
        let word = self.arguments.get(number);
        word.and_then(|word| word.to_str())
            .ok_or_else(|| anyhow!("argument {} is not UTF-8", number + 1))
    }
}
