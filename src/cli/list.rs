//! `list`: all containers of one state root.

use std::fs;
use std::path::Path;

use anyhow::bail;
use clap::Arg;

use super::arguments::Order;
use super::context::boolean;
use super::state::Shown;
use super::table::aligned;
use super::usage::Count;
use super::{Call, Command, chain, output};
use crate::container::{self, State};

pub(super) const COMMAND: Command = Command {
    name: "list",
    about: "list the containers of one root",
    arguments: "",
    count: Count::Exactly(0),
    order: Order::Anywhere,
    shielded: false,
    detail: "Lists the containers whose records lie under --root.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        Arg::new("format")
            .long("format")
            .short('f')
            .help("table (default) or json"),
        boolean("quiet").short('q').help("print the names alone"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let root = &call.globals.root;
    if call.globals.root_given
        && let Err(error) = fs::metadata(root)
    {
        bail!("open {}: {}", root.display(), output::cause(&error));
    }
    let format = call.flags.get_one::<String>("format").map(String::as_str);
    let mut states = Vec::new();
    for (id, state) in container::list(&call.context())? {
        match state {
            Ok(state) => states.push(state),
            Err(error) => log::warn!("load container {id}: {}", chain(&error.into())),
        }
    }

    let text = match format {
        _ if call.flags.get_flag("quiet") => states.iter().map(|s| format!("{}\n", s.id)).collect(),
        None | Some("table" | "") => table(&states),
        Some("json") => json(&states)?,
        Some(_) => bail!("invalid format option"),
    };
    output::print(&text)?;
    Ok(0)
}

/// One line; no containers are `null`, as Go writes an empty slice that was never made.
fn json(states: &[State]) -> Result<String, serde_json::Error> {
    if states.is_empty() {
        return Ok("null\n".into());
    }
    let owners: Vec<String> = states.iter().map(|s| owner(s.owner)).collect();
    let shown: Vec<Shown<'_>> = states
        .iter()
        .zip(&owners)
        .map(|(state, owner)| Shown::new(state, owner))
        .collect();
    Ok(serde_json::to_string(&shown)? + "\n")
}

fn table(states: &[State]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
    let mut rows = vec![header.map(String::from)];
    rows.extend(states.iter().map(|state| {
        [
            state.id.to_string(),
            state.pid.to_string(),
            state.status.to_string(),
            state.bundle.display().to_string(),
            state.created.to_string(),
            owner(state.owner),
        ]
    }));
    aligned(&rows)
}

/// The name of user `uid`, or `#UID`. The file is read here because getpwuid(3) would load the host's
/// libraries into this static program.
fn owner(uid: u32) -> String {
    let users = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    name_of(uid, &users).map_or_else(|| format!("#{uid}"), String::from)
}

fn name_of(uid: u32, users: &str) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_that_the_file_gives() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:33::/:/bin/sh\n";
        assert_eq!(name_of(33, users), Some("web"));
        assert_eq!(name_of(0, users), Some("root"));
        assert_eq!(name_of(1, users), None);
    }
}
