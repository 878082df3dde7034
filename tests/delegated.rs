//! A user who was given a part of the cgroup tree, as systemd or a `chown` gives it.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;
#[path = "rootless/user.rs"]
mod user;

use harness::{Bundle, Outcome, eventually, needs};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use user::{as_user, bundle};

const MEBIBYTE: u64 = 1 << 20;

/// A group of the user's with one for his own processes in it.
struct Delegated(PathBuf);

impl Delegated {
    fn new(bundle: &Bundle) -> Self {
        let top = Path::new("/sys/fs/cgroup");
        fs::write(top.join("cgroup.subtree_control"), "+memory +pids").unwrap();
        let dir = top.join(format!("of-a-user-{}", bundle.id));
        fs::create_dir_all(dir.join("own")).unwrap();
        let mut give = Command::new("chown");
        give.args(["65534:65534", ".", "own", "cgroup.procs", "cgroup.threads"])
            .args(["cgroup.subtree_control", "own/cgroup.procs"])
            .current_dir(&dir);
        assert!(give.status().unwrap().success());
        Self(dir)
    }

    /// Calls the command as the user, in his own group.
    fn call(&self, bundle: &Bundle, args: &[&str]) -> Outcome {
        let called = as_user(bundle, bundle.command(args));
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ >\"$1\" && shift && exec \"$@\"", "sh"])
            .arg(self.0.join("own/cgroup.procs"))
            .arg(called.get_program())
            .args(called.get_args())
            .current_dir(&bundle.dir);
        bundle.finish(command)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // The container's group goes with the bundle, which is dropped after this.
        let _ = fs::remove_dir(self.0.join("own"));
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_user_with_a_delegated_group_has_every_command() {
    needs!(root, probe, cgroup2);
    let mut bundle = bundle(&["sleep", "600"]);
    bundle
        .set("/linux/resources/memory", json!({ "limit": 64 * MEBIBYTE }))
        .set("/linux/resources/pids", json!({ "limit": 22 }));
    let delegated = Delegated::new(&bundle);
    let id = bundle.id.clone();
    let call = |args: &[&str]| {
        let outcome = delegated.call(&bundle, args).succeeded();
        assert_eq!(outcome.stderr, "", "{outcome:?}");
        outcome.stdout
    };
    call(&["create", &id]);
    let group = delegated.0.join(&id);
    assert_eq!(bundle.group(""), group);
    let held = |file: &str| fs::read_to_string(group.join(file)).unwrap();
    assert_eq!(held("memory.max").trim(), (64 * MEBIBYTE).to_string());
    assert_eq!(held("pids.max").trim(), "22");

    call(&["start", &id]);
    let words = [
        "exec",
        "-d",
        "--pid-file",
        "guest",
        &id,
        "/probe",
        "sleep",
        "600",
    ];
    call(&words);
    let guest = fs::read_to_string(bundle.dir.join("guest")).unwrap();
    assert!(held("cgroup.procs").lines().any(|pid| pid == guest));
    let pids: Value = serde_json::from_str(&call(&["ps", "--format", "json", &id])).unwrap();
    assert_eq!(pids.as_array().unwrap().len(), 2, "{pids}");
    let stats: Value = serde_json::from_str(&call(&["events", "--stats", &id])).unwrap();
    assert_eq!(stats["data"]["pids"]["current"], 2, "{stats}");
    call(&["update", "--pids-limit", "33", &id]);
    assert_eq!(held("pids.max").trim(), "33");
    call(&["pause", &id]);
    assert_eq!(bundle.state()["status"], "paused");
    call(&["resume", &id]);
    call(&["kill", &id, "KILL"]);
    eventually("it stops", || bundle.state()["status"] == "stopped");
    call(&["delete", &id]);
    assert!(!group.exists());
}

#[test]
fn a_device_that_only_a_rule_denies_is_an_error_where_a_user_may_set_none() {
    needs!(root, probe, cgroup2);
    let mut bundle = bundle(&["print", "ran"]);
    let deny = json!({ "allow": false, "type": "c", "major": 1, "minor": 5, "access": "rwm" });
    bundle.set("/linux/resources", json!({ "devices": [deny] }));
    let delegated = Delegated::new(&bundle);
    let outcome = delegated.call(&bundle, &["run", &bundle.id]);
    assert!(!outcome.stdout.contains("ran"), "{outcome:?}");
    outcome.failed_with("linux.resources.devices: load the eBPF program");
}
