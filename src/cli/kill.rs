//! `kill`: a signal to the container's first process.

use clap::Arg;

use super::arguments::Order;
use super::context::boolean;
use super::usage::Count;
use super::{Call, Command};
use crate::container;
use crate::spec::signal;

pub(super) const COMMAND: Command = Command {
    name: "kill",
    about: "send a signal to the first process of a container",
    arguments: "<container-id> [signal]",
    count: Count::Between(1, 2),
    // `kill ID -9`
    order: Order::First,
    shielded: false,
    detail: "The signal is a number or a name, with or without SIG (default: SIGTERM).",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![boolean("all").short('a').hide(true)]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let id = call.id()?;
    let context = call.context();
    let word = call.arguments.get(1).map(|word| word.to_string_lossy());
    // An empty word is none, as for runc.
    let word = word.as_deref().filter(|word| !word.is_empty());
    let word = word.unwrap_or("SIGTERM");
    // `-9` is the number 9 to whoever is used to kill(1).
    let signal = match signal::parse(word.strip_prefix('-').unwrap_or(word)) {
        Ok(signal) => signal,
        Err(unknown) => {
            // Callers look for the container's absence: it is told before what is wrong with the rest.
            context.store.load(&id)?;
            return Err(unknown.into());
        }
    };
    container::kill(&context, &id, signal, call.flags.get_flag("all"))?;
    Ok(0)
}
