//! `linux.resources` and `linux.cgroupsPath`.

use super::*;
use crate::spec::limits::{
    Access, Cpu, DeviceKind, DeviceNumber, DeviceRule, GroupPath, Limits, Memory,
};
use crate::spec::units::{Bytes, Limit, Micros};

pub(super) fn limits(part: &str, json: &str) -> Limits {
    accepted(&[(&format!("linux.resources.{part}"), json)]).limits
}

#[track_caller]
pub(super) fn refuses_limits(rows: &[(&str, &str, &str)]) {
    for (part, json, said) in rows {
        let found = refused(&[(&format!("linux.resources.{part}"), json)]);
        assert_eq!(found, format!("linux.resources.{said}"), "{part} = {json}");
    }
}

#[test]
fn zero_null_and_false_are_unset() {
    let zeros = r#"{"limit": 0, "reservation": null, "swap": 0, "kernel": 0, "disableOOMKiller": false,
        "swappiness": 18446744073709551615, "useHierarchy": true}"#;
    assert_eq!(limits("memory", zeros).memory, Memory::default());
    let zeros = r#"{"shares": 0, "quota": 0, "period": 0, "burst": null, "cpus": "", "mems": "",
        "idle": null, "realtimeRuntime": 0, "realtimePeriod": 0}"#;
    assert_eq!(limits("cpu", zeros).cpu, Cpu::default());
    assert_eq!(limits("pids", "{}").pids, None);
    assert_eq!(limits("pids", r#"{"limit": null}"#).pids, None);
    let none = accepted(&[("linux.resources", "")]).limits;
    assert_eq!(none, Limits::default());
}

#[test]
fn memory_is_counted_in_bytes_and_minus_one_is_no_limit() {
    let json = r#"{"limit": 1048576, "reservation": -1, "swap": 2097152, "swappiness": 100,
        "disableOOMKiller": true, "checkBeforeUpdate": true}"#;
    let expected = Memory {
        limit: Some(Limit::At(Bytes(1 << 20))),
        reservation: Some(Limit::None),
        swap: Some(Limit::At(Bytes(2 << 20))),
        swappiness: Some(100),
        disable_oom_killer: true,
        check_before_update: true,
    };
    assert_eq!(limits("memory", json).memory, expected);
    let found = limits("memory", r#"{"limit": -1, "swap": -1, "swappiness": 0}"#).memory;
    assert_eq!(
        (found.limit, found.swap),
        (Some(Limit::None), Some(Limit::None))
    );
    assert_eq!(found.swappiness, Some(0));
    refuses_limits(&[
        (
            "memory",
            r#"{"limit": -2}"#,
            "memory.limit: -2 is no size; -1 is no limit",
        ),
        (
            "memory",
            r#"{"reservation": -9}"#,
            "memory.reservation: -9 is no size; -1 is no limit",
        ),
        (
            "memory",
            r#"{"limit": 9, "swap": 8}"#,
            "memory.swap: 8 is memory and swap together, and below the limit 9",
        ),
        (
            "memory",
            r#"{"swap": 8}"#,
            "memory.swap: cannot be limited without a memory limit",
        ),
        (
            "memory",
            r#"{"limit": -1, "swap": 8}"#,
            "memory.swap: cannot be limited without a memory limit",
        ),
        (
            "memory",
            r#"{"swappiness": 101}"#,
            "memory.swappiness: 101 is not from 0 to 100",
        ),
    ]);
}

#[test]
fn cpu_has_the_ranges_of_the_kernel() {
    let json = r#"{"shares": 2, "quota": 1000, "period": 1000000, "burst": 1000, "cpus": "0-3,7",
        "mems": "0", "idle": 1, "realtimeRuntime": 5, "realtimePeriod": 6}"#;
    let expected = Cpu {
        shares: Some(2),
        quota: Some(Limit::At(Micros(1000))),
        period: Some(Micros(1_000_000)),
        burst: Some(Micros(1000)),
        cpus: Some("0-3,7".into()),
        mems: Some("0".into()),
        idle: Some(true),
        realtime_runtime: Some(5),
        realtime_period: Some(Micros(6)),
    };
    assert_eq!(limits("cpu", json).cpu, expected);
    assert_eq!(
        limits("cpu", r#"{"quota": -1}"#).cpu.quota,
        Some(Limit::None)
    );
    assert_eq!(limits("cpu", r#"{"burst": 0}"#).cpu.burst, Some(Micros(0)));
    assert_eq!(limits("cpu", r#"{"idle": 0}"#).cpu.idle, Some(false));
    refuses_limits(&[
        (
            "cpu",
            r#"{"shares": 1}"#,
            "cpu.shares: 1 is below 2, the least the kernel takes",
        ),
        (
            "cpu",
            r#"{"shares": 262145}"#,
            "cpu.shares: 262145 is above 262144, the most the kernel takes",
        ),
        (
            "cpu",
            r#"{"quota": 999}"#,
            "cpu.quota: 999 is below 1000 microseconds, the least the kernel takes",
        ),
        (
            "cpu",
            r#"{"period": 999}"#,
            "cpu.period: 999 is below 1000 microseconds, the least the kernel takes",
        ),
        (
            "cpu",
            r#"{"period": 1000001}"#,
            "cpu.period: 1000001 is above 1000000 microseconds, the most the kernel takes",
        ),
        (
            "cpu",
            r#"{"quota": 1000, "burst": 1001}"#,
            "cpu.burst: 1001 is above the quota 1000",
        ),
        ("cpu", r#"{"idle": 2}"#, "cpu.idle: 2 is neither 0 nor 1"),
        (
            "cpu",
            r#"{"cpus": "0-3\n"}"#,
            "cpu.cpus: \"0-3\\n\" is no list like 0-3,7: it has a '\\n'",
        ),
        (
            "cpu",
            r#"{"mems": "all"}"#,
            "cpu.mems: \"all\" is no list like 0-3,7: it has a 'a'",
        ),
    ]);
}

#[test]
fn a_negative_number_of_processes_is_no_limit() {
    for (limit, expected) in [
        ("7", Limit::At(7)),
        ("-1", Limit::None),
        ("-5", Limit::None),
    ] {
        let found = limits("pids", &format!(r#"{{"limit": {limit}}}"#)).pids;
        assert_eq!(found, Some(expected), "{limit}");
    }
}

#[test]
fn no_process_is_unset_before_version_1_3_and_one_process_since() {
    for (version, expected) in [
        ("1.0.0", None),
        ("1.0.2-dev", None),
        ("1.2.1", None),
        ("1.3.0-rc.1", Some(Limit::At(1))),
        ("1.3.0", Some(Limit::At(1))),
        ("1.10.0", Some(Limit::At(1))),
    ] {
        let found = accepted(&[
            ("ociVersion", &format!("{version:?}")),
            ("linux.resources.pids", r#"{"limit": 0}"#),
        ]);
        assert_eq!(found.limits.pids, expected, "{version}");
    }
    for (json, expected) in [
        (r#"{"pids": {"limit": 0}}"#, Some(Limit::At(1))),
        (r#"{"pids": {"limit": null}}"#, None),
        (r#"{"pids": {}}"#, None),
    ] {
        let found = parse_resources(json.as_bytes()).unwrap();
        assert_eq!(found.pids, expected, "update: {json}");
    }
}

#[test]
fn device_rules_keep_their_order() {
    let rules = r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": -1,
        "access": "rr"}, {"allow": true, "type": "", "access": "m"}, {"allow": true, "type": "b", "minor": 0, "access": "w"}]"#;
    let all = Access {
        read: true,
        write: true,
        mknod: true,
    };
    let found = limits("devices", rules).devices;
    let rule = |allow, kind, major, minor, access| DeviceRule {
        allow,
        kind,
        major,
        minor,
        access,
    };
    let only = |letter| Access {
        read: letter == 'r',
        write: letter == 'w',
        mknod: letter == 'm',
    };
    assert_eq!(
        found,
        [
            rule(false, DeviceKind::All, None, None, all),
            rule(true, DeviceKind::Char, Some(1), None, only('r')),
            rule(true, DeviceKind::All, None, None, only('m')),
            rule(true, DeviceKind::Block, None, Some(0), only('w')),
        ]
    );
    refuses_limits(&[
        (
            "devices",
            r#"[{"allow": true}]"#,
            "devices[0].access: device access cannot be empty",
        ),
        (
            "devices",
            r#"[{"allow": true, "access": ""}]"#,
            "devices[0].access: device access cannot be empty",
        ),
        (
            "devices",
            r#"[{"allow": true, "access": "rx"}]"#,
            "devices[0].access: 'x' is not r, w or m",
        ),
        (
            "devices",
            r#"[{"allow": true, "type": "p", "access": "r"}]"#,
            "devices[0].type: \"p\" is not a, b or c",
        ),
        (
            "devices",
            r#"[{"allow": true, "major": -2, "access": "r"}]"#,
            "devices[0].major: -2 is no device number",
        ),
        (
            "devices",
            r#"[{"allow": true, "minor": 4294967296, "access": "r"}]"#,
            "devices[0].minor: 4294967296 is no device number",
        ),
    ]);
    let said = refused(&[("linux.resources.devices", r#"[{"access": "r"}]"#)]);
    assert!(said.ends_with("missing field `allow`"), "{said}");
}

#[test]
fn a_group_path_leads_nowhere_but_down() {
    for (path, expected) in [
        ("/a/b", GroupPath::Absolute("/a/b".into())),
        ("a//b/", GroupPath::Relative("a/b".into())),
        ("../../a", GroupPath::Relative("a".into())),
        ("/a/../../b", GroupPath::Absolute("/b".into())),
        (
            "system.slice:docker:1",
            GroupPath::Relative("system.slice:docker:1".into()),
        ),
    ] {
        let found = accepted(&[("linux.cgroupsPath", &format!("{path:?}"))]).group_path;
        assert_eq!(found, expected, "{path}");
    }
    refuses(&[
        (
            "linux.cgroupsPath",
            "\"/\"",
            "linux.cgroupsPath: \"/\" names no group of its own",
        ),
        (
            "linux.cgroupsPath",
            "\"a/..\"",
            "linux.cgroupsPath: \"a/..\" names no group of its own",
        ),
        (
            "linux.cgroupsPath",
            r#""a\u0000""#,
            "linux.cgroupsPath: \"a\\0\" contains a NUL byte",
        ),
    ]);
}

#[test]
fn an_update_is_the_resources_alone_and_its_faults_are_named_so() {
    let limits = parse_resources(br#"{"pids": {"limit": 5}, "cpu": {}, "memory": null}"#);
    let wanted = Limits {
        pids: Some(Limit::At(5)),
        ..Limits::default()
    };
    assert_eq!(limits.unwrap(), wanted);
    assert_eq!(parse_resources(b"null").unwrap(), Limits::default());
    // Memory's own limit is the kernel's to know.
    let limits = parse_resources(br#"{"memory": {"swap": 8}}"#).unwrap();
    assert_eq!(limits.memory.swap, Some(Limit::At(Bytes(8))));
    for (json, fault) in [
        (
            r#"{"memory": {"limit": -2}}"#,
            "resources.memory.limit: -2 is no size; -1 is no limit",
        ),
        (
            r#"{"memory": {"limit": -1, "swap": 8}}"#,
            "resources.memory.swap: cannot be limited without a memory limit",
        ),
        (
            r#"{"pids": {"limit": "x"}}"#,
            "resources: pids.limit: line 1 column 22: invalid type: string \"x\", expected i64",
        ),
        (
            "[]",
            "resources: line 1 column 0: invalid type: sequence, expected an object",
        ),
        (
            "{",
            "resources: line 1 column 1: EOF while parsing an object",
        ),
    ] {
        let said = parse_resources(json.as_bytes()).unwrap_err().to_string();
        assert_eq!(said, fault);
    }
}

/// What is set in an object of `linux.resources` beside devices.
fn set(json: &str) -> Vec<String> {
    let mut limits = accepted(&[("linux.resources", json)]).limits;
    limits.devices.clear();
    let (is, unset) = (format!("{limits:#?}"), format!("{:#?}", Limits::default()));
    let unset: Vec<&str> = unset.lines().collect();
    let lines = is.lines().filter(|line| !unset.contains(line));
    lines.map(|line| line.trim().into()).collect()
}

#[test]
fn what_engines_write_for_nothing_is_nothing() {
    for json in [
        include_str!("../../../tests/documents/resources/docker.json"),
        include_str!("../../../tests/documents/resources/docker-17.json"),
    ] {
        assert_eq!(set(json), [""; 0]);
    }
    let json = include_str!("../../../tests/documents/resources/ctr.json");
    let limits = accepted(&[("linux.resources", json)]).limits;
    assert_eq!(limits.cpu.shares, Some(1024));
    assert_eq!(limits.pids, None);
    let json = include_str!("../../../tests/documents/resources/podman.json");
    let limits = parse_resources(json.as_bytes()).unwrap();
    assert_eq!(limits.pids, Some(Limit::At(2048)));
    assert_eq!((limits.memory, limits.cpu), Default::default());
}

#[test]
fn what_engines_set_is_set() {
    let at = |n| Some(Limit::At(Bytes(n)));
    let read = |json: &str| parse_resources(json.as_bytes()).unwrap();
    let device = DeviceNumber { major: 8, minor: 0 };

    let docker = read(include_str!(
        "../../../tests/documents/resources/docker-limited.json"
    ));
    assert_eq!(
        (docker.memory.limit, docker.memory.swap),
        (at(64 << 20), at(128 << 20))
    );
    assert!(!docker.memory.disable_oom_killer);
    assert_eq!(docker.cpu.quota, Some(Limit::At(Micros(50_000))));
    assert_eq!(docker.block_io.weight, Some(300));
    assert_eq!(docker.block_io.throttles[0].device, device);

    let update = read(include_str!(
        "../../../tests/documents/resources/docker-update.json"
    ));
    assert_eq!((update.cpu, update.block_io), Default::default());
    assert_eq!(update.memory.reservation, None);
    assert_eq!(update.pids, Some(Limit::None));

    let kubelet = read(include_str!(
        "../../../tests/documents/resources/kubelet.json"
    ));
    assert_eq!(kubelet.huge_pages[0].limit, Bytes(0));
    assert_eq!(kubelet.unified.len(), 2);

    let cri = read(include_str!(
        "../../../tests/documents/resources/cri-update.json"
    ));
    let memory = Memory {
        limit: at(256 << 20),
        ..Memory::default()
    };
    assert_eq!(cri.memory, memory);
    assert_eq!(cri.cpu.quota, None);

    let podman = read(include_str!(
        "../../../tests/documents/resources/podman-limited.json"
    ));
    assert_eq!(podman.pids, Some(Limit::None));
    assert_eq!(podman.block_io.weights[0].weight, Some(200));
    assert_eq!(podman.block_io.throttles[0].rate, Limit::At(100));
}
