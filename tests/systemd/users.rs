//! Containers of a user: the user's own systemd makes their scopes.

use super::{MEBIBYTE, eventually, output_of, systemctl};
use crate::harness::{Bundle, Outcome, needs};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// `tester` of the guest.
const USER: u32 = 1000;
const MANAGER: &str = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";

/// What the user's processes are started by.
fn as_user() -> Command {
    let mut command = Command::new("setpriv");
    command
        .args([format!("--reuid={USER}"), format!("--regid={USER}")])
        .args(["--clear-groups", "--inh-caps=-all"])
        .env("XDG_RUNTIME_DIR", format!("/run/user/{USER}"))
        .env_remove("DBUS_SESSION_BUS_ADDRESS");
    command
}

/// As the user calls it, from a service of the system's that runs for him.
fn call(bundle: &Bundle, args: &[&str]) -> Outcome {
    let called = bundle.command(args);
    let mut command = as_user();
    command
        .arg(called.get_program())
        .args(called.get_args())
        .current_dir(&bundle.dir);
    bundle.finish(command)
}

/// What the user's systemd says.
fn show(unit: &str, property: &str) -> String {
    let words = [
        "systemctl",
        "--user",
        "show",
        "--value",
        "-p",
        property,
        unit,
    ];
    output_of(as_user().args(words))
}

/// A bundle of the user with the document that `spec --rootless` writes for him, and his systemd.
fn bundle(act: &[&str]) -> Bundle {
    systemctl(&["start", &format!("user@{USER}.service")]);
    let mut bundle = Bundle::probe(act);
    let process = bundle.config["process"]["args"].clone();
    bundle.write_config();
    let mut give = Command::new("chown");
    give.args(["-hR", &format!("{USER}:{USER}")])
        .arg(&bundle.dir);
    assert!(give.status().unwrap().success());
    call(&bundle, &["spec", "--rootless", "--file", "rootless.json"]).succeeded();
    let text = fs::read(bundle.dir.join("rootless.json")).unwrap();
    bundle.config = serde_json::from_slice(&text).unwrap();
    bundle
        .set("/process/terminal", json!(false))
        .set("/process/args", process);
    bundle
}

#[test]
fn a_user_has_a_scope_with_limits() {
    needs!(root, systemd, probe);
    let mut bundle = bundle(&["sleep", "600"]);
    bundle
        .set("/linux/resources/memory", json!({ "limit": 64 * MEBIBYTE }))
        .set("/linux/resources/pids", json!({ "limit": 22 }));
    let id = bundle.id.clone();
    call(&bundle, &["--systemd-cgroup", "create", &id]).succeeded();
    call(&bundle, &["start", &id]).succeeded();

    let unit = format!("bulkhead-{id}.scope");
    assert_eq!(show(&unit, "ActiveState"), "active");
    assert_eq!(show(&unit, "MemoryMax"), (64 * MEBIBYTE).to_string());
    let group = Path::new(MANAGER).join("user.slice").join(&unit);
    assert_eq!(bundle.group(""), group);
    let held = |file: &str| fs::read_to_string(group.join(file)).unwrap();
    assert_eq!(held("memory.max").trim(), (64 * MEBIBYTE).to_string());
    assert_eq!(held("pids.max").trim(), "22");

    call(&bundle, &["update", "--pids-limit", "33", &id]).succeeded();
    assert_eq!(held("pids.max").trim(), "33");
    assert_eq!(show(&unit, "TasksMax"), "33");

    call(&bundle, &["kill", &id, "KILL"]).succeeded();
    eventually("it stops", || bundle.state()["status"] == "stopped");
    call(&bundle, &["delete", &id]).succeeded();
    assert_eq!(show(&unit, "LoadState"), "not-found");
    assert!(!group.exists());
}

#[test]
fn device_rules_of_a_user_neither_undo_an_update_nor_get_lost() {
    needs!(root, systemd, probe);
    let mut bundle = bundle(&["sleep", "600"]);
    let id = bundle.id.clone();
    let deny = json!({ "allow": false, "access": "rwm" });
    let allow = json!({ "allow": true, "type": "c", "major": 10, "minor": 200, "access": "rw" });
    let deny_one = json!({ "allow": false, "type": "c", "major": 1, "minor": 5, "access": "rwm" });
    bundle.set("/linux/resources/devices", json!([deny, allow]));
    call(&bundle, &["--systemd-cgroup", "create", &id]).succeeded();
    call(&bundle, &["start", &id]).succeeded();
    let pids_max = bundle.group("").join("pids.max");

    let update = |limit: u64, rules: Value| {
        let resources = json!({ "pids": { "limit": limit }, "devices": rules });
        let file = bundle.dir.join("resources.json");
        fs::write(&file, resources.to_string()).unwrap();
        call(
            &bundle,
            &["update", "--resources", file.to_str().unwrap(), &id],
        )
    };
    update(44, json!([deny, allow])).succeeded();
    assert_eq!(fs::read_to_string(&pids_max).unwrap().trim(), "44");
    update(55, json!([deny_one])).failed_with("operation not permitted");
    assert_eq!(fs::read_to_string(&pids_max).unwrap().trim(), "44");
    assert_eq!(show(&format!("bulkhead-{id}.scope"), "TasksMax"), "44");
    call(&bundle, &["delete", "--force", &id]).succeeded();

    bundle.set("/linux/resources/devices", json!([deny_one]));
    let outcome = call(&bundle, &["--systemd-cgroup", "create", &id]);
    outcome.failed_with("linux.resources.devices: load the eBPF program");
    assert!(bundle.leftovers().is_empty());
}

#[test]
fn root_of_a_users_namespace_asks_the_users_systemd() {
    needs!(root, systemd, probe);
    let mut bundle = bundle(&["sleep", "600"]);
    let own = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    bundle
        .set("/linux/uidMappings", own.clone())
        .set("/linux/gidMappings", own);
    let called = bundle.command(&["--systemd-cgroup", "create", &bundle.id]);
    let mut command = as_user();
    command
        .args(["unshare", "--user", "--map-root-user", "--mount"])
        .arg(called.get_program())
        .args(called.get_args())
        .current_dir(&bundle.dir);
    bundle.finish(command).succeeded();
    let unit = format!("bulkhead-{}.scope", bundle.id);
    assert_eq!(show(&unit, "ActiveState"), "active");
    call(&bundle, &["delete", "--force", &bundle.id]).succeeded();
    assert_eq!(show(&unit, "LoadState"), "not-found");
}

#[test]
fn a_user_without_a_bus_is_told_so() {
    needs!(root, systemd, probe);
    let bundle = bundle(&["exit", "0"]);
    let id = bundle.id.clone();
    let called = bundle.command(&["--systemd-cgroup", "create", &id]);
    let mut command = as_user();
    command
        .arg(called.get_program())
        .args(called.get_args())
        .env_remove("XDG_RUNTIME_DIR")
        .current_dir(&bundle.dir);
    let said = "no D-Bus of the user: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set";
    bundle.finish(command).failed_with(said);
}
