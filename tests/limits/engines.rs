//! What engines ask for by themselves (`tests/documents/resources`) is something that we can do.

use crate::harness::needs;
use crate::{created_with, disk, group_file};
use serde_json::{Value, json};

fn asked(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_container_without_limits_is_made_for_every_engine() {
    needs!(root, probe);
    for json in [
        include_str!("../documents/resources/docker.json"),
        include_str!("../documents/resources/docker-17.json"),
        include_str!("../documents/resources/ctr.json"),
        include_str!("../documents/resources/podman.json"),
    ] {
        created_with(&asked(json));
    }
}

#[test]
fn limits_by_docker_are_set_on_v1() {
    needs!(root, cgroup1, probe);
    let mut docker = asked(include_str!("../documents/resources/docker-limited.json"));
    let (major, minor) = disk();
    let rate = &mut docker["blockIO"]["throttleReadBpsDevice"][0];
    (rate["major"], rate["minor"]) = (json!(major), json!(minor));
    // Not every kernel has a file for weights.
    docker["blockIO"]["weight"] = json!(0);
    let bundle = created_with(&docker);
    let rate = group_file(&bundle, "blkio", "blkio.throttle.read_bps_device");
    assert_eq!(rate, format!("{major}:{minor} 1048576"));
    assert_eq!(group_file(&bundle, "cpu", "cpu.shares"), "512");
}

#[test]
fn limits_by_the_kubelet_are_set_on_v2() {
    needs!(root, cgroup2, probe);
    let kubelet = asked(include_str!("../documents/resources/kubelet.json"));
    let bundle = created_with(&kubelet);
    for (file, value) in [
        ("memory.max", "134217728"),
        ("memory.swap.max", "0"),
        ("memory.oom.group", "1"),
        ("cpu.weight", "17"),
        ("hugetlb.2MB.max", "0"),
    ] {
        assert_eq!(group_file(&bundle, "", file), value, "{file}");
    }
}
