//! `pause`: stand still.

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, context};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "pause",
    about: "suspend all processes of a container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Freezes a running or created container, and returns when nothing in it moves.",
    flags: context::none,
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    container::pause(&call.context(), &call.id()?)?;
    Ok(0)
}
