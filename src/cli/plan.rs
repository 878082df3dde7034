//! `plan`: what would be done, without doing it.

use std::path::Path;

use anyhow::bail;
use clap::Arg;
use serde_json::json;

use super::arguments::Order;
use super::context::path;
use super::usage::Count;
use super::{Call, Command, output};
use crate::container;

pub(super) const COMMAND: Command = Command {
    name: "plan",
    about: "show what would be done for a bundle, step by step",
    arguments: "[bundle]",
    count: Count::Between(0, 1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Reads config.json of the bundle (default: the current directory), checks it, and prints\n\
             the steps in the order in which the container's first process would take them.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        path("config")
            .short('f')
            .help("read this file of the bundle instead of config.json"),
        Arg::new("format")
            .long("format")
            .help("text (default) or json"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let bundle = call.arguments.first().map_or(Path::new("."), Path::new);
    let format = call.flags.get_one::<String>("format").map(String::as_str);
    if !matches!(format, None | Some("text" | "json")) {
        bail!("invalid format option");
    }
    let config = call.path("config");
    let plan = container::plan(&call.context(), bundle, config.as_deref())?;
    let text = match format {
        Some("json") => {
            let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
            let plan = json!({ "birth": plan.birth_lines(), "steps": steps });
            serde_json::to_string_pretty(&plan)? + "\n"
        }
        _ => plan.to_string(),
    };
    output::print(&text)?;
    Ok(0)
}
