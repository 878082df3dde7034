//! Containers of a user who may not make groups.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod exec;
mod ids;
mod nested;
mod user;

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Bundle, Outcome, needs};
use serde_json::{Value, json};
use user::{as_member, as_user, bundle, call};

const WARNING: &str = "it stays in the groups of the runtime";

fn group_paths(bundle: &Bundle) -> Value {
    let record = bundle.state_dir().join(&bundle.id).join("state.json");
    let record: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    record["group_paths"].clone()
}

#[test]
fn a_user_without_groups_runs_the_container_in_his_own() {
    needs!(root, probe);
    for flags in [&[][..], &["--rootless=auto"], &["--rootless", "true"]] {
        let bundle = bundle(&["print", "ran"]);
        let outcome = call(&bundle, &[flags, &["run", &bundle.id]].concat()).succeeded();
        assert_eq!(outcome.stdout, "ran\n", "{outcome:?}");
        assert!(outcome.stderr.contains(WARNING), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn root_of_a_users_namespace_is_a_user_by_default() {
    needs!(root, probe);
    let bundle = bundle(&["print", "ran"]);
    for (flag, is_user) in [("--rootless=auto", true), ("--rootless=false", false)] {
        let run = bundle.command(&[flag, "run", &bundle.id]);
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(["--inh-caps=-all", "unshare", "--user", "--map-root-user"])
            .arg("--mount")
            .arg(run.get_program())
            .args(run.get_args())
            .current_dir(&bundle.dir);
        // What comes after the groups does not count here.
        let said = bundle.finish(command).stderr;
        assert!(said.contains("make the group /sys/fs/cgroup/"), "{said}");
        assert_eq!(said.contains(WARNING), is_user, "{flag}: {said}");
    }
}

/// `$XDG_RUNTIME_DIR` is swept of old files, but for what is sticky.
#[test]
fn a_users_records_lie_in_the_directory_of_his_session() {
    needs!(root, probe);
    let bundle = bundle(&["sleep", "60"]);
    let session = bundle.dir.join("session");
    fs::create_dir(&session).unwrap();
    std::os::unix::fs::chown(&session, Some(65534), Some(65534)).unwrap();
    let call = |args: &[&str]| {
        let mut command = Command::new("env");
        command
            .arg(format!("XDG_RUNTIME_DIR={}", session.display()))
            .arg(harness::program())
            .args(args);
        bundle.write_config();
        bundle.finish(as_user(&bundle, command)).succeeded().stdout
    };
    call(&["run", "-d", &bundle.id]);
    let root = session.join("bulkhead");
    assert!(root.join(&bundle.id).is_dir());
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&root).unwrap());
    assert_eq!(mode & 0o7777, 0o1700, "{mode:o}");
    assert!(call(&["list"]).contains(&bundle.id));
    call(&["delete", "--force", &bundle.id]);
    assert!(!root.join(&bundle.id).exists());
}

#[test]
fn a_container_without_groups_has_none_in_its_record_and_a_whole_life() {
    needs!(root, probe);
    for create in [&["create"][..], &["run", "-d"]] {
        let bundle = bundle(&["sleep", "60"]);
        let log = ["--log", "log", "--log-format", "json"];
        call(&bundle, &[&log, create, &[bundle.id.as_str()]].concat()).succeeded();
        let log = fs::read_to_string(bundle.dir.join("log")).unwrap();
        assert_eq!(log.lines().count(), 1, "{create:?}: {log}");
        assert!(log.contains(WARNING), "{create:?}: {log}");
        assert_eq!(group_paths(&bundle), json!([]), "{create:?}");

        let pid = bundle.state()["pid"].to_string();
        let groups = |pid: &str| fs::read_to_string(Path::new("/proc").join(pid).join("cgroup"));
        assert_eq!(groups(&pid).unwrap(), groups("self").unwrap(), "{create:?}");
        if create == ["create"] {
            call(&bundle, &["start", &bundle.id]).succeeded();
        }
        call(&bundle, &["kill", &bundle.id, "KILL"]).succeeded();
        bundle.wait_for_status("stopped");
        call(&bundle, &["delete", &bundle.id]).succeeded();
    }
}

#[test]
fn what_would_be_lost_without_groups_is_an_error() {
    needs!(root, probe);
    let denied = json!([{ "allow": false, "type": "c", "major": 1, "minor": 5, "access": "rwm" }]);
    for (pointer, value) in [
        ("/linux/resources/memory/limit", json!(1 << 30)),
        ("/linux/resources/pids/limit", json!(100)),
        ("/linux/resources/cpu/shares", json!(512)),
        ("/linux/resources/devices", denied),
        ("/linux/cgroupsPath", json!("/elsewhere")),
    ] {
        let mut bundle = bundle(&["print", "ran"]);
        bundle.set(pointer, value);
        let outcome = call(&bundle, &["run", &bundle.id]);
        assert!(!outcome.stdout.contains("ran"), "{pointer}: {outcome:?}");
        outcome.failed_with("permission denied");
    }
    let bundle = bundle(&["print", "ran"]);
    let outcome = call(&bundle, &["--rootless=false", "run", &bundle.id]);
    outcome.failed_with("permission denied");
}

#[test]
fn the_rule_that_denies_all_devices_needs_no_group() {
    needs!(root, probe);
    let mut bundle = bundle(&["print", "ran"]);
    let rules = json!([
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw" },
    ]);
    bundle.set("/linux/resources", json!({ "devices": rules }));
    let outcome = call(&bundle, &["run", &bundle.id]).succeeded();
    assert!(outcome.stderr.contains(WARNING), "{outcome:?}");
}

/// A root that may not write to any hierarchy: they are read-only to it.
fn call_on_read_only_groups(bundle: &Bundle, args: &[&str]) -> Outcome {
    let called = bundle.command(args);
    let script = "
        set -e
        grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d' ' -f5 | while read -r at; do
            mount -o remount,bind,ro \"$at\"
        done
        exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(called.get_program())
        .args(called.get_args())
        .current_dir(&bundle.dir);
    bundle.finish(command)
}

#[test]
fn a_root_of_the_host_does_without_groups_only_on_demand_and_with_a_user_namespace() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["print", "ran"]);
    for flags in [&[][..], &["--rootless=true"]] {
        let outcome = call_on_read_only_groups(&bundle, &[flags, &["run", &bundle.id]].concat());
        outcome.failed_with("read-only file system");
    }
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle
        .set("/linux/namespaces/-", json!({ "type": "user" }))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map);
    let mut give = Command::new("chown");
    give.args(["-hR", "100000:100000"]).arg(bundle.rootfs());
    assert!(give.status().unwrap().success());
    let outcome = call_on_read_only_groups(&bundle, &["run", &bundle.id]);
    outcome.failed_with("read-only file system");
    let outcome = call_on_read_only_groups(&bundle, &["--rootless=true", "run", &bundle.id]);
    assert_eq!(outcome.succeeded().stdout, "ran\n");
}
