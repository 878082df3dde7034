//! `run`: create, start, and stay until the end.

use anyhow::Context;
use clap::Arg;

use super::arguments::Order;
use super::context::boolean;
use super::usage::Count;
use super::{Call, Command, creation};
use crate::container::{self, RunOptions};

pub(super) const COMMAND: Command = Command {
    name: "run",
    about: "create and run a container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: true,
    detail: "Creates the container, starts it, waits for its end and deletes it. The exit code is the\n\
             program's own, or 128 and the number of the signal that killed it.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    let mut flags = creation::flags();
    flags.extend([
        boolean("detach")
            .short('d')
            .help("leave the container running and return"),
        boolean("keep").help("keep the container's record after its end"),
    ]);
    flags
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    run_container(call).with_context(|| format!("{} run failed", call.program.name))
}

fn run_container(call: &Call) -> Result<u8, anyhow::Error> {
    let id = call.id()?;
    let how = RunOptions {
        detach: call.flags.get_flag("detach"),
        keep: call.flags.get_flag("keep"),
        remove: false,
        tells_of_network: false,
        no_subreaper: call.flags.get_flag("no-subreaper"),
        is_silent: false,
    };
    let code = container::run(&call.context(), &id, &creation::options(call)?, &how)?;
    Ok(code)
}
