//! `start`: the program itself.

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, context};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "start",
    about: "execute the program of a created container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Lets a container go that \"create\" has made, and returns once its program was executed.",
    flags: context::none,
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    container::start(&call.context(), &call.id()?)?;
    Ok(0)
}
