//! Limits of the container's group, as the kernel's files hold them and as the program feels them.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs};
use nix::libc;
use serde_json::{Value, json};
use std::fs;

const MEBIBYTE: u64 = 1 << 20;

/// What a file of the container's group holds while it runs.
#[track_caller]
fn group_file(bundle: &Bundle, controller: &str, file: &str) -> String {
    let path = bundle.group(controller).join(file);
    fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .trim()
        .into()
}

fn created_with(resources: &Value) -> Bundle {
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    for (field, value) in resources.as_object().unwrap() {
        bundle.set(&format!("/linux/resources/{field}"), value.clone());
    }
    bundle.create().succeeded();
    bundle
}

#[test]
fn v1_limits_are_in_the_files_of_the_group() {
    needs!(root, cgroup1, probe);
    let resources = json!({
        "memory": { "limit": 64 * MEBIBYTE, "reservation": 32 * MEBIBYTE },
        "cpu": { "shares": 512, "quota": 20000, "period": 50000, "cpus": "0" },
        "pids": { "limit": 20 },
    });
    let bundle = created_with(&resources);
    let cases = [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "20000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "20"),
    ];
    for (controller, file, value) in cases {
        assert_eq!(group_file(&bundle, controller, file), value, "{file}");
    }
}

#[test]
fn v2_limits_are_in_the_files_of_the_group() {
    needs!(root, cgroup2, probe);
    let resources = json!({
        "memory": { "limit": 64 * MEBIBYTE, "reservation": 32 * MEBIBYTE, "swap": 96 * MEBIBYTE },
        "cpu": { "quota": 20000, "period": 50000 },
        "pids": { "limit": 20 },
    });
    let bundle = created_with(&resources);
    let cases = [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.swap.max", "33554432"),
        ("cpu.max", "20000 50000"),
        ("pids.max", "20"),
    ];
    for (file, value) in cases {
        assert_eq!(group_file(&bundle, "", file), value, "{file}");
    }
}

#[test]
fn absent_null_and_zero_leave_the_kernels_defaults() {
    needs!(root, cgroup1, probe);
    let resources = json!({
        "memory": { "limit": 0, "reservation": null },
        "cpu": { "shares": 0, "quota": 0 },
        "pids": null,
    });
    let bundle = created_with(&resources);
    assert_eq!(group_file(&bundle, "cpu", "cpu.shares"), "1024");
    assert_eq!(group_file(&bundle, "cpu", "cpu.cfs_quota_us"), "-1");
    assert_eq!(group_file(&bundle, "pids", "pids.max"), "max");
    let memory: u64 = group_file(&bundle, "memory", "memory.limit_in_bytes")
        .parse()
        .unwrap();
    assert!(memory > 1 << 60, "{memory}");
}

#[test]
fn a_program_above_its_memory_is_killed() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["alloc-memory", "64"]);
    bundle.set(
        "/linux/resources/memory",
        json!({ "limit": 24 * MEBIBYTE, "swap": 24 * MEBIBYTE }),
    );
    assert_eq!(bundle.run().code, 128 + libc::SIGKILL);
    bundle.args(&["/probe", "alloc-memory", "8"]);
    assert_eq!(bundle.run().succeeded().answer()["ok"], 8);
}

#[test]
fn a_fork_bomb_stops_at_the_limit() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["fork-bomb", "200"]);
    bundle.set("/linux/resources/pids", json!({ "limit": 15 }));
    let told = &bundle.run().succeeded().answer()["ok"];
    assert_eq!(told["errno"], libc::EAGAIN, "{told}");
    assert_eq!(told["forks"], 14, "the program itself is one");
}

#[test]
fn a_quota_holds_the_program_to_its_share() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["spin", "1"]);
    bundle.set(
        "/linux/resources/cpu",
        json!({ "quota": 20000, "period": 100_000 }),
    );
    let told = bundle.run().succeeded().answer()["ok"].clone();
    let cpu = told["cpu"].as_f64().unwrap();
    assert!(cpu < 0.4, "a fifth of a second is allowed: {told}");
}

#[test]
fn a_device_is_refused_unless_a_rule_allows_it() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/root/readonly", json!(false));
    for set in ["bounding", "permitted", "effective"] {
        bundle.set(
            &format!("/process/capabilities/{set}/-"),
            json!("CAP_MKNOD"),
        );
    }
    // No driver has this number: an open that the group allows comes to the kernel's ENXIO.
    let open = [
        "mknod",
        "/home/node",
        "c",
        "511",
        "7",
        "+",
        "open",
        "/home/node",
    ];
    bundle.args(&[&["/probe"], &open[..], &["+", "open", "/dev/zero"]].concat());
    // Making any node is among the rules that every container gets, opening it is not.
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[1]["errno"], libc::EPERM, "{answers:?}");
    assert_eq!(
        answers[2]["ok"], 1,
        "/dev/zero is of the default devices: {answers:?}"
    );

    fs::remove_file(bundle.rootfs().join("home/node")).unwrap();
    let rule = json!({ "allow": true, "type": "c", "major": 511, "minor": 7, "access": "rwm" });
    bundle.set("/linux/resources/devices/-", rule);
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[1]["errno"], libc::ENXIO, "{answers:?}");
}

#[test]
fn the_group_lies_where_the_path_says() {
    needs!(root, cgroup1, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    let path = format!("/parent-of-{0}/{0}", bundle.id);
    bundle.set("/linux/cgroupsPath", json!(path));
    bundle.create().succeeded();
    for controller in ["memory", "pids", "devices", "cpu"] {
        assert!(
            bundle.group(controller).ends_with(&path[1..]),
            "{controller}"
        );
    }
    // The parent is made on the way, and like runc's it stays: it may hold others.
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let parent = hierarchy.path().join(format!("parent-of-{}", bundle.id));
        assert!(!parent.join(&bundle.id).exists());
        let _ = fs::remove_dir(parent);
    }
}

#[test]
fn a_limit_the_kernel_refuses_is_named() {
    needs!(root, cgroup1, probe);
    let mut bundle = Bundle::probe(&["exit", "0"]);
    bundle.set("/linux/resources/cpu", json!({ "cpus": "4000" }));
    bundle.run().failed_with("cpus");
}
