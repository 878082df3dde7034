//! `wait`: how it ended.

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, context, output};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "wait",
    about: "wait for the end of a container and print its exit code",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Prints the program's exit code, or 128 and the number of the signal that killed it.",
    flags: context::none,
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let exit = container::wait(&call.context(), &call.id()?)?;
    output::print(&format!("{}\n", exit.end.exit_code()))?;
    Ok(0)
}
