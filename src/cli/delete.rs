//! `delete`: nothing is left.

use clap::Arg;

use super::arguments::Order;
use super::context::boolean;
use super::usage::Count;
use super::{Call, Command};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "delete",
    about: "remove all that a container holds",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Removes the groups and the record of a container that has stopped, or was never started.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        boolean("force")
            .short('f')
            .help("kill it first if it runs; no error if it does not exist"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    container::delete(&call.context(), &call.id()?, call.flags.get_flag("force"))?;
    Ok(0)
}
