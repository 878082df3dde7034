//! What a service manager passes on by the environment: sockets that it has opened
//! (sd_listen_fds(3)), and where it waits to hear that the service is ready (sd_notify(3)).

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, bail};

use crate::container::Sockets;

/// The sockets, if they are meant for this very process.
pub(super) fn sockets() -> Result<Option<Sockets>, anyhow::Error> {
    let is_ours = env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let Some(count) = env::var_os("LISTEN_FDS").filter(|_| is_ours) else {
        return Ok(None);
    };
    let text = count.to_string_lossy();
    let count = text.parse();
    let count = count.with_context(|| format!("LISTEN_FDS: {text:?} is no number of sockets"))?;
    Ok((count > 0).then(|| Sockets {
        count,
        names: env::var_os("LISTEN_FDNAMES").map(OsString::into_vec),
    }))
}

/// The path of a socket, or `@` and an abstract name.
pub(super) fn notify_socket() -> Result<Option<Vec<u8>>, anyhow::Error> {
    match env::var_os("NOTIFY_SOCKET").map(OsString::into_vec) {
        None => Ok(None),
        Some(name) if name.is_empty() => Ok(None),
        Some(name) if matches!(name[0], b'/' | b'@') => Ok(Some(name)),
        Some(name) => bail!(
            "NOTIFY_SOCKET: {:?} is neither an absolute path nor @ and a name",
            String::from_utf8_lossy(&name)
        ),
    }
}
