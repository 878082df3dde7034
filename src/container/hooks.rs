//! Hooks that the runtime runs itself, in its own namespaces.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::{Error, Status, call};
use crate::launch::fault;
use crate::plan::step::Hook as Ready;
use crate::spec::container::Hook;
use crate::state::Record;
use crate::sys::report::{Fault, NOTE};
use crate::sys::{errno, exec};

/// The state of a container as its hooks are told it (runtime.md, "State").
pub(super) struct HookState<'a> {
    pub(super) status: Status,
    pub(super) pid: i32,
    pub(super) record: &'a Record,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Json<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    pid: i32,
    bundle: &'a std::path::Path,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it by reference"
)]
fn is_zero(pid: &i32) -> bool {
    *pid == 0
}

impl HookState<'_> {
    pub(super) fn json(&self) -> Json<'_> {
        Json {
            oci_version: &self.record.oci_version,
            id: self.record.id.as_str(),
            status: self.status.name(),
            pid: self.pid,
            bundle: &self.record.bundle,
            annotations: &self.record.annotations,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(&self.json())
            .expect("strings and numbers; the record held this path too")
    }
}

/// Runs hooks in order; the first that fails ends it.
pub(super) fn run(point: &'static str, hooks: &[Hook], state: &HookState<'_>) -> Result<(), Error> {
    if hooks.is_empty() {
        return Ok(());
    }
    // As runc does, so that a hook's relative paths mean the bundle's.
    let dir = CString::new(state.record.bundle.as_os_str().as_bytes()).ok();
    let state = state.to_json();
    let made =
        exec::memory_file(c"bulkhead-state").map_err(call("make the state file of hooks"))?;
    let mut file = std::fs::File::from(made);
    file.write_all(state.as_bytes())
        .map_err(|e| call("write the state file of hooks")(errno(&e)))?;
    for (index, hook) in hooks.iter().enumerate() {
        let ready = Ready {
            dir: dir.clone(),
            ..Ready::new(point, index, hook)
        };
        let (mut note, mut length) = ([0; NOTE], 0);
        crate::launch::hook::run(&ready, file.as_fd(), &mut note, &mut length).map_err(|stop| {
            let fault = Fault {
                step: 0,
                call: stop.call as u32,
                number: stop.number,
                note: note[..length].to_vec(),
            };
            let subject = format!("run the {point} hook {index}: {}", hook.path.display());
            Error::Hook(fault::sentence(&subject, &fault))
        })?;
    }
    Ok(())
}

/// After the container is gone there is nothing left to fail: each hook runs, and one that fails is
/// a warning (runtime.md, lifecycle step 13).
pub(super) fn run_poststop(record: &Record) {
    let state = HookState {
        status: Status::Stopped,
        pid: 0,
        record,
    };
    for hook in &record.hooks.poststop {
        if let Err(e) = run("poststop", std::slice::from_ref(hook), &state) {
            log::warn!("container {}: {e}", record.id);
        }
    }
}
