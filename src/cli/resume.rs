//! `resume`: go on.

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, context};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "resume",
    about: "let the processes of a paused container go on",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Thaws a container that \"pause\" has frozen.",
    flags: context::none,
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    container::resume(&call.context(), &call.id()?)?;
    Ok(0)
}
