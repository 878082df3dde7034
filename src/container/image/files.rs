//! Files that a container has of its own in /etc: how it is called, and who can be found by name.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Error, shares_names, write};
use crate::image::bundle::Settings;

/// Writes them into the bundle; the mounts that put them in place, but for those of the caller's own.
pub(super) fn write_all(dir: &Path, settings: &Settings) -> Result<Vec<Value>, Error> {
    let hostname = settings.hostname.as_deref().unwrap_or_default();
    let own = [
        ("hostname", format!("{hostname}\n")),
        ("hosts", hosts(hostname)),
        ("resolv.conf", RESOLV_CONF.to_owned()),
    ];
    let mut mounts = Vec::new();
    for (name, text) in own {
        let target = format!("/etc/{name}");
        if settings
            .mounts
            .iter()
            .any(|mount| mount["destination"] == target)
        {
            continue;
        }
        // A copy: the container may write to it. One that the host lacks is ours.
        let is_named = name == "hostname" && settings.hostname.is_some();
        let text = match shares_names(settings) && !is_named {
            true => fs::read_to_string(&target).unwrap_or(text),
            false => text,
        };
        write(dir, name, text.as_bytes())?;
        let access = if settings.read_only { "ro" } else { "rw" };
        mounts.push(json!({
            "destination": target, "type": "bind", "source": name,
            "options": ["bind", "private", access],
        }));
    }
    Ok(mounts)
}

fn hosts(hostname: &str) -> String {
    format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n")
}

const RESOLV_CONF: &str = "\
# This container has no network, and no name server (`image run --network none`, the default).
# `--network host` gives it the host's.
";
