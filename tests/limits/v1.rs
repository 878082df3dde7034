//! Files of v1 groups, where the hierarchy is mounted; where it is not, a limit is refused.

use crate::harness::{eventually, needs};
use crate::{
    Bundle, MEBIBYTE, created_with, disk, group_file, is_weighed, update, weights_of_disk, with,
};
use serde_json::{Value, json};
use std::fs;

fn is_mounted(controller: &str) -> bool {
    fs::exists(format!("/sys/fs/cgroup/{controller}")).unwrap()
}

/// Creates a container with this limit alone, and looks at the file if there can be one.
#[track_caller]
fn sets(controller: &str, resources: &Value, file: &str, value: &str) {
    if is_mounted(controller) {
        let bundle = created_with(resources);
        assert_eq!(group_file(&bundle, controller, file), value, "{file}");
    } else {
        let missing = format!("the {controller} controller is not available in cgroup v1 here");
        with(resources).create().failed_with(&missing);
    }
}

#[test]
fn v1_limits_are_in_the_files_of_the_group() {
    needs!(root, cgroup1, probe);
    let resources = json!({
        "memory": { "limit": 64 * MEBIBYTE + 1, "reservation": 32 * MEBIBYTE, "swap": 96 * MEBIBYTE,
            "swappiness": 10, "disableOOMKiller": true },
        "cpu": { "shares": 512, "quota": 20000, "period": 50000, "burst": 10000, "cpus": "1,0", "mems": "0" },
        "pids": { "limit": 20 },
    });
    let bundle = created_with(&resources);
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("memory", "memory.memsw.limit_in_bytes", "100663296"),
        ("memory", "memory.swappiness", "10"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "20000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpu", "cpu.cfs_burst_us", "10000"),
        ("cpuset", "cpuset.cpus", "0-1"),
        ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "20"),
    ] {
        assert_eq!(group_file(&bundle, controller, file), value, "{file}");
    }
    let killer = group_file(&bundle, "memory", "memory.oom_control");
    assert!(killer.starts_with("oom_kill_disable 1\n"), "{killer}");
}

#[test]
fn v1_limits_of_block_devices_are_in_the_files_of_the_group() {
    needs!(root, cgroup1, probe);
    let (major, minor) = disk();
    let rate = |rate| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let resources = json!({ "blockIO": {
        "throttleReadBpsDevice": rate(1_048_576), "throttleWriteBpsDevice": rate(2_097_152),
        "throttleReadIOPSDevice": rate(300), "throttleWriteIOPSDevice": rate(400),
    } });
    let bundle = created_with(&resources);
    let files = [
        ("read_bps", "1048576"),
        ("write_bps", "2097152"),
        ("read_iops", "300"),
        ("write_iops", "400"),
    ];
    for (what, value) in files {
        let file = format!("blkio.throttle.{what}_device");
        let wanted = format!("{major}:{minor} {value}");
        assert_eq!(group_file(&bundle, "blkio", &file), wanted, "{file}");
    }
    let other = json!({ "blockIO": {
        "throttleReadBpsDevice": rate(0), "throttleWriteIOPSDevice": rate(500) } });
    update(&bundle, &other).succeeded();
    let held = |what: &str| group_file(&bundle, "blkio", &format!("blkio.throttle.{what}_device"));
    assert_eq!(held("read_bps"), "", "lifted");
    assert_eq!(
        held("read_iops"),
        format!("{major}:{minor} 300"),
        "as it was"
    );
    assert_eq!(held("write_iops"), format!("{major}:{minor} 500"));
}

#[test]
fn a_v1_weight_of_block_devices_is_held_or_refused_by_its_file() {
    needs!(root, cgroup1, probe);
    let plain = created_with(&json!({}));
    let files = ["blkio.weight", "blkio.bfq.weight"];
    let there = files
        .iter()
        .find(|file| plain.group("blkio").join(file).exists());
    let weight = json!({ "blockIO": { "weight": 300 } });
    match there {
        Some(file) => sets("blkio", &weight, file, "300"),
        None => drop(
            with(&weight)
                .create()
                .failed_with("this kernel has no blkio.weight"),
        ),
    }
    let leaf = json!({ "blockIO": { "leafWeight": 300 } });
    let field = "linux.resources.blockIO.leafWeight: this kernel has no blkio.leaf_weight";
    with(&leaf).create().failed_with(field);
}

#[test]
fn a_v1_weight_for_a_block_device_is_held_or_refused_by_its_file() {
    needs!(root, cgroup1, probe);
    const FILE: &str = "blkio.bfq.weight_device";
    const FIELD: &str = "linux.resources.blockIO.weightDevice:";
    let plain = created_with(&json!({}));
    if !plain.group("blkio").join(FILE).exists() {
        let said = format!("{FIELD} this kernel has no blkio.weight_device");
        with(&weights_of_disk(300)).create().failed_with(&said);
    } else if is_weighed() {
        let bundle = created_with(&weights_of_disk(300));
        let ((major, minor), text) = (disk(), group_file(&bundle, "blkio", FILE));
        let wanted = format!("{major}:{minor} 300");
        assert!(text.lines().any(|line| line == wanted), "{text}");
    } else {
        let said = format!("{FIELD} write");
        with(&weights_of_disk(300)).create().failed_with(&said);
    }
}

#[test]
fn a_v1_group_is_made_idle_and_woken() {
    needs!(root, cgroup1, probe);
    let idle = |idle: u8| json!({ "cpu": { "idle": idle } });
    let bundle = created_with(&json!({}));
    if !bundle.group("cpu").join("cpu.idle").exists() {
        let said = "linux.resources.cpu.idle: this kernel has no cpu.idle";
        with(&idle(1)).create().failed_with(said);
        return;
    }
    for value in [1, 0] {
        update(&bundle, &idle(value)).succeeded();
        assert_eq!(group_file(&bundle, "cpu", "cpu.idle"), value.to_string());
    }
    let bundle = created_with(&idle(1));
    assert_eq!(group_file(&bundle, "cpu", "cpu.idle"), "1");
}

/// A group has of the real time of the group above, which may have none.
#[test]
fn a_v1_group_has_real_time_where_the_kernel_shares_it() {
    needs!(root, cgroup1, probe);
    let real_time = json!({ "cpu": { "realtimePeriod": 500_000, "realtimeRuntime": 1000 } });
    let plain = created_with(&json!({}));
    let group = plain.group("cpu");
    let Ok(above) = fs::read_to_string(group.join("../cpu.rt_runtime_us")) else {
        let said = "linux.resources.cpu.realtimePeriod: this kernel has no cpu.rt_period_us";
        with(&real_time).create().failed_with(said);
        return;
    };
    update(&plain, &json!({ "cpu": { "realtimePeriod": 500_000 } })).succeeded();
    assert_eq!(group_file(&plain, "cpu", "cpu.rt_period_us"), "500000");
    if above.trim() == "0" {
        let said = "linux.resources.cpu.realtimeRuntime: write \"1000\"";
        with(&real_time).create().failed_with(said);
        return;
    }
    let bundle = created_with(&real_time);
    assert_eq!(group_file(&bundle, "cpu", "cpu.rt_period_us"), "500000");
    assert_eq!(group_file(&bundle, "cpu", "cpu.rt_runtime_us"), "1000");
}

#[test]
fn a_v1_hierarchy_that_is_not_there_is_named() {
    needs!(root, cgroup1, probe);
    let class = json!({ "network": { "classID": 1_048_577 } });
    sets("net_cls", &class, "net_cls.classid", "1048577");
    if !is_mounted("hugetlb") {
        let pages = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 * MEBIBYTE }] });
        let field = "linux.resources.hugepageLimits: the hugetlb controller is not available";
        with(&pages).create().failed_with(field);
        return;
    }
    let pages = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 5 * MEBIBYTE }] });
    sets("hugetlb", &pages, "hugetlb.2MB.limit_in_bytes", "4194304");
    sets(
        "hugetlb",
        &pages,
        "hugetlb.2MB.rsvd.limit_in_bytes",
        "4194304",
    );
    let other = json!({ "hugepageLimits": [{ "pageSize": "3MB", "limit": 0 }] });
    with(&other)
        .create()
        .failed_with("this kernel has no hugetlb.3MB.limit_in_bytes");
    let priority = json!({ "network": { "priorities": [{ "name": "lo", "priority": 5 }] } });
    let bundle = created_with(&priority);
    let map = group_file(&bundle, "net_prio", "net_prio.ifpriomap");
    assert!(map.lines().any(|line| line == "lo 5"), "{map}");
    let device = json!({ "rdma": { "none0": { "hcaHandles": 1 } } });
    with(&device)
        .create()
        .failed_with("linux.resources.rdma: write \"none0 hca_handle=1\"");
}

#[test]
fn unified_needs_a_v2_hierarchy_and_its_controller() {
    needs!(root, cgroup1, probe);
    let high = json!({ "unified": { "memory.high": "1048576" } });
    let said = match is_mounted("unified") {
        true => "linux.resources.unified: the memory controller is not available in cgroup v2",
        false => "linux.resources.unified: there is no cgroup v2 here",
    };
    with(&high).create().failed_with(said);
    if is_mounted("unified") {
        let depth = json!({ "unified": { "cgroup.max.depth": "3" } });
        let bundle = created_with(&depth);
        assert_eq!(group_file(&bundle, "", "cgroup.max.depth"), "3");
    }
}

#[test]
fn absent_null_and_zero_leave_the_kernels_defaults() {
    needs!(root, cgroup1, probe);
    let resources = json!({
        "memory": { "limit": 0, "reservation": null, "disableOOMKiller": false },
        "cpu": { "shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "" },
        "pids": null,
        "blockIO": { "weight": 0, "weightDevice": null },
        "hugepageLimits": [],
        "network": { "classID": 0, "priorities": null },
        "rdma": {},
        "unified": null,
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
fn an_update_of_v1_goes_up_and_down_and_leaves_what_it_does_not_name() {
    needs!(root, cgroup1, probe);
    let bundle = created_with(&json!({
        "memory": { "limit": 64 * MEBIBYTE, "swap": 64 * MEBIBYTE },
        "cpu": { "quota": 20000, "period": 50000 },
        "pids": { "limit": 20 },
    }));
    let memory = |bundle: &Bundle| {
        let files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];
        files.map(|file| group_file(bundle, "memory", file).parse::<u64>().unwrap() / MEBIBYTE)
    };
    for (limit, swap) in [(128, 256), (32, 32), (64, 64), (16, 128)] {
        let both = json!({ "memory": { "limit": limit * MEBIBYTE, "swap": swap * MEBIBYTE } });
        update(&bundle, &both).succeeded();
        assert_eq!(memory(&bundle), [limit, swap]);
    }
    update(&bundle, &json!({ "memory": { "swap": 64 * MEBIBYTE } })).succeeded();
    assert_eq!(memory(&bundle), [16, 64]);
    update(&bundle, &json!({ "memory": { "limit": -1 } })).succeeded();
    assert!(memory(&bundle).iter().all(|limit| *limit > 1 << 40));

    let cpu = |file| group_file(&bundle, "cpu", file);
    update(&bundle, &json!({ "cpu": { "period": 20000 } })).succeeded();
    assert_eq!(cpu("cpu.cfs_quota_us"), "20000");
    update(
        &bundle,
        &json!({ "cpu": { "quota": 30000, "burst": 30000 } }),
    )
    .succeeded();
    assert_eq!(
        (cpu("cpu.cfs_period_us"), cpu("cpu.cfs_burst_us")),
        ("20000".into(), "30000".into())
    );
    update(&bundle, &json!({ "cpu": { "quota": 5000, "burst": 5000 } })).succeeded();
    assert_eq!(cpu("cpu.cfs_burst_us"), "5000");
    update(&bundle, &json!({ "cpu": { "cpus": "0" } })).succeeded();
    assert_eq!(group_file(&bundle, "cpuset", "cpuset.cpus"), "0");
    assert_eq!(group_file(&bundle, "pids", "pids.max"), "20");
}

#[test]
fn an_update_that_fails_on_the_way_is_taken_back() {
    needs!(root, cgroup1, probe);
    let bundle = created_with(&json!({
        "memory": { "limit": 64 * MEBIBYTE },
        "cpu": { "shares": 512 },
    }));
    let wrong = json!({
        "memory": { "limit": 32 * MEBIBYTE },
        "cpu": { "shares": 1024, "cpus": "4000" },
    });
    update(&bundle, &wrong).failed_with("linux.resources.cpu.cpus: write \"4000\"");
    let memory = group_file(&bundle, "memory", "memory.limit_in_bytes");
    assert_eq!(memory, (64 * MEBIBYTE).to_string());
    assert_eq!(group_file(&bundle, "cpu", "cpu.shares"), "512");
}

#[test]
fn a_v1_memory_limit_below_what_is_in_use_is_refused_with_the_numbers() {
    needs!(root, cgroup1, probe);
    let mut bundle = Bundle::probe(&["alloc-memory", "40", "+", "sleep", "60"]);
    // What may not be swapped out stays in use.
    let limit = json!({ "limit": 64 * MEBIBYTE, "swap": 64 * MEBIBYTE, "swappiness": 0 });
    bundle.set("/linux/resources/memory", limit);
    let mut parent = bundle.run_in_background();
    eventually("the allocation", || {
        bundle.background_output().contains("\"ok\":40")
    });
    let low = json!({ "memory": { "limit": MEBIBYTE } });
    let said = "unable to set memory limit to 1048576 (current usage: 4";
    update(&bundle, &low).failed_with(said);
    let low = json!({ "memory": { "limit": MEBIBYTE, "checkBeforeUpdate": true } });
    update(&bundle, &low).failed_with("rejecting memory limit 1048576 <= usage 4");
    let held = group_file(&bundle, "memory", "memory.limit_in_bytes");
    assert_eq!(held, (64 * MEBIBYTE).to_string());
    bundle.kill("KILL").succeeded();
    parent.wait().unwrap();
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
