//! `create`: everything but the program itself.

use anyhow::Context;

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, creation};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "create",
    about: "create a container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: true,
    detail: "Makes the container that the bundle's config.json describes, up to the point where its\n\
             program would be executed; \"start\" executes it. The name is unique under one --root.",
    flags: creation::flags,
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    create(call).with_context(|| format!("{} create failed", call.program.name))?;
    Ok(0)
}

fn create(call: &Call) -> Result<(), anyhow::Error> {
    let id = call.id()?;
    container::create(&call.context(), &id, &creation::options(call)?)?;
    Ok(())
}
