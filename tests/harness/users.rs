//! Containers and callers that are not the host's root.

use super::{Bundle, Outcome};
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Where a test puts user and group 0 of a container.
pub(crate) const OUTSIDE: u32 = 100_000;

impl Bundle {
    /// Gives the container a user namespace, unless it has one, whose users and groups are `first`
    /// and the next outside, and its root filesystem to the first of them.
    pub(crate) fn map_users(&mut self, first: u32, count: u32) -> &mut Self {
        let namespaces = self.config["linux"]["namespaces"].as_array().unwrap();
        if !namespaces.iter().any(|one| one["type"] == "user") {
            self.set("/linux/namespaces/-", json!({ "type": "user" }));
        }
        let map = json!([{ "containerID": 0, "hostID": first, "size": count }]);
        give(&self.rootfs(), first);
        self.set("/linux/uidMappings", map.clone())
            .set("/linux/gidMappings", map)
    }

    /// [`Bundle::call`] by a user who owns the bundle, has no capability and makes no groups.
    pub(crate) fn call_as(&self, user: u32, args: &[&str]) -> Outcome {
        let call = self.command(&[&["--cgroup-manager", "disabled"], args].concat());
        give(&self.dir, user);
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={user}"))
            .args(["--clear-groups", "--inh-caps=-all"])
            .arg(call.get_program())
            .args(call.get_args())
            .current_dir(&self.dir);
        self.finish(command)
    }
}

fn give(tree: &Path, user: u32) {
    let mut command = Command::new("chown");
    command.args(["-hR", &format!("{user}:{user}")]).arg(tree);
    assert!(command.status().unwrap().success());
}
