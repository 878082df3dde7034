//! `start`: the program itself.

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, context, supervisor};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "start",
    about: "execute the program of a created container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Lets a container go that \"create\" has made, and returns once its program was executed,\n\
             or once it says that it is ready, where a service manager waits for that (NOTIFY_SOCKET).",
    flags: context::none,
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let manager = supervisor::notify_socket()?;
    container::start(&call.context(), &call.id()?, manager.as_deref())?;
    Ok(0)
}
