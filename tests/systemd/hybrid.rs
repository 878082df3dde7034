//! Where the controllers are of v1: limits in other files, which systemd sets anew more often.

use super::{MEBIBYTE, Scope, eventually, systemctl};
use crate::harness::needs;
use serde_json::json;
use std::fs;
use std::process::Command;

#[track_caller]
fn check_files(scope: &Scope, when: &str, wanted: &[(&str, &str, &str)]) {
    for (controller, file, value) in wanted {
        let held = fs::read_to_string(scope.bundle.group(controller).join(file)).unwrap();
        assert_eq!(held.trim(), *value, "{file} {when}");
    }
}

#[test]
fn limits_of_v1_outlast_a_daemon_reload() {
    needs!(root, systemd, hybrid, probe);
    let mut scope = Scope::of(&["sleep", "600"]);
    let resources = json!({
        "memory": { "limit": 64 * MEBIBYTE },
        "cpu": { "shares": 2048, "quota": 12345, "period": 50000, "cpus": "1" },
        "pids": { "limit": 33 },
    });
    for (field, value) in resources.as_object().unwrap() {
        scope
            .bundle
            .set(&format!("/linux/resources/{field}"), value.clone());
    }
    scope.create().succeeded();
    scope.bundle.start().succeeded();
    // Who comes later is in every group of it, too.
    let words = [
        "exec",
        &*scope.bundle.id,
        "/probe",
        "read",
        "/proc/self/cgroup",
    ];
    let guest = scope.bundle.call(&words).succeeded().answer();
    let lines: Vec<&str> = guest["ok"].as_str().unwrap().lines().collect();
    for hierarchy in ["memory", "cpu", "pids", "devices", ""] {
        let is_of = |line: &&&str| {
            let names = line.split(':').nth(1).unwrap();
            names.split(',').any(|name| name == hierarchy)
        };
        let line = lines.iter().find(is_of).unwrap();
        assert!(line.ends_with(&format!("/{}", scope.unit())), "{lines:?}");
    }
    let quota = |value| ("cpu", "cpu.cfs_quota_us", value);
    let others = [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("cpu", "cpu.shares", "2048"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpuset", "cpuset.cpus", "1"),
        ("pids", "pids.max", "33"),
    ];
    check_files(&scope, "after create", &others);
    check_files(&scope, "after create", &[quota("12345")]);
    systemctl(&["daemon-reload"]);
    check_files(&scope, "after a reload", &others);
    // systemd counts cpu time in whole percents.
    check_files(&scope, "after a reload", &[quota("12500")]);

    let update = |words: &[&str]| {
        let words = [&["update"], words, &[&*scope.bundle.id]].concat();
        scope.bundle.call(&words)
    };
    update(&["--memory", "96M", "--pids-limit", "44"]).succeeded();
    let updated = [
        ("memory", "memory.limit_in_bytes", "100663296"),
        ("pids", "pids.max", "44"),
    ];
    check_files(&scope, "after an update", &updated);
    // The kernel takes the first, and has no such cpu.
    let failed = update(&["--memory", "32M", "--cpuset-cpus", "4000"]);
    failed.failed_with("linux.resources.cpu.cpus");
    check_files(&scope, "after a failure", &updated);
    systemctl(&["daemon-reload"]);
    check_files(&scope, "after another reload", &updated);
}

#[test]
fn v1_alone_is_refused() {
    needs!(root, systemd, hybrid, probe);
    let scope = Scope::of(&["sleep", "600"]);
    let on_v1 = |words: &[&str]| {
        let called = scope.bundle.command(words);
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg("umount /sys/fs/cgroup/unified && exec \"$0\" \"$@\"")
            .arg(called.get_program())
            .args(called.get_args())
            .current_dir(&scope.bundle.dir);
        scope.bundle.finish(command)
    };
    let outcome = on_v1(&["--systemd-cgroup", "create", &scope.bundle.id]);
    outcome.failed_with("systemd undoes it on cgroup v1, and there is no v2 hierarchy beside");
    eventually("the end of the unit", || {
        scope.shows("LoadState") == "not-found"
    });
    assert!(scope.bundle.leftovers().is_empty());

    let said = "and those with --systemd-cgroup are refused";
    let check = on_v1(&["check"]).stdout;
    let line = check.lines().find(|line| line.contains(said));
    assert!(
        line.is_some_and(|line| line.starts_with("lacks")),
        "{check}"
    );
}
