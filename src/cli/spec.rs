//! `spec`: a config.json to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use anyhow::{anyhow, bail};
use clap::Arg;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{getegid, geteuid};

use super::arguments::Order;
use super::context::{boolean, path};
use super::usage::Count;
use super::{Call, Command, output, program};
use crate::spec::defaults;

pub(super) const COMMAND: Command = Command {
    name: "spec",
    about: "write a config.json to begin with",
    arguments: "",
    count: Count::Exactly(0),
    order: Order::Anywhere,
    shielded: false,
    detail: "The file describes a shell in the root filesystem rootfs/ beside it, on a terminal. Edit\n\
             process.args to execute something else, and set process.terminal to false for a program\n\
             that needs none.",
    flags,
    run,
};

fn flags() -> Vec<Arg> {
    vec![
        path("bundle")
            .short('b')
            .help("the directory to write to (default: the current one)"),
        path("file")
            .short('f')
            .help("the name of the file (default: config.json)"),
        boolean("rootless").help("for a container without root's rights"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let name = call.path("file").unwrap_or_else(|| "config.json".into());
    let path = call.path("bundle").unwrap_or_default().join(&name);
    let user = call
        .flags
        .get_flag("rootless")
        .then(|| (geteuid().as_raw(), getegid().as_raw()));
    let text = config(call.program.name, is_unified(), user);

    let fault = |act, e| anyhow!("{act} {}: {}", path.display(), output::cause(&e));
    // O_EXCL: also a file that appears just now is not written over.
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .map_err(|e| fault("write", e))?,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            bail!("File {} exists. Remove it first", name.display())
        }
        Err(e) => return Err(fault("open", e)),
    }
    Ok(0)
}

/// Whether cgroup v2 alone is mounted where groups are.
fn is_unified() -> bool {
    statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// What runc takes out and puts in for a user: no network of its own, /sys from the host, ids mapped,
/// no groups. A group id that is not mapped cannot own a terminal.
fn rootless(config: &str, (uid, gid): (u32, u32)) -> String {
    let mapping = |key, id| {
        format!(
            "\t\t\"{key}\": [\n\t\t\t{{\n\t\t\t\t\"containerID\": 0,\n\
             \t\t\t\t\"hostID\": {id},\n\t\t\t\t\"size\": 1\n\t\t\t}}\n\t\t],\n"
        )
    };
    config
        .replace(",\n\t\t\t\t\"gid=5\"", "")
        .replace(
            "\"type\": \"sysfs\",\n\t\t\t\"source\": \"sysfs\",\n\t\t\t\"options\": [\n",
            "\"type\": \"none\",\n\t\t\t\"source\": \"/sys\",\n\t\t\t\"options\": [\n\
             \t\t\t\t\"rbind\",\n",
        )
        .replace(
            "\t\t\"resources\": {\n\t\t\t\"devices\": [\n\t\t\t\t{\n\t\t\t\t\t\"allow\": false,\n\
             \t\t\t\t\t\"access\": \"rwm\"\n\t\t\t\t}\n\t\t\t]\n\t\t},\n",
            &(mapping("uidMappings", uid) + &mapping("gidMappings", gid)),
        )
        .replace("\t\t\t{\n\t\t\t\t\"type\": \"network\"\n\t\t\t},\n", "")
}

/// The document for the program called `name`; `user` are the ids of one without root's rights.
fn config(name: &str, unified: bool, user: Option<(u32, u32)>) -> String {
    let mut text = defaults::CONFIG
        .replace("@version", program::SPEC)
        .replace("@name", name);
    if let Some(user) = user {
        text = rootless(&text, user);
    }
    let last = "\t\t\t{\n\t\t\t\t\"type\": \"mount\"\n\t\t\t}";
    let more = [(unified, "cgroup"), (user.is_some(), "user")];
    let more = more.iter().filter(|(wanted, _)| *wanted);
    let more = more.map(|(_, kind)| format!(",\n\t\t\t{{\n\t\t\t\t\"type\": \"{kind}\"\n\t\t\t}}"));
    let all = last.to_owned() + &more.collect::<String>();
    text.replace(last, &all)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn namespaces(config: &Value) -> Vec<&str> {
        let list = config["linux"]["namespaces"].as_array().unwrap();
        list.iter().map(|ns| ns["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_host_of_cgroup_v2_alone_adds_the_cgroup_namespace() {
        let text = config("bulkhead", true, None);
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            namespaces(&config),
            ["pid", "network", "ipc", "uts", "mount", "cgroup"]
        );
        assert_eq!(config["hostname"], "bulkhead");
        assert_eq!(config["ociVersion"], program::SPEC);
        assert_eq!(config["linux"]["resources"]["devices"][0]["allow"], false);
    }

    #[test]
    fn a_rootless_config_maps_its_user_and_takes_no_groups() {
        let text = config("bulkhead", true, Some((1000, 100)));
        let config: Value = serde_json::from_str(&text).unwrap();
        let linux = &config["linux"];
        assert_eq!(
            namespaces(&config),
            ["pid", "ipc", "uts", "mount", "cgroup", "user"]
        );
        assert_eq!(linux["uidMappings"][0]["hostID"], 1000);
        assert_eq!(linux["gidMappings"][0]["hostID"], 100);
        assert_eq!(linux["resources"], Value::Null);
        assert!(!text.contains("gid="), "{text}");
        let mounts = config["mounts"].as_array().unwrap();
        let sys = mounts.iter().find(|m| m["destination"] == "/sys").unwrap();
        assert_eq!(
            (&sys["type"], &sys["source"]),
            (&"none".into(), &"/sys".into())
        );
        assert_eq!(sys["options"][0], "rbind");
    }
}
