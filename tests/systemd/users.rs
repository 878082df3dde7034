//! Containers of a user: the user's own systemd makes their scopes.

use super::{MEBIBYTE, eventually, output_of, systemctl};
use crate::harness::{Bundle, Outcome, needs};
use serde_json::json;
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
