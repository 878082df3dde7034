//! Each word of config.md's table of mount options, and what it does to a mount.

use super::harness::{Bundle, needs};
use super::{Mounted, bind, has, mount_at, tmpfs};
use nix::mount::MsFlags;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// Words for a mount, what mountinfo then shows of it, and what it does not.
type Case = (
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

/// Where the mount would have none of these otherwise.
const SET: &[Case] = &[
    (
        &[],
        &["rw", "relatime"],
        &["nosuid", "nodev", "noexec", "nodiratime"],
    ),
    (
        &["defaults"],
        &["rw", "relatime"],
        &["nosuid", "nodev", "noexec"],
    ),
    (&["ro"], &["ro"], &["rw"]),
    (&["ro", "rw"], &["rw"], &["ro"]),
    (&["nosuid"], &["nosuid"], &[]),
    (&["nosuid", "suid"], &[], &["nosuid"]),
    (&["nodev"], &["nodev"], &[]),
    (&["nodev", "dev"], &[], &["nodev"]),
    (&["noexec"], &["noexec"], &[]),
    (&["noexec", "exec"], &[], &["noexec"]),
    (&["nodiratime"], &["nodiratime"], &[]),
    (&["nodiratime", "diratime"], &[], &["nodiratime"]),
    (&["nosymfollow"], &["nosymfollow"], &[]),
    (&["nosymfollow", "symfollow"], &[], &["nosymfollow"]),
    (&["noatime"], &["noatime"], &["relatime"]),
    (&["noatime", "atime"], &["relatime"], &["noatime"]),
    (&["relatime"], &["relatime"], &["noatime"]),
    (&["norelatime"], &["relatime"], &[]),
    (&["strictatime"], &[], &["relatime", "noatime"]),
    (&["strictatime", "nostrictatime"], &["relatime"], &[]),
];

/// Where the mount and the one below it have none of these, and `strictatime`.
const RECURSIVE: &[Case] = &[
    (&["rro"], &["ro"], &[]),
    (&["rnosuid"], &["nosuid"], &[]),
    (&["rnodev"], &["nodev"], &[]),
    (&["rnoexec"], &["noexec"], &[]),
    (&["rnodiratime"], &["nodiratime"], &[]),
    (&["rnosymfollow"], &["nosymfollow"], &[]),
    (&["rnoatime"], &["noatime"], &["relatime"]),
    (&["rrelatime"], &["relatime"], &["noatime"]),
    (&["rstrictatime", "rnostrictatime"], &["relatime"], &[]),
];

/// Where both have all of these.
const RECURSIVE_CLEAR: &[Case] = &[
    (&["rrw"], &["rw"], &["ro"]),
    (&["rsuid"], &[], &["nosuid"]),
    (&["rdev"], &[], &["nodev"]),
    (&["rexec"], &[], &["noexec"]),
    (&["rdiratime"], &[], &["nodiratime"]),
    (&["rsymfollow"], &[], &["nosymfollow"]),
    (&["ratime"], &["relatime"], &["noatime"]),
    (&["rstrictatime"], &[], &["relatime", "noatime"]),
];

/// States of the filesystem: mountinfo shows them behind its type.
const SUPERBLOCK: &[Case] = &[
    (&["sync"], &["sync"], &[]),
    (&["sync", "async"], &[], &["sync"]),
    (&["dirsync"], &["dirsync"], &[]),
    (&["lazytime"], &["lazytime"], &[]),
    (&["lazytime", "nolazytime"], &[], &["lazytime"]),
    (&["mand"], &["mand"], &[]),
    (&["mand", "nomand"], &[], &["mand"]),
];

/// There is nothing to see of them; other tests show what `bind`, `idmap`, `tmpcopyup` and the words of
/// propagation do.
const UNSEEN: &[&str] = &["iversion", "loud", "noiversion", "rnorelatime", "silent"];
const ELSEWHERE: &[&str] = &[
    "bind",
    "idmap",
    "private",
    "rbind",
    "ridmap",
    "rprivate",
    "rshared",
    "rslave",
    "runbindable",
    "shared",
    "slave",
    "remount",
    "tmpcopyup",
    "unbindable",
];

#[track_caller]
fn check(case: &Case, found: &Value) {
    let (words, present, absent) = case;
    for word in *present {
        assert!(has(found, word), "{words:?}: no {word} in {found}");
    }
    for word in *absent {
        assert!(!has(found, word), "{words:?}: {word} in {found}");
    }
}

fn nth(index: usize) -> String {
    format!("/mnt/{index}")
}

#[test]
fn a_new_filesystem_has_the_attributes_of_its_options() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    for (index, case) in SET.iter().enumerate() {
        bundle.mount(tmpfs(&nth(index), case.0));
    }
    let report = bundle.run().succeeded().answer();
    for (index, case) in SET.iter().enumerate() {
        check(case, &mount_at(&report, &nth(index)).unwrap()["options"]);
    }
}

#[test]
fn a_bind_has_the_attributes_of_its_options() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    let source = bundle.dir.join("source");
    fs::create_dir(&source).unwrap();
    for (index, case) in SET.iter().enumerate() {
        let words = [&["bind"], case.0].concat();
        bundle.mount(bind(&source, &nth(index), &words));
    }
    let report = bundle.run().succeeded().answer();
    for (index, case) in SET.iter().enumerate() {
        check(case, &mount_at(&report, &nth(index)).unwrap()["options"]);
    }
}

#[test]
fn a_bind_keeps_the_attributes_of_its_source_that_no_option_names() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    let all = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    let source = Mounted::tmpfs(bundle.dir.join("source"), all);
    bundle.mount(bind(&source.0, "/mnt", &["bind", "exec"]));
    let report = bundle.run().succeeded().answer();
    let case: Case = (
        &["bind", "exec"],
        &["nosuid", "nodev", "noatime"],
        &["noexec"],
    );
    check(&case, &mount_at(&report, "/mnt").unwrap()["options"]);
}

#[test]
fn a_recursive_option_reaches_the_mounts_below_and_a_plain_one_does_not() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    let source = Mounted::tmpfs(bundle.dir.join("source"), MsFlags::MS_STRICTATIME);
    let below = Mounted::tmpfs(source.0.join("below"), MsFlags::MS_STRICTATIME);
    for (index, case) in RECURSIVE.iter().enumerate() {
        bundle.mount(bind(&source.0, &nth(index), &[&["rbind"], case.0].concat()));
    }
    bundle.mount(bind(&source.0, "/mnt/plain", &["rbind", "ro", "noexec"]));
    let report = bundle.run().succeeded().answer();
    for (index, case) in RECURSIVE.iter().enumerate() {
        for target in [nth(index), nth(index) + "/below"] {
            check(case, &mount_at(&report, &target).unwrap()["options"]);
        }
    }
    check(
        &(&["ro"], &["ro", "noexec"], &[]),
        &mount_at(&report, "/mnt/plain").unwrap()["options"],
    );
    let inner = &mount_at(&report, "/mnt/plain/below").unwrap()["options"];
    check(&(&["ro"], &["rw"], &["ro", "noexec"]), inner);
    drop(below);
}

#[test]
fn a_recursive_option_takes_an_attribute_from_the_mounts_below() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    // Linux 5.10; nix has no name for it.
    let no_symlinks = MsFlags::from_bits_retain(256);
    let all = MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC
        | MsFlags::MS_NOATIME
        | MsFlags::MS_NODIRATIME
        | no_symlinks;
    let source = Mounted::tmpfs(bundle.dir.join("source"), all & !MsFlags::MS_RDONLY);
    let below = Mounted::tmpfs(source.0.join("below"), all & !MsFlags::MS_RDONLY);
    for mount in [&below, &source] {
        let flags = all | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
        nix::mount::mount(None::<&str>, &mount.0, None::<&str>, flags, None::<&str>).unwrap();
    }
    for (index, case) in RECURSIVE_CLEAR.iter().enumerate() {
        bundle.mount(bind(&source.0, &nth(index), &[&["rbind"], case.0].concat()));
    }
    let report = bundle.run().succeeded().answer();
    for (index, case) in RECURSIVE_CLEAR.iter().enumerate() {
        for target in [nth(index), nth(index) + "/below"] {
            check(case, &mount_at(&report, &target).unwrap()["options"]);
        }
    }
}

#[test]
fn a_word_that_means_nothing_to_a_mount_is_left_out_with_a_warning() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    let known = ["rbind", "ro", "rnosuid", "rprivate", "defaults", ""];
    bundle.set("/mounts/0/options", json!(["noexec"]));
    bundle.mount(bind(&bundle.rootfs(), "/mnt", &known));
    bundle.set(
        "/mounts/-",
        json!({ "destination": "/run", "type": "tmpfs", "options": ["sync"] }),
    );
    let quiet = bundle.run().succeeded();
    assert_eq!(quiet.stderr, "");

    let next = bundle.config["mounts"].as_array().unwrap().len();
    bundle.mount(bind(&bundle.rootfs(), "/home", &["noexce", "bind", "sync"]));
    let remount = json!(["remount", "bind", "nodev", "mode=700"]);
    bundle.mount(json!({ "destination": "/home", "options": remount }));
    let groups = json!(["ro", "cpuset"]);
    bundle.mount(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "options": groups }));
    let outcome = bundle.run().succeeded();
    let report = outcome.answer();
    let case: Case = (&["noexce"], &["nodev"], &["noexec"]);
    check(&case, &mount_at(&report, "/home").unwrap()["options"]);
    let said = outcome.stderr.replace("\\\"", "\"");
    let lines: Vec<&str> = said.lines().collect();
    let warnings = [
        (0, 0, "noexce", "a bind mount"),
        (0, 2, "sync", "a bind mount"),
        (1, 3, "mode=700", "the remount of a bind"),
        (2, 1, "cpuset", "a cgroup mount"),
    ];
    assert_eq!(lines.len(), warnings.len(), "{said}");
    for (line, (mount, option, word, kind)) in lines.iter().zip(warnings) {
        let at = format!("mounts[{}].options[{option}]", next + mount);
        let text = format!("config.json: {at}: \"{word}\" means nothing to {kind} and is left out");
        assert!(
            line.contains("level=warning") && line.contains(&text),
            "{said}"
        );
    }
}

#[test]
fn a_new_filesystem_has_the_state_of_its_options() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    for (index, case) in SUPERBLOCK.iter().enumerate() {
        bundle.mount(tmpfs(&nth(index), case.0));
    }
    bundle.mount(tmpfs("/mnt/unseen", UNSEEN));
    let report = bundle.run().succeeded().answer();
    for (index, case) in SUPERBLOCK.iter().enumerate() {
        check(case, &mount_at(&report, &nth(index)).unwrap()["data"]);
    }
    assert!(mount_at(&report, "/mnt/unseen").is_some());
}

#[test]
fn no_option_of_the_features_is_left_without_a_test() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let features = bundle.call(&["features"]).succeeded();
    let features: Value = serde_json::from_str(&features.stdout).unwrap();
    let named: BTreeSet<&str> = features["mountOptions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    let cases = [SET, RECURSIVE, RECURSIVE_CLEAR, SUPERBLOCK].concat();
    let tested = cases
        .iter()
        .flat_map(|case| case.0)
        .chain(UNSEEN)
        .chain(ELSEWHERE)
        .copied();
    assert_eq!(named, tested.collect());
}

#[test]
fn a_read_only_tmpfs_is_filled_before_it_is_sealed() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[
        "write",
        "/mnt/file",
        "x",
        "+",
        "write",
        "/mnt/inner/file",
        "x",
        "+",
        "stat",
        "/mnt/node",
    ]);
    bundle
        .mount(tmpfs("/mnt", &["ro"]))
        .mount(tmpfs("/mnt/inner", &[]))
        .set(
            "/linux/devices/-",
            json!({ "path": "/mnt/node", "type": "p" }),
        );
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["errno"], nix::libc::EROFS);
    assert_eq!(answers[1]["ok"], 1);
    assert_eq!(answers[2]["ok"]["type"], "fifo");
}
