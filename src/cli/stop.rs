//! `stop`: ask first, then kill.

use std::time::Duration;

use clap::{Arg, value_parser};

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command};
use crate::container;

/// As Docker's and Podman's `stop`.
const GRACE: u64 = 10;

pub(super) const COMMAND: Command = Command {
    name: "stop",
    about: "end a container: SIGTERM, and after a while SIGKILL",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Returns when the container has stopped. Its record stays until \"delete\".",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        Arg::new("time")
            .long("time")
            .short('t')
            .value_parser(value_parser!(u64))
            .help("seconds between the two signals (default: 10)"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let seconds = call.flags.get_one("time").copied().unwrap_or(GRACE);
    container::stop(&call.context(), &call.id()?, Duration::from_secs(seconds))?;
    Ok(0)
}
