//! Devices, sysctls, hidden paths, propagation, personality.

use super::*;
use crate::spec::container::{NodeKind, Personality};
use crate::spec::mounts::{Propagation, PropagationKind};

#[test]
fn a_device_is_a_node_with_its_numbers() {
    let list = r#"[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 8630, "uid": 1, "gid": 2},
        {"path": "/dev/u", "type": "u", "major": 4095, "minor": 1048575},
        {"path": "/dev/b", "type": "b", "major": 0, "minor": 0, "fileMode": 0},
        {"path": "/dev/p", "type": "p"}]"#;
    let found = accepted(&[("linux.devices", list)]).devices;
    assert_eq!(found[0].path.to_string(), "/dev/fuse");
    assert_eq!((found[0].kind, found[0].mode), (NodeKind::Char, 0o666));
    assert_eq!((found[0].uid, found[0].gid), (1, 2));
    assert_eq!(
        (found[1].kind, found[1].major, found[1].minor),
        (NodeKind::Char, 4095, 1_048_575)
    );
    assert_eq!((found[1].mode, found[1].uid), (0o666, 0));
    assert_eq!((found[2].kind, found[2].mode), (NodeKind::Block, 0));
    assert_eq!((found[3].kind, found[3].major), (NodeKind::Fifo, 0));
}

#[test]
fn what_is_no_device_is_named() {
    for (device, text) in [
        (
            r#"{"path": "/dev/a", "type": "a", "major": 1, "minor": 1}"#,
            "type: a node is b, c, u or p",
        ),
        (
            r#"{"path": "/dev/a", "type": "c", "minor": 1}"#,
            "major: a device needs one",
        ),
        (
            r#"{"path": "/dev/a", "type": "b", "major": 1}"#,
            "minor: a device needs one",
        ),
        (
            r#"{"path": "/dev/a", "type": "c", "major": 4096, "minor": 1}"#,
            "major: 4096 does not fit in 12 bits",
        ),
        (
            r#"{"path": "/dev/a", "type": "c", "major": -1, "minor": 1}"#,
            "major: -1 does not fit in 12 bits",
        ),
        (
            r#"{"path": "/dev/a", "type": "c", "major": 1, "minor": 1048576}"#,
            "minor: 1048576 does not fit in 20 bits",
        ),
        (
            r#"{"path": "dev/a", "type": "p"}"#,
            "path: \"dev/a\" is not an absolute path",
        ),
        (
            r#"{"path": "/dev/..", "type": "p"}"#,
            "path: the root is no device",
        ),
        (
            r#"{"path": "/dev/a", "type": "p", "fileMode": 65536}"#,
            "fileMode: 65536 is above 4095 (octal 7777)",
        ),
        (
            r#"{"path": "/dev/a", "type": "p", "gid": 4294967295}"#,
            "gid: 4294967295 is no id",
        ),
    ] {
        let said = refused(&[("linux.devices", &format!("[{device}]"))]);
        assert_eq!(said, format!("linux.devices[0].{text}"));
    }
}

/// The files below /proc/sys that these keys are written to.
fn files(map: &str) -> Vec<String> {
    let found = accepted(&[("linux.sysctl", map)]).sysctls;
    found.iter().map(|sysctl| sysctl.file()).collect()
}

#[test]
fn a_sysctl_belongs_to_a_namespace_of_the_container() {
    let map = r#"{"net.ipv4.ip_forward": "1", "kernel.msgmax": "2", "fs.mqueue.msg_max": "3",
        "kernel.domainname": "d", "net/ipv4/conf/eth0.1/forwarding": "0", "net.ipv4.conf.eth0/2.forwarding": "0"}"#;
    assert_eq!(
        files(map),
        [
            "fs/mqueue/msg_max",
            "kernel/domainname",
            "kernel/msgmax",
            "net/ipv4/conf/eth0.2/forwarding",
            "net/ipv4/ip_forward",
            "net/ipv4/conf/eth0.1/forwarding",
        ]
    );
    let host = "is not in a namespace: it would be set for the whole host";
    for (key, text) in [
        ("kernel.core_pattern", host),
        ("vm.swappiness", host),
        ("kernel", host),
        ("network.x", host),
        ("kernel.msgmax2", host),
        ("kernel.hostname", "is what hostname is for"),
    ] {
        let said = refused(&[("linux.sysctl", &format!(r#"{{"{key}": "1"}}"#))]);
        let place = format!("linux.sysctl[{key:?}]").replace("[\"kernel\"]", ".kernel");
        assert_eq!(said, format!("{place}: {text}"));
    }
}

#[test]
fn a_sysctl_of_a_namespace_that_is_the_hosts_is_refused() {
    let shared = r#"[{"type": "mount"}]"#;
    let joined = r#"[{"type": "mount"}, {"type": "network", "path": "/proc/self/ns/net"},
        {"type": "ipc", "path": "/proc/self/ns/ipc"}, {"type": "uts", "path": "/proc/self/ns/uts"}]"#;
    for namespaces in [shared, joined] {
        for (key, kind) in [
            ("net.core.somaxconn", "a network"),
            ("kernel.shmmax", "an ipc"),
            ("fs.mqueue.msg_max", "an ipc"),
            ("kernel.domainname", "a uts"),
        ] {
            let map = format!(r#"{{"{key}": "1"}}"#);
            let said = refused(&[
                ("linux.namespaces", namespaces),
                ("hostname", ""),
                ("linux.sysctl", &map),
            ]);
            let text = format!("cannot be set without {kind} namespace of its own");
            assert_eq!(said, format!("linux.sysctl[{key:?}]: {text}"));
        }
    }
}

#[test]
fn a_sysctl_does_not_climb_out_of_its_namespace() {
    for key in [
        "net/../kernel/core_pattern",
        "net.//.kernel.core_pattern",
        "net./.x",
        "net..x",
        "net.",
        "net/",
        ".net.x",
        "/net/x",
        "",
        "net.a\\u0000b",
        "fs.mqueue.//.//.kernel.core_pattern",
    ] {
        let said = refused(&[("linux.sysctl", &format!(r#"{{"{key}": "1"}}"#))]);
        assert!(said.ends_with(": is no name of a sysctl"), "{key}: {said}");
    }
    let said = refused(&[("linux.sysctl", r#"{"net.x": "1\u0000"}"#)]);
    assert_eq!(
        said,
        "linux.sysctl[\"net.x\"]: the value contains a NUL byte"
    );
}

#[test]
fn hidden_paths_are_absolute() {
    let found = accepted(&[
        ("linux.maskedPaths", r#"["/proc/kcore", "/a/../b"]"#),
        ("linux.readonlyPaths", "null"),
    ]);
    let shown: Vec<String> = found.masked_paths.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["/proc/kcore", "/b"]);
    assert!(found.readonly_paths.is_empty());
    refuses(&[
        (
            "linux.maskedPaths",
            r#"["/a", "b"]"#,
            "linux.maskedPaths[1]: \"b\" is not an absolute path",
        ),
        (
            "linux.readonlyPaths",
            r#"[""]"#,
            "linux.readonlyPaths[0]: \"\" is not an absolute path",
        ),
        (
            "linux.readonlyPaths",
            r#"["/\u0000"]"#,
            "linux.readonlyPaths[0]: \"/\\0\" contains a NUL byte",
        ),
    ]);
}

#[test]
fn the_root_has_a_kind_of_propagation() {
    for (word, kind, recursive) in [
        ("private", PropagationKind::Private, false),
        ("rslave", PropagationKind::Slave, true),
        ("shared", PropagationKind::Shared, false),
        ("runbindable", PropagationKind::Unbindable, true),
    ] {
        let found = accepted(&[("linux.rootfsPropagation", &format!("{word:?}"))]);
        assert_eq!(
            found.root.propagation,
            Some(Propagation { kind, recursive })
        );
    }
    for word in ["ro", "public"] {
        let said = refused(&[("linux.rootfsPropagation", &format!("{word:?}"))]);
        assert_eq!(
            said,
            format!("linux.rootfsPropagation: {word:?} is no kind of propagation")
        );
    }
}

#[test]
fn a_personality_is_one_of_two() {
    let found = accepted(&[("linux.personality", r#"{"domain": "LINUX32"}"#)]);
    assert_eq!(found.personality, Some(Personality::Linux32));
    let found = accepted(&[("linux.personality", r#"{"domain": "LINUX", "flags": []}"#)]);
    assert_eq!(found.personality, Some(Personality::Linux));
}

#[test]
fn a_flag_of_personality_is_refused_since_there_is_none() {
    refuses(&[(
        "linux.personality",
        r#"{"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}"#,
        "linux.personality.flags: the OCI runtime specification has no flags yet",
    )]);
}
