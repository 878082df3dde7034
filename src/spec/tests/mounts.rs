//! `mounts`.

use super::*;
use crate::spec::mounts::{Attributes, FsOption, Mount, Propagation, PropagationKind, What};
use crate::spec::options;

fn mount(json: &str) -> Mount {
    let mut mounts = accepted(&[("mounts", &format!("[{json}]"))]).mounts;
    assert_eq!(mounts.len(), 1);
    mounts.remove(0)
}

fn said(json: &str) -> String {
    refused(&[("mounts", &format!("[{json}]"))])
}

fn flag(word: &str) -> FsOption {
    FsOption::Flag(std::ffi::CString::new(word).unwrap())
}

fn value(key: &str, value: &str) -> FsOption {
    let text = |text| std::ffi::CString::new(text).unwrap();
    FsOption::Value(text(key), text(value))
}

/// The options of a filesystem that is mounted with these words.
fn passed_on(kind: &str, words: &[&str]) -> Vec<FsOption> {
    let json = serde_json::json!({"destination": "/a", "type": kind, "options": words});
    match mount(&json.to_string()).what {
        What::Filesystem(filesystem) => filesystem.options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn words_that_are_not_the_ocis_go_to_the_filesystem_in_order() {
    assert_eq!(
        passed_on(
            "tmpfs",
            &[
                "nosuid",
                "mode=755",
                "size=1m,huge=never",
                "",
                "newinstance",
                "a=b=c",
                "x="
            ]
        ),
        [
            value("mode", "755"),
            value("size", "1m"),
            value("huge", "never"),
            flag("newinstance"),
            value("a", "b=c"),
            value("x", ""),
        ]
    );
    let lower = r"lowerdir=/a\,b:/c,upperdir=/d\\,workdir=/e";
    assert_eq!(
        passed_on("overlay", &[lower]),
        [
            value("lowerdir", r"/a\,b:/c"),
            value("upperdir", r"/d\\"),
            value("workdir", "/e")
        ]
    );
}

#[test]
fn states_of_a_filesystem_go_to_the_filesystem() {
    let words = [
        "sync",
        "dirsync",
        "mand",
        "lazytime",
        "async",
        "nomand",
        "nolazytime",
        "ro",
        "defaults",
    ];
    let flags: Vec<FsOption> = words[..8].iter().map(|word| flag(word)).collect();
    assert_eq!(passed_on("ext4", &words), flags);
    // Their instance may be shared, or is to be filled first.
    for kind in ["proc", "sysfs", "tmpfs", "devpts", "mqueue"] {
        assert_eq!(
            passed_on(kind, &["ro", "rw", "sync"]),
            [flag("sync")],
            "{kind}"
        );
    }
}

#[test]
fn a_read_only_mount_is_read_only_of_every_type() {
    for kind in [
        "ext4", "proc", "sysfs", "tmpfs", "cgroup", "cgroup2", "bind",
    ] {
        let json = format!(
            r#"{{"destination": "/a", "source": "/b", "type": "{kind}", "options": ["ro"]}}"#
        );
        let json = match kind {
            "proc" => json.replace("/a", "/proc"),
            _ => json,
        };
        let expected = Attributes {
            set: libc::MOUNT_ATTR_RDONLY,
            clear: 0,
        };
        assert_eq!(mount(&json).attributes, expected, "{kind}");
    }
}

#[test]
fn recursive_attributes_are_kept_apart_from_plain_ones() {
    let found = mount(
        r#"{"destination": "/a", "source": "/b", "options":
            ["rbind", "rro", "rnosuid", "rnoatime", "rrw", "nodev", "rsymfollow"]}"#,
    );
    let here = Attributes {
        set: libc::MOUNT_ATTR_NODEV,
        clear: 0,
    };
    let below = Attributes {
        set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOATIME,
        clear: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR__ATIME | libc::MOUNT_ATTR_NOSYMFOLLOW,
    };
    assert_eq!((found.attributes, found.recursive), (here, below));
}

#[test]
fn a_bind_is_asked_for_by_an_option_or_by_its_type() {
    for (json, recursive) in [
        (r#""options": ["bind"]"#, false),
        (r#""options": ["rbind"]"#, true),
        (r#""options": ["rbind", "bind"]"#, true),
        (r#""type": "bind""#, false),
        (r#""type": "none", "options": ["rbind", "size=1"]"#, true),
        (r#""type": "proc", "options": ["bind"]"#, false),
    ] {
        let found = mount(&format!(
            r#"{{"destination": "/a", "source": "/b", {json}}}"#
        ));
        match found.what {
            What::Bind {
                source,
                recursive: all,
            } => {
                assert_eq!(source.to_string(), "/b");
                assert_eq!(all, recursive, "{json}");
            }
            other => panic!("{json}: {other:?}"),
        }
    }
}

#[test]
fn a_relative_source_is_taken_from_the_bundle() {
    let json = document(&[(
        "mounts",
        r#"[{"destination": "/a", "source": "x/y", "type": "bind"},
            {"destination": "/b", "source": "x/y", "type": "tmpfs"}]"#,
    )]);
    let json = json.replace("\"path\":\"usr\"", "\"path\":\"/usr\"");
    let found = parse(json.as_bytes(), Path::new("/some/bundle"))
        .unwrap()
        .mounts;
    let What::Bind { source, .. } = &found[0].what else {
        panic!()
    };
    assert_eq!(source.to_string(), "/some/bundle/x/y");
    let What::Filesystem(filesystem) = &found[1].what else {
        panic!()
    };
    assert_eq!(filesystem.source.as_deref(), Some(c"x/y"));
}

#[test]
fn propagation_is_kept_in_order() {
    let found = mount(
        r#"{"destination": "/a", "source": "/b", "options": ["bind", "rprivate", "shared", "rslave", "unbindable"]}"#,
    );
    use PropagationKind::{Private, Shared, Slave, Unbindable};
    let expected = [
        (Private, true),
        (Shared, false),
        (Slave, true),
        (Unbindable, false),
    ];
    let expected = expected.map(|(kind, recursive)| Propagation { kind, recursive });
    assert_eq!(found.propagation, expected);
}

#[test]
fn what_cannot_be_mounted_is_named() {
    for (json, text) in [
        (
            r#"{"destination": "/"}"#,
            "mounts[0].destination: the root is no target for a mount; root.path says what it is",
        ),
        (
            r#"{"destination": "/..", "type": "tmpfs"}"#,
            "mounts[0].destination: the root is no target for a mount; root.path says what it is",
        ),
        (
            r#"{"destination": ""}"#,
            "mounts[0].destination: the path is empty",
        ),
        (
            r#"{"destination": "/a\u0000", "type": "tmpfs"}"#,
            "mounts[0].destination: \"/a\\0\" contains a NUL byte",
        ),
        (
            r#"{"destination": "/a"}"#,
            "mounts[0].type: needed where no option is bind or rbind",
        ),
        (
            r#"{"destination": "/a", "type": ""}"#,
            "mounts[0].type: needed where no option is bind or rbind",
        ),
        (
            r#"{"destination": "/a", "type": "bind"}"#,
            "mounts[0].source: a bind mount needs one",
        ),
        (
            r#"{"destination": "/a", "type": "x\u0000"}"#,
            "mounts[0].type: contains a NUL byte",
        ),
        (
            r#"{"destination": "/a", "type": "x", "source": "\u0000"}"#,
            "mounts[0].source: contains a NUL byte",
        ),
        (
            r#"{"destination": "/a", "type": "x", "options": ["ro", "a\u0000"]}"#,
            "mounts[0].options[1]: contains a NUL byte",
        ),
        (
            r#"{"destination": "/a", "type": "x", "options": ["=a"]}"#,
            "mounts[0].options[0]: an option has no name before its =",
        ),
        (
            r#"{"destination": "/a", "type": "proc", "options": ["tmpcopyup"]}"#,
            "mounts[0].options: tmpcopyup is for a tmpfs only",
        ),
    ] {
        assert_eq!(said(json), text, "{json}");
    }
}

#[test]
fn only_a_procfs_stands_at_proc_and_only_files_of_a_list_below() {
    for (good, json) in [
        (true, r#"{"destination": "/proc", "type": "proc"}"#),
        (true, r#"{"destination": "proc/", "type": "proc"}"#),
        (
            true,
            r#"{"destination": "/proc", "type": "bind", "source": "/proc"}"#,
        ),
        (
            true,
            r#"{"destination": "/proc/uptime", "type": "bind", "source": "/x"}"#,
        ),
        (
            true,
            r#"{"destination": "/proc/sys/kernel/../kernel/ns_last_pid", "type": "bind", "source": "/x"}"#,
        ),
        (true, r#"{"destination": "/process", "type": "tmpfs"}"#),
        (false, r#"{"destination": "/proc", "type": "tmpfs"}"#),
        (false, r#"{"destination": "/proc", "type": "sysfs"}"#),
        (false, r#"{"destination": "/proc", "type": "cgroup"}"#),
        (false, r#"{"destination": "/x/../proc/.", "type": "tmpfs"}"#),
        (false, r#"{"destination": "/proc/sys", "type": "proc"}"#),
        (false, r#"{"destination": "/proc/uptime", "type": "tmpfs"}"#),
        (
            false,
            r#"{"destination": "/proc/self/attr", "type": "bind", "source": "/x"}"#,
        ),
        (
            false,
            r#"{"destination": "/proc/sys/kernel", "type": "bind", "source": "/x"}"#,
        ),
        (
            false,
            r#"{"destination": "/proc/uptime/x", "type": "bind", "source": "/x"}"#,
        ),
    ] {
        let found = load_text(&document(&[("mounts", &format!("[{json}]"))]));
        assert_eq!(found.is_ok(), good, "{json}: {:?}", found.err());
    }
    let text = "mounts[0].destination: /proc can only be a proc filesystem";
    assert_eq!(said(r#"{"destination": "/proc", "type": "tmpfs"}"#), text);
    let text = "mounts[0].destination: /proc/sys is inside /proc, where this cannot be mounted";
    assert_eq!(
        said(r#"{"destination": "/proc/sys", "type": "tmpfs"}"#),
        text
    );
}

#[test]
fn a_relative_target_is_taken_from_the_root() {
    let found = mount(r#"{"destination": "a/../../b", "type": "tmpfs"}"#);
    assert_eq!(found.target.to_string(), "/b");
}

/// runc's list (`runc features` of 1.2).
#[test]
fn features_lists_the_words_of_the_ocis_table() {
    let found: Vec<&str> = options::names().collect();
    let expected = "async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand \
        noatime nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid \
        nosymfollow private ratime rbind rdev rdiratime relatime remount rexec ridmap rnoatime rnodev \
        rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared \
        rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid \
        symfollow sync tmpcopyup unbindable";
    assert_eq!(found, expected.split_whitespace().collect::<Vec<_>>());
}
