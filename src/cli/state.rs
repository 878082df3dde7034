//! `state`: one container as the OCI shows it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, context, output};
use crate::container::{self, State};
use crate::state::{End, Time};

pub(super) const COMMAND: Command = Command {
    name: "state",
    about: "output the state of a container",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Prints the container's state as JSON, as the OCI runtime specification has it.",
    flags: context::none,
    run,
};

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let state = container::state(&call.context(), &call.id()?)?;
    // No newline at the end: runc's form.
    output::print(&serde_json::to_string_pretty(&Shown::new(&state, ""))?)?;
    Ok(0)
}

/// The keys in the order in which callers match them; what runc does not have comes last.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    oci_version: &'a str,
    id: &'a str,
    /// 0 when it has stopped.
    pid: i32,
    status: &'static str,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    owner: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<Exit>,
    #[serde(rename = "oomKilled", skip_serializing_if = "std::ops::Not::not")]
    oom: bool,
}

/// How it ended, when somebody saw it.
#[derive(Serialize)]
struct Exit {
    /// As `run` would exit.
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<u8>,
    oom: bool,
    at: Time,
}

impl<'a> Shown<'a> {
    pub(super) fn new(state: &'a State, owner: &'a str) -> Self {
        Self {
            oci_version: &state.oci_version,
            id: state.id.as_str(),
            pid: state.pid,
            status: state.status.name(),
            bundle: &state.bundle,
            rootfs: &state.rootfs,
            created: &state.created,
            annotations: &state.annotations,
            owner,
            exit: state.exit.map(|exit| Exit {
                code: exit.end.exit_code(),
                signal: match exit.end {
                    End::Signal(signal) => Some(signal),
                    End::Code(_) => None,
                },
                oom: exit.oom,
                at: exit.at,
            }),
            oom: state.oom,
        }
    }
}
