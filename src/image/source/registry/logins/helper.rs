//! Programs that keep passwords: `docker-credential-NAME get`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::{Login, Wanted};
use crate::aws::Secret;
use crate::image::source::registry::Cause;

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
    let mut child = Command::new(&helper)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|cause| error(cause.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // One that wants no input has ended its reading; what it answers counts.
        let _ = input.write_all(wanted.server().as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|cause| error(cause.to_string()))?;
    if !output.status.success() {
        // Helpers say on their standard output what is wrong.
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.lines().next().unwrap_or_default().trim();
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(error(format!("{}: {said}", output.status)));
    }
    let reply: Reply = serde_json::from_slice(&output.stdout)
        .map_err(|_| error("what it printed is not JSON with Username and Secret".into()))?;
    let is_empty = reply.username.is_empty() && reply.secret.reveal().is_empty();
    Ok((!is_empty).then(|| Login::password(&reply.username, reply.secret.reveal())))
}
