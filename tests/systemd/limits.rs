//! Limits: in the kernel's files and in the unit's properties, and still there when systemd has set
//! its units anew.

use super::{MEBIBYTE, Scope, eventually, output_of, systemctl};
use crate::harness::{Bundle, needs};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// Files and what they hold.
#[track_caller]
fn check_files(scope: &Scope, when: &str, wanted: &[(&str, &str)]) {
    for (file, value) in wanted {
        let held = fs::read_to_string(scope.group().join(file)).unwrap();
        assert_eq!(held.trim(), *value, "{file} {when}");
    }
}

#[track_caller]
fn check_properties(scope: &Scope, wanted: &[(&str, &str)]) {
    for (property, value) in wanted {
        assert_eq!(scope.shows(property), *value, "{property}");
    }
}

#[test]
fn limits_outlast_a_daemon_reload() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&["sleep", "600"]);
    let resources = json!({
        "memory": { "limit": 64 * MEBIBYTE, "reservation": 16 * MEBIBYTE },
        "cpu": { "shares": 2048, "quota": 12345, "period": 50000, "burst": 1000, "cpus": "1" },
        "pids": { "limit": 33 },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 * MEBIBYTE }],
        "unified": { "memory.high": "50331648", "cpu.weight": "77" },
    });
    for (field, value) in resources.as_object().unwrap() {
        scope
            .bundle
            .set(&format!("/linux/resources/{field}"), value.clone());
    }
    scope.create().succeeded();
    scope.bundle.start().succeeded();
    let files = [
        ("memory.max", "67108864"),
        ("memory.low", "16777216"),
        ("memory.high", "50331648"),
        ("cpu.max", "12345 50000"),
        ("cpu.max.burst", "1000"),
        ("cpu.weight", "77"),
        ("cpuset.cpus", "1"),
        ("pids.max", "33"),
        ("hugetlb.2MB.max", "4194304"),
    ];
    check_files(&scope, "after create", &files);
    check_properties(
        &scope,
        &[
            ("MemoryMax", "67108864"),
            ("MemoryLow", "16777216"),
            ("MemoryHigh", "50331648"),
            ("CPUQuotaPerSecUSec", "250ms"),
            ("CPUQuotaPeriodUSec", "50ms"),
            ("CPUWeight", "77"),
            ("AllowedCPUs", "1"),
            ("TasksMax", "33"),
        ],
    );
    systemctl(&["daemon-reload"]);
    // systemd counts cpu time in whole percents.
    let reloaded = files.map(|(file, value)| match file {
        "cpu.max" => (file, "12500 50000"),
        _ => (file, value),
    });
    check_files(&scope, "after a reload", &reloaded);
}

#[test]
fn an_update_outlasts_a_daemon_reload() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&["sleep", "600"]);
    scope
        .bundle
        .set("/linux/resources/memory", json!({ "limit": 64 * MEBIBYTE }))
        .set(
            "/linux/resources/cpu",
            json!({ "quota": 10000, "period": 20000 }),
        );
    scope.create().succeeded();
    scope.bundle.start().succeeded();
    // Not told of the driver, as CRI-O does it.
    let update = |flags: &[&str]| {
        let words = [&["update"], flags, &[&*scope.bundle.id]].concat();
        scope.bundle.call(&words).succeeded();
    };
    update(&[
        "--memory",
        "96M",
        "--memory-swap",
        "128M",
        "--pids-limit",
        "44",
    ]);
    update(&["--cpu-quota", "5000", "--cpu-share", "512"]);
    update(&["--cpuset-cpus", "0"]);
    let files = [
        ("memory.max", "100663296"),
        ("pids.max", "44"),
        ("cpu.max", "5000 20000"),
        ("cpu.weight", "59"),
        ("cpuset.cpus", "0"),
    ];
    check_files(&scope, "after update", &files);
    check_properties(
        &scope,
        &[
            ("MemoryMax", "100663296"),
            ("MemorySwapMax", "33554432"),
            ("TasksMax", "44"),
            ("CPUQuotaPerSecUSec", "250ms"),
            ("CPUQuotaPeriodUSec", "20ms"),
            ("CPUWeight", "59"),
            ("AllowedCPUs", "0"),
        ],
    );
    systemctl(&["daemon-reload"]);
    check_files(&scope, "after a reload", &files);

    update(&["--memory", "-1", "--cpu-quota", "-1", "--pids-limit", "-1"]);
    // Without a quota systemd has no period either.
    let lifted = [
        ("memory.max", "max"),
        ("cpu.max", "max 100000"),
        ("pids.max", "max"),
    ];
    check_files(&scope, "when lifted", &lifted);
    systemctl(&["daemon-reload"]);
    check_files(&scope, "when lifted, after a reload", &lifted);
}

#[test]
fn an_update_that_fails_leaves_what_was() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&["sleep", "600"]);
    scope
        .bundle
        .set("/linux/resources/memory", json!({ "limit": 64 * MEBIBYTE }));
    scope.create().succeeded();
    scope.bundle.start().succeeded();
    // The kernel takes the first, and has no such cpu.
    let limits = json!({ "memory": { "limit": 32 * MEBIBYTE }, "cpu": { "cpus": "4000" } });
    let file = scope.bundle.dir.join("resources.json");
    fs::write(&file, limits.to_string()).unwrap();
    let words = ["update", "--resources", file.to_str().unwrap()];
    let outcome = scope
        .bundle
        .call(&[&words[..], &[&*scope.bundle.id]].concat());
    outcome.failed_with("linux.resources.cpu.cpus");

    let before = [("memory.max", "67108864"), ("cpuset.cpus", "")];
    check_files(&scope, "after the failure", &before);
    check_properties(&scope, &[("MemoryMax", "67108864"), ("AllowedCPUs", "")]);
    systemctl(&["daemon-reload"]);
    check_files(&scope, "after a reload", &before);
}

#[test]
fn ending_together_for_want_of_memory_is_kept_as_far_as_systemd_can() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&["sleep", "600"]);
    let oom_group = json!({ "memory.oom.group": "1" });
    scope
        .bundle
        .set("/linux/resources/memory", json!({ "limit": 64 * MEBIBYTE }))
        .set("/linux/resources/unified", oom_group);
    let created = scope.create().succeeded();
    scope.bundle.start().succeeded();
    let id = &*scope.bundle.id;
    check_files(&scope, "after create", &[("memory.oom.group", "1")]);
    // systemd writes all that is of memory.
    let words = ["update", "--memory", "96M", id];
    scope.bundle.call(&words).succeeded();
    let updated = [("memory.max", "100663296"), ("memory.oom.group", "1")];
    check_files(&scope, "after an update", &updated);

    let version = output_of(Command::new("systemctl").arg("--version"));
    let version = version.split_whitespace().nth(1).unwrap();
    if version.parse::<u32>().unwrap() < 253 {
        let said = format!("systemd {version} undoes memory.oom.group");
        assert!(created.stderr.contains(&said), "{created:?}");
        return;
    }
    assert_eq!(created.stderr, "");
    assert_eq!(scope.shows("OOMPolicy"), "kill");
    systemctl(&["daemon-reload"]);
    check_files(&scope, "after a reload", &updated);
}

/// What the program hears when it opens the device, from now on.
#[track_caller]
fn hears(bundle: &Bundle, wanted: &str) {
    let answer = bundle.rootfs().join("answer");
    // One of before may still be put there.
    for _ in 0..2 {
        let _ = fs::remove_file(&answer);
        eventually("an answer", || answer.exists());
    }
    let heard = fs::read_to_string(answer).unwrap();
    assert!(heard.contains(wanted), "{heard:?}, not {wanted:?}");
}

#[test]
fn devices_are_guarded_through_reload_and_update() {
    // No driver has this number: an open that the group allows comes to the kernel's ENXIO.
    const SCRIPT: &str = "mknod /node c 511 7; \
        while :; do cat /node 2>/new; mv /new /answer; sleep 0.05; done";
    const ALLOWED: &str = "No such device or address";
    const DENIED: &str = "Operation not permitted";
    needs!(root, systemd, busybox);
    let mut bundle = Bundle::busybox(SCRIPT);
    bundle.set("/root/readonly", json!(false));
    for set in ["bounding", "permitted", "effective"] {
        bundle.set(
            &format!("/process/capabilities/{set}/-"),
            json!("CAP_MKNOD"),
        );
    }
    let id = bundle.id.clone();
    bundle
        .call(&["--systemd-cgroup", "create", &id])
        .succeeded();
    bundle.start().succeeded();
    hears(&bundle, DENIED);
    systemctl(&["daemon-reload"]);
    hears(&bundle, DENIED);

    let update = |rules: Value| {
        let file = bundle.dir.join("resources.json");
        fs::write(&file, json!({ "devices": rules }).to_string()).unwrap();
        let words = ["update", "--resources", file.to_str().unwrap(), &id];
        bundle.call(&words).succeeded();
    };
    let deny = json!({ "allow": false, "access": "rwm" });
    let allow = json!({ "allow": true, "type": "c", "major": 511, "minor": 7, "access": "rwm" });
    update(json!([deny, allow]));
    hears(&bundle, ALLOWED);
    systemctl(&["daemon-reload"]);
    hears(&bundle, ALLOWED);
    update(json!([deny]));
    hears(&bundle, DENIED);
    systemctl(&["daemon-reload"]);
    hears(&bundle, DENIED);
}

#[test]
fn annotations_set_properties_of_the_unit() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&["sleep", "600"]);
    scope.bundle.set(
        "/annotations",
        json!({
            "org.systemd.property.TimeoutStopSec": "7",
            "org.systemd.property.CollectMode": "'inactive'",
            "org.systemd.property.After": "['a.service', 'b.service']",
            "org.systemd.property.SendSIGHUP": "true",
        }),
    );
    scope.create().succeeded();
    assert_eq!(scope.shows("TimeoutStopUSec"), "7s");
    assert_eq!(scope.shows("CollectMode"), "inactive");
    assert_eq!(scope.shows("SendSIGHUP"), "yes");
    let after = scope.shows("After");
    assert!(
        after.contains("a.service") && after.contains("b.service"),
        "{after}"
    );
    scope.delete().succeeded();

    for (name, value, said) in [
        (
            "PIDs",
            "[1]",
            "org.systemd.property.PIDs: a document may not set it, but only After, ",
        ),
        (
            "FailureAction",
            "'reboot-force'",
            "org.systemd.property.FailureAction: a document may not set it",
        ),
        (
            "After",
            "a.service",
            "org.systemd.property.After: \"a.service\" is no value",
        ),
        // systemd itself refuses.
        ("KillMode", "'no-such-mode'", "no-such-mode"),
    ] {
        let key = format!("org.systemd.property.{name}");
        scope.bundle.set("/annotations", json!({ key: value }));
        scope.create().failed_with(said);
        assert_eq!(scope.shows("LoadState"), "not-found", "{name}");
    }
}

#[test]
fn a_detached_container_that_runs_out_of_memory_is_told_of() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&["alloc-memory", "64"]);
    let memory = json!({ "limit": 24 * MEBIBYTE, "swap": 24 * MEBIBYTE });
    scope.bundle.set("/linux/resources/memory", memory);
    // The group may be gone, and its counters with it, before anybody looks.
    for _ in 0..3 {
        let run = ["--systemd-cgroup", "run", "--detach", &scope.bundle.id];
        scope.bundle.call(&run).succeeded();
        eventually("its end is recorded", || {
            scope.bundle.state()["exit"].is_object()
        });
        let exit = scope.bundle.state()["exit"].clone();
        assert_eq!(exit["oom"], true, "{exit}");
        scope.delete().succeeded();
    }
}
