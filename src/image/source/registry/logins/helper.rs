//! Programs that keep passwords: `docker-credential-NAME get`.

use std::process::Command;

use serde::Deserialize;

use super::{Login, Wanted};
use crate::aws::{Secret, program};
use crate::image::source::registry::Cause;
use crate::net::plain;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    username: String,
    secret: Secret,
}

/// What the helper has for the server; `None` where it says that it has nothing.
pub(super) fn ask(name: &str, wanted: Wanted<'_>) -> Result<Option<Login>, Cause> {
    let helper = format!("docker-credential-{name}");
    let error = |why: String| Cause::Helper {
        host: wanted.host.into(),
        helper: helper.clone(),
        why,
    };
    if name.contains('/') {
        return Err(error("not a name but a path".into()));
    }
    let mut command = Command::new(&helper);
    let input = wanted.server().as_bytes();
    let answer = program::ask(command.arg("get"), input, program::PATIENCE)
        .map_err(|cause| error(cause.to_string()))?;
    if !answer.status.success() {
        // Helpers say on their standard output what is wrong.
        let said = String::from_utf8_lossy(&answer.output);
        let said = plain(said.lines().next().unwrap_or_default());
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(error(format!("{}: {said}", answer.status)));
    }
    let reply: Reply = serde_json::from_slice(&answer.output)
        .map_err(|_| error("what it printed is not JSON with Username and Secret".into()))?;
    let is_empty = reply.username.is_empty() && reply.secret.reveal().is_empty();
    Ok((!is_empty).then(|| Login::password(&reply.username, reply.secret.reveal())))
}
