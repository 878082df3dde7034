//! `linux.resources` of controllers beside memory, cpu, pids and devices.

use super::resources::{limits, refuses_limits};
use super::*;
use crate::spec::limits::{
    BlockIo, ControlFile, DeviceNumber, DeviceWeight, HugePages, Network, Priority, Rdma, Throttle,
    Throttled,
};
use crate::spec::units::{Bytes, Limit};

#[test]
fn block_devices_have_weights_and_rates() {
    let json = r#"{"weight": 10, "leafWeight": 1000, "weightDevice": [{"major": 8, "minor": 0, "weight": 20},
        {"major": 8, "minor": 1, "weight": 0}, {"major": 8, "minor": 2, "leafWeight": 30}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 0}], "throttleReadIOPSDevice": null,
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}]}"#;
    let device = |minor| DeviceNumber { major: 8, minor };
    let weight = |minor, weight, leaf_weight| DeviceWeight {
        device: device(minor),
        weight,
        leaf_weight,
    };
    let rate = |what, rate| Throttle {
        device: device(0),
        what,
        rate,
    };
    let expected = BlockIo {
        weight: Some(10),
        leaf_weight: Some(1000),
        weights: vec![weight(0, Some(20), None), weight(2, None, Some(30))],
        throttles: vec![
            rate(Throttled::BytesRead, Limit::At(5)),
            rate(Throttled::BytesWritten, Limit::None),
            rate(Throttled::Writes, Limit::None),
        ],
    };
    assert_eq!(limits("blockIO", json).block_io, expected);
    refuses_limits(&[
        (
            "blockIO",
            r#"{"weight": 9}"#,
            "blockIO.weight: 9 is not from 10 to 1000",
        ),
        (
            "blockIO",
            r#"{"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 1001}]}"#,
            "blockIO.weightDevice[0].leafWeight: 1001 is not from 10 to 1000",
        ),
        (
            "blockIO",
            r#"{"weightDevice": [{"major": 8, "minor": 0}]}"#,
            "blockIO.weightDevice[0]: neither weight nor leafWeight",
        ),
        (
            "blockIO",
            r#"{"throttleReadIOPSDevice": [{"major": -1, "minor": 0, "rate": 1}]}"#,
            "blockIO.throttleReadIOPSDevice[0].major: -1 is no device number",
        ),
    ]);
    for (json, place) in [
        (r#"{"weight": 65536}"#, "blockIO.weight: line "),
        (
            r#"{"weightDevice": [[8, 0, 1]]}"#,
            "blockIO.weightDevice: line ",
        ),
        (
            r#"{"throttleReadBpsDevice": [{"major": 8, "rate": 1}]}"#,
            "blockIO.throttleReadBpsDevice[0]: line ",
        ),
        (
            r#"{"throttleReadBpsDevice": [{"major": 8, "minor": 0}]}"#,
            "blockIO.throttleReadBpsDevice[0]: line ",
        ),
    ] {
        let said = refused(&[("linux.resources.blockIO", json)]);
        assert!(
            said.starts_with(&format!("linux.resources.{place}")),
            "{said}"
        );
    }
}

#[test]
fn huge_pages_have_sizes_of_the_kernel() {
    let json =
        r#"[{"pageSize": "2MB", "limit": 0}, {"pageSize": "64KB", "limit": 18446744073709551615}]"#;
    let pages = |size: &str, limit| HugePages {
        page_size: size.into(),
        limit: Bytes(limit),
    };
    let expected = [pages("2MB", 0), pages("64KB", u64::MAX)];
    assert_eq!(limits("hugepageLimits", json).huge_pages, expected);
    for size in [
        "", "MB", "2", "2mb", "02MB", "64kB", "2MB.max", "1TB", "-2MB", "2 MB",
    ] {
        let json = format!(r#"[{{"pageSize": "{size}", "limit": 1}}]"#);
        let said = format!("hugepageLimits[0].pageSize: {size:?} is no size like 64KB, 2MB or 1GB");
        refuses_limits(&[("hugepageLimits", &json, &said)]);
    }
}

#[test]
fn a_network_has_a_class_and_priorities() {
    let json = r#"{"classID": 4294967295, "priorities": [{"name": "eth0", "priority": 0}]}"#;
    let expected = Network {
        class_id: Some(u32::MAX),
        priorities: vec![Priority {
            interface: "eth0".into(),
            priority: 0,
        }],
    };
    assert_eq!(limits("network", json).network, expected);
    let json = r#"{"priorities": [{"name": "a 1\nb", "priority": 0}]}"#;
    let said = r#"network.priorities[0].name: "a 1\nb" is no name of a device"#;
    refuses_limits(&[("network", json, said)]);
}

#[test]
fn rdma_limits_one_thing_at_least() {
    let json = r#"{"mlx5_1": {"hcaHandles": 3}, "mlx4_0": {"hcaHandles": 0, "hcaObjects": 9}}"#;
    let one = |device: &str, handles, objects| Rdma {
        device: device.into(),
        handles,
        objects,
    };
    let expected = [
        one("mlx4_0", Some(0), Some(9)),
        one("mlx5_1", Some(3), None),
    ];
    assert_eq!(limits("rdma", json).rdma, expected);
    refuses_limits(&[
        (
            "rdma",
            r#"{"a": {}}"#,
            "rdma.a: neither hcaHandles nor hcaObjects",
        ),
        (
            "rdma",
            r#"{"": {"hcaHandles": 1}}"#,
            r#"rdma[""]: "" is no name of a device"#,
        ),
    ]);
}

#[test]
fn unified_sets_files_of_the_group_and_pulls_no_levers() {
    let json = r#"{"memory.high": "1", "hugetlb.2MB.rsvd.max": "0", "cgroup.max.depth": "3"}"#;
    let found = limits("unified", json).unified;
    let file = |name| ControlFile::new(name).unwrap();
    assert_eq!(found[&file("memory.high")], "1");
    assert_eq!(found.len(), 3);
    assert_eq!(file("memory.high").controller(), Some("memory"));
    assert_eq!(file("cgroup.max.depth").controller(), None);

    let slashes = "must be a file name (no slashes)";
    let form = "must be in the form CONTROLLER.PARAMETER";
    for (name, at, said) in [
        (
            "../cpu.max",
            r#"["../cpu.max"]"#,
            format!("unified resource {:?} {slashes}", "../cpu.max"),
        ),
        (
            "tasks",
            ".tasks",
            format!("unified resource {:?} {form}", "tasks"),
        ),
        (
            ".max",
            r#"[".max"]"#,
            format!("unified resource {:?} {form}", ".max"),
        ),
        (
            "..",
            r#"[".."]"#,
            format!("unified resource {:?} {form}", ".."),
        ),
        (
            "a.b c",
            r#"["a.b c"]"#,
            format!("unified resource {:?} {form}", "a.b c"),
        ),
    ] {
        let json = format!(r#"{{"{name}": "1"}}"#);
        refuses_limits(&[("unified", &json, &format!("unified{at}: {said}"))]);
    }
    for name in [
        "procs",
        "threads",
        "kill",
        "freeze",
        "type",
        "subtree_control",
    ] {
        let json = format!(r#"{{"cgroup.{name}": "1"}}"#);
        let said = refused(&[("linux.resources.unified", &json)]);
        let end = "is no setting, but moves, stops or divides the processes of the group";
        assert!(said.ends_with(end), "{said}");
    }
    let said = r#"unified["memory.max"]: no value"#;
    refuses_limits(&[("unified", r#"{"memory.max": " "}"#, said)]);
}
