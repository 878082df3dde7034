//! `idmap`, `ridmap`, and the mappings of a mount.

use super::*;
use crate::spec::container::IdMap;
use crate::spec::container::IdMaps;
use crate::spec::mounts::{ShownBy, ShownIds};

const SHARED: &str = r#"[{"type": "mount"}, {"type": "uts"}]"#;
const USER: &str = r#"[{"type": "mount"}, {"type": "uts"}, {"type": "user"}]"#;
const JOINED: &str =
    r#"[{"type": "mount"}, {"type": "uts"}, {"type": "user", "path": "/run/users"}]"#;
const OF_CONTAINER: &str = r#"[{"containerID": 0, "hostID": 1000, "size": 10}]"#;

const OWN: &str = r#", "uidMappings": [{"containerID": 5, "hostID": 6, "size": 7}],
    "gidMappings": [{"containerID": 8, "hostID": 9, "size": 10}]"#;

/// A document with these namespaces and one bind with these options and members.
fn changes<'a>(namespaces: &'a str, mounts: &'a str) -> [(&'static str, &'a str); 4] {
    let maps = if namespaces == USER {
        OF_CONTAINER
    } else {
        "[]"
    };
    [
        ("linux.namespaces", namespaces),
        ("linux.uidMappings", maps),
        ("linux.gidMappings", maps),
        ("mounts", mounts),
    ]
}

fn bind(options: &str, more: &str) -> String {
    format!(
        r#"[{{"destination": "/a", "type": "bind", "source": "/b", "options": [{options}]{more}}}]"#
    )
}

fn ids(namespaces: &str, options: &str, more: &str) -> Option<ShownIds> {
    let mounts = bind(options, more);
    accepted(&changes(namespaces, &mounts)).mounts.remove(0).ids
}

fn map(container: u32, host: u32, size: u32) -> Vec<IdMap> {
    vec![IdMap {
        container,
        host,
        size,
    }]
}

#[test]
fn the_ids_are_the_mounts_own_or_those_of_the_container() {
    let own = IdMaps {
        uids: map(5, 6, 7),
        gids: map(8, 9, 10),
    };
    let of_container = IdMaps {
        uids: map(0, 1000, 10),
        gids: map(0, 1000, 10),
    };
    let by = |found: Option<ShownIds>| found.map(|ids| (ids.by, ids.recursive));
    for namespaces in [SHARED, USER, JOINED] {
        assert_eq!(ids(namespaces, "", ""), None);
        for (options, recursive) in [
            ("", false),
            ("\"idmap\"", false),
            ("\"ridmap\"", true),
            ("\"idmap\", \"ridmap\"", true),
        ] {
            let found = by(ids(namespaces, options, OWN));
            assert_eq!(found, Some((ShownBy::Maps(own.clone()), recursive)));
        }
    }
    let found = by(ids(USER, "\"idmap\"", ""));
    assert_eq!(found, Some((ShownBy::Maps(of_container), false)));
    let path = units::AbsPath::new("/run/users").unwrap();
    let found = by(ids(JOINED, "\"ridmap\"", ""));
    assert_eq!(found, Some((ShownBy::Namespace(path), true)));
}

#[test]
fn what_cannot_be_mapped_is_told_with_its_place() {
    let both = "id-mapped mounts must have both uid and gid mappings specified";
    let empty = r#", "uidMappings": [{"containerID": 5, "hostID": 6, "size": 0}]"#;
    let half = r#", "uidMappings": [{"containerID": 5, "hostID": 6, "size": 1}]"#;
    let tmpfs = r#"[{"destination": "/a", "type": "tmpfs", "options": ["idmap"]}]"#;
    for (mounts, said) in [
        (
            bind("\"idmap\"", ""),
            format!("mounts[0]: {both}, or a user namespace to take them from"),
        ),
        (bind("\"idmap\"", half), format!("mounts[0]: {both}")),
        (
            bind("\"ridmap=uids=0-1-10\"", ""),
            "mounts[0].options[0]: mappings belong to uidMappings and gidMappings of the mount"
                .into(),
        ),
        (bind("", half), format!("mounts[0]: {both}")),
        (
            bind("", empty),
            "mounts[0].uidMappings[0].size: 0 maps no id".into(),
        ),
        (
            tmpfs.into(),
            "mounts[0]: id-mapped mounts are only supported for bind-mounts".into(),
        ),
    ] {
        assert_eq!(refused(&changes(SHARED, &mounts)), said, "{mounts}");
    }
}
