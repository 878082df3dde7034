//! `linux.namespaces` and what depends on them.

use super::*;
use crate::spec::container::IdMap;

const PLAIN: &str = r#"[{"type": "mount"}, {"type": "uts"}]"#;
const USER: &str = r#"[{"type": "mount"}, {"type": "uts"}, {"type": "user"}]"#;

#[test]
fn a_namespace_is_new_joined_or_shared() {
    let list = r#"[{"type": "mount"}, {"type": "uts", "path": ""}, {"type": "ipc", "path": null},
        {"type": "network", "path": "/run/netns/a"}, {"type": "time"}, {"type": "cgroup"}]"#;
    let found = accepted(&[("linux.namespaces", list)]).namespaces;
    assert_eq!(found.mount, Namespace::New);
    assert_eq!(found.uts, Namespace::New);
    assert_eq!(found.ipc, Namespace::New);
    assert_eq!(found.time, Namespace::New);
    assert_eq!(found.cgroup, Namespace::New);
    assert_eq!(found.pid, Namespace::Share);
    assert_eq!(found.user, Namespace::Share);
    let Namespace::Join(path) = found.network else {
        panic!()
    };
    assert_eq!(path.to_string(), "/run/netns/a");
}

#[test]
fn each_kind_is_listed_once_with_an_absolute_path() {
    refuses(&[
        (
            "linux.namespaces",
            r#"[{"type": "mount"}, {"type": "pid"}, {"type": "pid"}]"#,
            "linux.namespaces[2].type: pid is listed twice",
        ),
        (
            "linux.namespaces",
            r#"[{"type": "mount"}, {"type": "mount", "path": "/proc/1/ns/mnt"}]"#,
            "linux.namespaces[1].type: mount is listed twice",
        ),
        (
            "linux.namespaces",
            r#"[{"type": "mount", "path": "ns/mnt"}]"#,
            "linux.namespaces[0].path: \"ns/mnt\" is not an absolute path",
        ),
        (
            "linux.namespaces",
            r#"[{"type": "pid"}]"#,
            "linux.namespaces: a container without a mount namespace is not supported",
        ),
        (
            "linux",
            "",
            "linux.namespaces: a container without a mount namespace is not supported",
        ),
    ]);
}

#[test]
fn a_name_needs_a_uts_namespace() {
    let alone = ("linux.namespaces", r#"[{"type": "mount"}]"#);
    let said = "hostname: cannot be set without a uts namespace of its own";
    assert_eq!(refused(&[alone]), said);
    accepted(&[alone, ("hostname", "")]);
    let said = "domainname: cannot be set without a uts namespace of its own";
    assert_eq!(
        refused(&[alone, ("hostname", ""), ("domainname", "\"d\"")]),
        said
    );

    let ours = r#"[{"type": "mount"}, {"type": "uts", "path": "/proc/self/ns/uts"}]"#;
    assert!(refused(&[("linux.namespaces", ours)]).starts_with("hostname: "));

    let long = "x".repeat(65);
    refuses(&[
        (
            "hostname",
            &format!("{long:?}"),
            "hostname: 65 bytes is more than 64, the most the kernel takes",
        ),
        ("hostname", r#""a\u0000""#, "hostname: contains a NUL byte"),
    ]);
    assert_eq!(
        accepted(&[("domainname", "\"d\"")]).domainname.as_deref(),
        Some(c"d")
    );
}

#[test]
fn id_maps_come_with_a_user_namespace_and_it_with_them() {
    let map = r#"[{"containerID": 0, "hostID": 100000, "size": 65536}]"#;
    let found = accepted(&[
        ("linux.namespaces", USER),
        ("linux.uidMappings", map),
        ("linux.gidMappings", map),
    ]);
    let expected = IdMap {
        container: 0,
        host: 100_000,
        size: 65536,
    };
    assert_eq!(found.id_maps.uids, [expected]);
    assert_eq!(found.id_maps.gids, [expected]);

    let said = "linux.uidMappings: cannot be used without a user namespace";
    assert_eq!(refused(&[("linux.uidMappings", map)]), said);
    let said = "linux.gidMappings: cannot be used without a user namespace";
    assert_eq!(refused(&[("linux.gidMappings", map)]), said);
    let said = "linux.uidMappings: a new user namespace needs it";
    assert_eq!(refused(&[("linux.namespaces", USER)]), said);
    let said = "linux.gidMappings: a new user namespace needs it";
    assert_eq!(
        refused(&[("linux.namespaces", USER), ("linux.uidMappings", map)]),
        said
    );
    let joined = r#"[{"type": "mount"}, {"type": "uts"}, {"type": "user", "path": "/run/u"}]"#;
    accepted(&[("linux.namespaces", joined)]);
}

#[test]
fn an_id_map_is_what_the_kernel_takes() {
    let said = |map: &str| {
        refused(&[
            ("linux.namespaces", USER),
            ("linux.uidMappings", map),
            ("linux.gidMappings", map),
        ])
    };
    for (map, text) in [
        (
            r#"[{"containerID": 0, "hostID": 0, "size": 0}]"#,
            "[0].size: 0 maps no id",
        ),
        (
            r#"[{"containerID": 1, "hostID": 0, "size": 4294967295}]"#,
            "[0].containerID: 4294967295 ids from 1 go beyond 4294967294",
        ),
        (
            r#"[{"containerID": 0, "hostID": 4294967295, "size": 1}]"#,
            "[0].hostID: 1 ids from 4294967295 go beyond 4294967294",
        ),
        (
            r#"[{"containerID": 1, "hostID": 0, "size": 5}]"#,
            ": id 0 of the container is not mapped",
        ),
        (
            r#"[{"containerID": 0, "hostID": 0, "size": 5}, {"containerID": 4, "hostID": 100, "size": 1}]"#,
            "[1]: overlaps entry 0",
        ),
        (
            r#"[{"containerID": 0, "hostID": 10, "size": 5}, {"containerID": 9, "hostID": 6, "size": 5}]"#,
            "[1]: overlaps entry 0",
        ),
    ] {
        assert_eq!(said(map), format!("linux.uidMappings{text}"));
    }
    let lines = |count: u32| {
        let line = |n: u32| format!(r#"{{"containerID": {n}, "hostID": {n}, "size": 1}}"#);
        format!("[{}]", (0..count).map(line).collect::<Vec<_>>().join(","))
    };
    let most = lines(340);
    accepted(&[
        ("linux.namespaces", USER),
        ("linux.uidMappings", &most),
        ("linux.gidMappings", &most),
    ]);
    let text = "linux.uidMappings: 341 lines are more than 340, the most the kernel takes";
    assert_eq!(said(&lines(341)), text);
    let said = refused(&[("linux.uidMappings", r#"[{"containerID": 0, "hostID": 0}]"#)]);
    assert!(said.contains("missing field `size`"), "{said}");
}

#[test]
fn clocks_are_set_in_a_new_time_namespace_only() {
    let time = r#"[{"type": "mount"}, {"type": "uts"}, {"type": "time"}]"#;
    let offsets = r#"{"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {}}"#;
    let found = accepted(&[("linux.namespaces", time), ("linux.timeOffsets", offsets)]);
    let found = found.time_offsets.unwrap();
    assert_eq!(found.monotonic, Some((-5, 7)));
    assert_eq!(found.boottime, Some((0, 0)));

    let said = "linux.timeOffsets: cannot be set without a new time namespace";
    assert_eq!(
        refused(&[("linux.namespaces", PLAIN), ("linux.timeOffsets", offsets)]),
        said
    );
    let joined = time.replace("\"time\"", "\"time\", \"path\": \"/run/t\"");
    assert_eq!(
        refused(&[
            ("linux.namespaces", &joined),
            ("linux.timeOffsets", offsets)
        ]),
        said
    );
    for (offsets, text) in [
        (
            r#"{"realtime": {"secs": 1}}"#,
            "linux.timeOffsets.realtime: a time namespace has no such clock",
        ),
        (
            r#"{"boottime": {"nanosecs": 1000000000}}"#,
            "linux.timeOffsets.boottime.nanosecs: 1000000000 is a second or more",
        ),
    ] {
        assert_eq!(
            refused(&[("linux.namespaces", time), ("linux.timeOffsets", offsets)]),
            text
        );
    }
}
