//! `update`: other limits for a container that lives.
//!
//! Whatever the flags say becomes an object of `linux.resources`, so that they and a file are judged
//! by the same rules.

use std::ffi::OsString;

use anyhow::{anyhow, bail};
use clap::{Arg, value_parser};
use serde_json::{Value, json};

use super::arguments::Order;
use super::context::path;
use super::usage::Count;
use super::{Call, Command, input, size};
use crate::container;
use crate::spec;

pub(super) const COMMAND: Command = Command {
    name: "update",
    about: "change the limits of a container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Sets what is given and leaves the rest as it is. Sizes take a suffix: 512m. With \
             --resources the other flags are ignored, and rules for devices, if there are any, \
             replace all that there were.",
    flags,
    run,
};

/// What stands behind a flag.
#[derive(Clone, Copy)]
enum Kind {
    /// Of Go's `int`.
    Int,
    Unsigned,
    Signed,
    /// -1 is no limit.
    Size,
    Text,
}

/// The flags, each with its place in `linux.resources`.
const FLAGS: [(&str, Kind, &str, &str); 14] = [
    (
        "blkio-weight",
        Kind::Int,
        "/blockIO/weight",
        "share of the disk's time, 10 to 1000",
    ),
    (
        "cpu-period",
        Kind::Unsigned,
        "/cpu/period",
        "microseconds for which the quota is given",
    ),
    (
        "cpu-quota",
        Kind::Signed,
        "/cpu/quota",
        "microseconds of a period that it may run; -1 is no limit",
    ),
    (
        "cpu-burst",
        Kind::Unsigned,
        "/cpu/burst",
        "microseconds above the quota, saved up before",
    ),
    (
        "cpu-share",
        Kind::Unsigned,
        "/cpu/shares",
        "weight against others, 2 to 262144",
    ),
    (
        "cpu-rt-period",
        Kind::Unsigned,
        "/cpu/realtimePeriod",
        "microseconds for which the real-time runtime is given",
    ),
    (
        "cpu-rt-runtime",
        Kind::Signed,
        "/cpu/realtimeRuntime",
        "microseconds of that for real-time threads",
    ),
    (
        "cpu-idle",
        Kind::Signed,
        "/cpu/idle",
        "1: runs only where nobody else does; 0: as others do",
    ),
    (
        "cpuset-cpus",
        Kind::Text,
        "/cpu/cpus",
        "processors to run on: 0-3,7",
    ),
    (
        "cpuset-mems",
        Kind::Text,
        "/cpu/mems",
        "memory nodes to use: 0,1",
    ),
    (
        "memory",
        Kind::Size,
        "/memory/limit",
        "bytes of memory; -1 is no limit",
    ),
    (
        "memory-reservation",
        Kind::Size,
        "/memory/reservation",
        "bytes of memory that are taken from it last",
    ),
    (
        "memory-swap",
        Kind::Size,
        "/memory/swap",
        "bytes of memory and swap together; -1 is no limit",
    ),
    (
        "pids-limit",
        Kind::Int,
        "/pids/limit",
        "processes and threads; -1 is no limit",
    ),
];

/// Gone from the kernel (5.4 and 5.16).
const OBSOLETE: [&str; 2] = ["kernel-memory", "kernel-memory-tcp"];
/// Lines for a container with `linux.intelRdt`, and what is said to another.
const RDT: [(&str, &str); 2] = [
    (
        "l3-cache-schema",
        "Intel RDT/CAT: l3 cache schema is not enabled",
    ),
    (
        "mem-bw-schema",
        "Intel RDT/MBA: memory bandwidth schema is not enabled",
    ),
];

fn flags() -> Vec<Arg> {
    let flag = |name| Arg::new(name).long(name);
    let mut flags =
        vec![path("resources").short('r').help(
            "file with an object as linux.resources in config.json; - is the standard input",
        )];
    flags.extend(FLAGS.map(|(name, kind, _, help)| match kind {
        Kind::Int => flag(name).value_parser(value_parser!(i64)).help(help),
        _ => flag(name).help(help),
    }));
    flags.extend(OBSOLETE.map(|name| flag(name).hide(true)));
    flags.extend(RDT.map(|(name, _)| flag(name).help("line for schemata of resctrl")));
    flags
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let (context, id) = (call.context(), call.id()?);
    // Callers look for the container's absence: it is told before what is wrong with the rest.
    let record = context.store.load(&id)?;
    let lines = RDT.map(|(name, _)| text(call, name));
    for (line, (_, refused)) in lines.iter().zip(RDT) {
        if line.is_some() && record.rdt_groups.is_none() {
            bail!(refused);
        }
    }
    let schemata = spec::parse_schemata(lines[0], lines[1])?;
    let json = match call.flags.get_one::<OsString>("resources") {
        Some(file) if !file.is_empty() => input::read(file)?,
        _ => serde_json::to_vec(&given(call)?)?,
    };
    container::update(&context, &id, &spec::parse_resources(&json)?, &schemata)?;
    Ok(0)
}

/// The flag's value; an empty one is as none.
fn text<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let text = call.flags.get_one::<String>(name)?.as_str();
    (!text.is_empty()).then_some(text)
}

/// What the flags say, as `linux.resources` says it.
fn given(call: &Call) -> Result<Value, anyhow::Error> {
    for name in OBSOLETE {
        if text(call, name).is_some() {
            log::warn!("Setting --{name} is ignored and will be removed");
        }
    }
    let mut resources = json!({});
    for (name, kind, place, _) in FLAGS {
        let value = match kind {
            Kind::Int => call.flags.get_one::<i64>(name).map(|n| json!(n)),
            _ => text(call, name)
                .map(|word| {
                    value_of(kind, word).map_err(|e| anyhow!("invalid value for {name}: {e}"))
                })
                .transpose()?,
        };
        let Some(value) = value else { continue };
        let mut at = &mut resources;
        for key in place.split('/').skip(1) {
            at = &mut at[key];
        }
        *at = value;
    }
    Ok(resources)
}

fn value_of(kind: Kind, word: &str) -> Result<Value, String> {
    let number = |fault: std::num::ParseIntError| format!("{word:?}: {fault}");
    Ok(match kind {
        Kind::Int | Kind::Signed => json!(word.parse::<i64>().map_err(number)?),
        Kind::Unsigned => json!(word.parse::<u64>().map_err(number)?),
        Kind::Size if word == "-1" => json!(-1),
        Kind::Size => json!(size::parse(word).ok_or_else(|| format!("invalid size: '{word}'"))?),
        Kind::Text => json!(word),
    })
}
