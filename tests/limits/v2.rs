//! Files of the v2 group.

use crate::harness::needs;
use crate::{
    Bundle, MEBIBYTE, created_with, disk, group_file, is_weighed, update, weights_of_disk, with,
};
use serde_json::{Value, json};
use std::fs;

fn v2(bundle: &Bundle, file: &str) -> String {
    group_file(bundle, "", file)
}

#[test]
fn v2_limits_are_in_the_files_of_the_group() {
    needs!(root, cgroup2, probe);
    let resources = json!({
        "memory": { "limit": 64 * MEBIBYTE + 1, "reservation": 32 * MEBIBYTE, "swap": 96 * MEBIBYTE + 1 },
        "cpu": { "shares": 512, "quota": 20000, "period": 50000, "burst": 10000, "cpus": "1,0", "mems": "0" },
        "pids": { "limit": 20 },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 5 * MEBIBYTE }],
        "unified": { "memory.high": "48M", "memory.oom.group": "1", "cgroup.max.depth": "3" },
    });
    let bundle = created_with(&resources);
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.swap.max", "33554432"),
        ("cpu.weight", "59"),
        ("cpu.max", "20000 50000"),
        ("cpu.max.burst", "10000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "20"),
        ("hugetlb.2MB.max", "4194304"),
        ("hugetlb.2MB.rsvd.max", "4194304"),
        ("memory.high", "50331648"),
        ("memory.oom.group", "1"),
        ("cgroup.max.depth", "3"),
    ] {
        assert_eq!(v2(&bundle, file), value, "{file}");
    }
}

#[test]
fn v2_limits_of_block_devices_are_in_one_line_for_each() {
    needs!(root, cgroup2, probe);
    let (major, minor) = disk();
    let rate = |rate| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let resources = json!({ "blockIO": {
        "throttleReadBpsDevice": rate(1_048_576), "throttleWriteIOPSDevice": rate(400),
    } });
    let bundle = created_with(&resources);
    let line = |rates: &str| format!("{major}:{minor} {rates}");
    let wanted = line("rbps=1048576 wbps=max riops=max wiops=400");
    assert_eq!(v2(&bundle, "io.max"), wanted);
    let other = json!({ "blockIO": {
        "throttleReadBpsDevice": rate(0), "throttleWriteBpsDevice": rate(2_097_152) } });
    update(&bundle, &other).succeeded();
    let wanted = line("rbps=max wbps=2097152 riops=max wiops=400");
    assert_eq!(v2(&bundle, "io.max"), wanted);
}

#[test]
fn a_v2_weight_of_block_devices_is_held_or_refused_by_its_file() {
    needs!(root, cgroup2, probe);
    let plain = created_with(&json!({ "blockIO": {
        "throttleReadBpsDevice": [{ "major": disk().0, "minor": disk().1, "rate": 9_000_000 }] } }));
    let has = |file: &str| plain.group("").join(file).exists();
    let weight = with(&json!({ "blockIO": { "weight": 300 } }));
    let (file, held) = match (has("io.bfq.weight"), has("io.weight")) {
        (true, _) => ("io.bfq.weight", "300"),
        (false, true) => ("io.weight", "2930"),
        (false, false) => {
            weight.create().failed_with("this kernel has no io.weight");
            return;
        }
    };
    weight.create().succeeded();
    let text = v2(&weight, file);
    assert_eq!(
        text.lines().next(),
        Some(&*format!("default {held}")),
        "{text}"
    );
}

/// The guest's disk has the scheduler that weighs.
#[test]
fn a_v2_weight_for_a_block_device_is_held_or_refused_by_its_file() {
    needs!(root, cgroup2, probe);
    let plain = created_with(&json!({}));
    let held = |file: &str, [first, second]: [u32; 2]| {
        let bundle = created_with(&weights_of_disk(300));
        let holds = |weight: u32| {
            let ((major, minor), text) = (disk(), v2(&bundle, file));
            let wanted = format!("{major}:{minor} {weight}");
            assert!(text.lines().any(|line| line == wanted), "{text}");
        };
        holds(first);
        update(&bundle, &weights_of_disk(1000)).succeeded();
        holds(second);
    };
    let has = |file: &str| plain.group("").join(file).exists();
    let refused = |said: &str| drop(with(&weights_of_disk(300)).create().failed_with(said));
    const FIELD: &str = "linux.resources.blockIO.weightDevice:";
    match (has("io.bfq.weight"), is_weighed()) {
        (true, true) => held("io.bfq.weight", [300, 1000]),
        (true, false) => refused(&format!("{FIELD} write")),
        (false, _) if has("io.weight") => held("io.weight", [2930, 10_000]),
        (false, _) => refused(&format!("{FIELD} this kernel has no io.weight")),
    }
}

/// A machine has one after `rdma link add rxe0 type rxe netdev …`, if its kernel has the module.
#[test]
fn an_rdma_device_is_limited_or_said_not_to_be_there() {
    needs!(root, cgroup2, probe);
    let devices = fs::read_dir("/sys/class/infiniband").into_iter().flatten();
    let Some(device) = devices.flatten().next() else {
        let limit = json!({ "rdma": { "none0": { "hcaHandles": 3 } } });
        let said = "linux.resources.rdma: write \"none0 hca_handle=3\"";
        with(&limit).create().failed_with(said);
        return;
    };
    let name = device.file_name().into_string().unwrap();
    let both = json!({ "rdma": { &name: { "hcaHandles": 3, "hcaObjects": 10000 } } });
    let bundle = created_with(&both);
    let held = |handles| format!("{name} hca_handle={handles} hca_object=10000");
    assert!(
        v2(&bundle, "rdma.max")
            .lines()
            .any(|line| line.trim() == held(3))
    );
    update(&bundle, &json!({ "rdma": { &name: { "hcaHandles": 5 } } })).succeeded();
    assert!(
        v2(&bundle, "rdma.max")
            .lines()
            .any(|line| line.trim() == held(5))
    );
}

#[test]
fn what_v2_has_not_is_refused_by_its_field() {
    needs!(root, cgroup2, probe);
    for (field, value) in [
        ("memory.swappiness", json!({ "swappiness": 0 })),
        (
            "memory.disableOOMKiller",
            json!({ "disableOOMKiller": true }),
        ),
        ("cpu.realtimeRuntime", json!({ "realtimeRuntime": 1000 })),
        ("cpu.realtimePeriod", json!({ "realtimePeriod": 100_000 })),
        ("blockIO.leafWeight", json!({ "leafWeight": 10 })),
        ("network.classID", json!({ "classID": 1 })),
        (
            "network.priorities",
            json!({ "priorities": [{ "name": "lo", "priority": 1 }] }),
        ),
    ] {
        let (object, _) = field.split_once('.').unwrap();
        let said = format!("linux.resources.{field}: cgroup v2 has nothing like it");
        with(&json!({ object: value })).create().failed_with(&said);
    }
    for (file, said) in [
        (
            "nothing.max",
            "linux.resources.unified: the nothing controller is not available in cgroup v2",
        ),
        (
            "memory.nothing",
            "linux.resources.unified: this kernel has no memory.nothing",
        ),
        ("memory.current", "linux.resources.unified: write \"1\""),
    ] {
        with(&json!({ "unified": { file: "1" } }))
            .create()
            .failed_with(said);
    }
}

#[test]
fn absent_null_and_zero_leave_the_defaults_of_v2() {
    needs!(root, cgroup2, probe);
    let bundle = created_with(&json!({
        "memory": { "limit": 0, "swap": 0, "disableOOMKiller": false, "swappiness": u64::MAX },
        "cpu": { "shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0 },
        "blockIO": { "weight": 0, "leafWeight": 0 },
        "network": { "classID": 0, "priorities": [] },
        // The controllers are there, with their defaults.
        "pids": { "limit": -1 },
        "unified": { "memory.high": "max", "cpu.max.burst": "0" },
    }));
    for (file, value) in [
        ("memory.max", "max"),
        ("memory.swap.max", "max"),
        ("cpu.weight", "100"),
        ("cpu.max", "max 100000"),
        ("pids.max", "max"),
    ] {
        assert_eq!(v2(&bundle, file), value, "{file}");
    }
}

#[test]
fn an_update_of_v2_changes_what_it_names() {
    needs!(root, cgroup2, probe);
    // Only pids is enabled for the group: the update enables the rest.
    let bundle = created_with(&json!({ "pids": { "limit": 20 } }));
    let changes = |resources: Value| update(&bundle, &resources).succeeded();
    changes(json!({ "memory": { "limit": 64 * MEBIBYTE, "swap": 64 * MEBIBYTE } }));
    let memory = || [v2(&bundle, "memory.max"), v2(&bundle, "memory.swap.max")];
    assert_eq!(memory(), ["67108864", "0"]);
    changes(json!({ "memory": { "swap": 96 * MEBIBYTE } }));
    assert_eq!(memory(), ["67108864", "33554432"]);
    changes(json!({ "memory": { "limit": -1 } }));
    assert_eq!(memory(), ["max", "max"]);

    changes(json!({ "cpu": { "quota": 20000, "period": 50000, "burst": 20000 } }));
    changes(json!({ "cpu": { "period": 40000 } }));
    assert_eq!(v2(&bundle, "cpu.max"), "20000 40000");
    changes(json!({ "cpu": { "quota": 10000, "burst": 10000 } }));
    assert_eq!(v2(&bundle, "cpu.max"), "10000 40000");
    assert_eq!(v2(&bundle, "cpu.max.burst"), "10000");
    changes(json!({ "cpu": { "idle": 1 } }));
    assert_eq!(v2(&bundle, "cpu.idle"), "1");
    changes(json!({ "cpu": { "idle": 0, "shares": 1024, "cpus": "0" } }));
    assert_eq!(v2(&bundle, "cpu.weight"), "100");
    assert_eq!(v2(&bundle, "cpuset.cpus"), "0");
    assert_eq!(v2(&bundle, "pids.max"), "20");
}

#[test]
fn an_update_of_v2_that_fails_on_the_way_is_taken_back() {
    needs!(root, cgroup2, probe);
    let bundle = created_with(&json!({
        "memory": { "limit": 64 * MEBIBYTE },
        "cpu": { "shares": 512, "cpus": "0" },
    }));
    let wrong = json!({
        "memory": { "limit": 32 * MEBIBYTE },
        "cpu": { "shares": 1024, "cpus": "4000" },
    });
    update(&bundle, &wrong).failed_with("linux.resources.cpu.cpus: write \"4000\"");
    assert_eq!(v2(&bundle, "memory.max"), (64 * MEBIBYTE).to_string());
    assert_eq!(v2(&bundle, "cpu.weight"), "59");
    let said = "rejecting memory limit 1 <= usage";
    let low = json!({ "memory": { "limit": 1, "checkBeforeUpdate": true } });
    update(&bundle, &low).failed_with(said);
    let low = json!({ "memory": { "limit": 1, "swap": 2, "checkBeforeUpdate": true } });
    update(&bundle, &low).failed_with("rejecting memory+swap limit 2 <= usage");
}

/// Of what the group above has not, the kernel takes the list and uses less, or other processors.
#[test]
fn a_cpuset_that_is_not_in_force_is_an_error() {
    needs!(root, cgroup2, probe);
    for asked in ["1", "0-1"] {
        let mut bundle = with(&json!({ "cpu": { "cpus": asked } }));
        let above = format!("/above-{}", bundle.id);
        let dir = format!("/sys/fs/cgroup{above}");
        fs::create_dir(&dir).unwrap();
        fs::write(format!("{dir}/cpuset.cpus"), "0").unwrap();
        bundle.set(
            "/linux/cgroupsPath",
            json!(format!("{above}/{}", bundle.id)),
        );
        let said = format!("linux.resources.cpu.cpus: asked for \"{asked}\", but ");
        bundle
            .create()
            .failed_with(&said)
            .failed_with("cpuset.cpus.effective holds \"0\"");
        bundle.call(&["delete", "--force", &bundle.id]);
        fs::remove_dir(&dir).unwrap();
    }
}
