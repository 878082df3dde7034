//! What `linux.cgroupsPath` may be, and what is said where systemd cannot be asked.

use super::{Scope, eventually, show, systemctl};
use crate::harness::needs;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_path_names_slice_and_scope() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&["sleep", "600"]);
    let id = scope.bundle.id.clone();
    for (path, unit, dir) in [
        (
            "bulkhead-tests.slice:pre:NAME",
            "pre-ID.scope",
            "bulkhead.slice/bulkhead-tests.slice",
        ),
        (":pre:NAME", "pre-ID.scope", "system.slice"),
        ("system.slice::NAME", "ID.scope", "system.slice"),
        ("-.slice:pre:NAME", "pre-ID.scope", ""),
        ("::", "ID.scope", "system.slice"),
    ] {
        let unit = unit.replace("ID", &id);
        scope
            .bundle
            .set("/linux/cgroupsPath", json!(path.replace("NAME", &id)));
        scope.create().succeeded();
        let group = Path::new("/sys/fs/cgroup").join(dir).join(&unit);
        assert_eq!(scope.bundle.group(""), group, "{path}");
        assert_eq!(show(&unit, "ActiveState"), "active", "{path}");
        scope.delete().succeeded();
        assert_eq!(show(&unit, "LoadState"), "not-found", "{path}");
        assert!(!group.exists(), "{path}");
    }
    systemctl(&["stop", "bulkhead.slice"]);
}

#[test]
fn a_unit_that_the_host_puts_elsewhere_is_refused() {
    needs!(root, systemd, probe);
    let scope = Scope::of(&["sleep", "600"]);
    let drop_in = format!("/run/systemd/system/{}.d", scope.unit());
    fs::create_dir_all(&drop_in).unwrap();
    let file = Path::new(&drop_in).join("elsewhere.conf");
    fs::write(&file, "[Scope]\nSlice=elsewhere.slice\n").unwrap();
    systemctl(&["daemon-reload"]);
    let outcome = scope.create();
    fs::remove_file(file).unwrap();
    fs::remove_dir(drop_in).unwrap();
    systemctl(&["daemon-reload"]);

    let unit = scope.unit();
    let said = format!("its group is /elsewhere.slice/{unit}, and not /system.slice/{unit}");
    outcome.failed_with(&said);
    eventually("it is gone", || scope.shows("LoadState") == "not-found");
    assert!(scope.bundle.leftovers().is_empty());
    systemctl(&["stop", "elsewhere.slice"]);
}

#[test]
fn a_path_that_names_no_unit_is_refused() {
    needs!(root, probe);
    let mut scope = Scope::of(&["exit", "0"]);
    for (path, said) in [
        (
            "/a/b",
            "of format \"slice:prefix:name\" for systemd cgroups",
        ),
        ("a.service:b:c", "\"a.service\" is no name of a slice"),
        ("a.slice:b:c.slice", "a container lives in a scope"),
        ("a.slice:b:c d", "has ' ' in its name"),
    ] {
        scope.bundle.set("/linux/cgroupsPath", json!(path));
        let outcome = scope.create().failed_with("linux.cgroupsPath: ");
        outcome.failed_with(said);
        assert!(scope.bundle.leftovers().is_empty(), "{path}");
    }
}

#[test]
fn without_systemd_the_flag_is_refused() {
    needs!(root, probe);
    let scope = Scope::of(&["exit", "0"]);
    let called = scope
        .bundle
        .command(&["--systemd-cgroup", "create", &scope.bundle.id]);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\"")
        .arg(called.get_program())
        .args(called.get_args())
        .current_dir(&scope.bundle.dir);
    let outcome = scope.bundle.finish(command);
    let outcome = outcome.failed_with("--systemd-cgroup: systemd does not run here");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
}

#[test]
fn a_bus_that_does_not_answer_is_named() {
    needs!(root, systemd, probe);
    let scope = Scope::of(&["exit", "0"]);
    for (address, said) in [
        (
            "unix:path=/nowhere/bus",
            "connect to D-Bus at unix:path=/nowhere/bus: no such file or directory",
        ),
        (
            "tcp:host=localhost,port=1",
            "connect to D-Bus at tcp:host=localhost,port=1: not an address of a unix socket",
        ),
    ] {
        let mut command = scope
            .bundle
            .command(&["--systemd-cgroup", "create", &scope.bundle.id]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", address);
        let outcome = scope.bundle.finish(command).failed_with(said);
        assert!(
            outcome.stderr.contains("start the systemd unit"),
            "{outcome:?}"
        );
        assert!(scope.bundle.leftovers().is_empty(), "{address}");
        assert_eq!(scope.shows("LoadState"), "not-found");
    }

    let without_bus = |words: &[&str]| {
        let mut command = scope.bundle.command(words);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus");
        scope.bundle.finish(command)
    };
    // What is set all the same is said.
    scope.create().succeeded();
    let id = &*scope.bundle.id;
    let outcome = without_bus(&["update", "--pids-limit", "44", id]);
    outcome.failed_with("the limits are set until systemd sets its own anew: set properties of");
    let held = fs::read_to_string(scope.group().join("pids.max")).unwrap();
    assert_eq!(held.trim(), "44");

    // What is there is removed all the same.
    let outcome = without_bus(&["delete", "--force", id]).succeeded();
    assert!(
        outcome.stderr.contains("stop the systemd unit"),
        "{outcome:?}"
    );
    assert!(scope.bundle.leftovers().is_empty());
    eventually("systemd sees it", || {
        scope.shows("LoadState") == "not-found"
    });
}
