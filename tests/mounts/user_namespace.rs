//! The container's tree where its root is not the host's.

use super::harness::{Bundle, OUTSIDE, needs};
use super::{Mounted, bind, filesystem, has, mount_at, tmpfs};
use nix::libc;
use nix::mount::MsFlags;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::chown;

#[track_caller]
fn report_with(mount: Value) -> Value {
    let mut bundle = Bundle::probe(&[]);
    bundle.map_users(OUTSIDE, 65536);
    bundle.mount(mount);
    bundle.run().succeeded().answer()
}

#[test]
fn the_mounts_of_the_configuration_are_there_in_a_user_namespace() {
    needs!(root, probe);
    let report = report_with(tmpfs("/made", &["size=64k", "nosuid", "noexec"]));
    for (target, kind) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
        ("/made", "tmpfs"),
    ] {
        let mount = mount_at(&report, target).unwrap_or_else(|| panic!("no {target}"));
        assert_eq!(mount["type"], kind, "{mount}");
    }
    let options = &mount_at(&report, "/made").unwrap()["options"];
    assert!(
        has(options, "nosuid") && has(options, "noexec"),
        "{options}"
    );
}

#[test]
fn what_is_made_in_a_user_namespace_belongs_to_its_root() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["stat", "/dev/fd", "+", "stat", "/made/dir"]);
    bundle.map_users(OUTSIDE, 65536);
    bundle.mount(tmpfs("/made/dir", &["mode=700"]));
    for answer in bundle.run().succeeded().answers() {
        assert_eq!(answer["ok"]["uid"], 0, "{answer}");
    }
    let made = fs::metadata(bundle.rootfs().join("made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), OUTSIDE);
}

#[test]
fn a_bind_reaches_a_source_that_the_mapped_user_may_not_walk_to() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["read", "/mnt/file"]);
    bundle.map_users(OUTSIDE, 65536);
    let closed = bundle.dir.join("closed");
    fs::create_dir_all(closed.join("source")).unwrap();
    fs::write(closed.join("source/file"), "text").unwrap();
    chown(closed.join("source"), Some(OUTSIDE), Some(OUTSIDE)).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    bundle.mount(bind(&closed.join("source"), "/mnt", &["rbind"]));
    assert_eq!(bundle.run().succeeded().answer()["ok"], "text");
}

#[test]
fn a_bind_in_a_user_namespace_is_a_slave_and_recursive_options_reach_below() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.map_users(OUTSIDE, 65536);
    let source = Mounted::tmpfs(bundle.dir.join("source"), MsFlags::empty()).shared();
    let below = Mounted::tmpfs(source.0.join("below"), MsFlags::empty()).shared();
    bundle.mount(bind(&source.0, "/mnt", &["rbind", "rro"]));
    let report = bundle.run().succeeded().answer();
    for target in ["/mnt", "/mnt/below"] {
        let mount = mount_at(&report, target).unwrap();
        assert!(has(&mount["options"], "ro"), "{mount}");
        let tags = mount["propagation"].to_string();
        assert!(
            tags.contains("master:") && !tags.contains("shared:"),
            "{mount}"
        );
    }
    drop(below);
}

#[test]
fn a_read_only_root_and_masks_hold_in_a_user_namespace() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[
        "write",
        "/home/file",
        "x",
        "+",
        "read",
        "/proc/keys",
        "+",
        "list",
        "/sys/firmware",
        "+",
        "write",
        "/proc/sys/kernel/domainname",
        "x",
    ]);
    bundle.map_users(OUTSIDE, 65536);
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["errno"], libc::EROFS);
    assert_eq!(answers[1]["ok"], "");
    assert_eq!(answers[2]["ok"], json!([]));
    assert_eq!(answers[3]["errno"], libc::EROFS);
}

#[test]
fn the_groups_are_mounted_in_a_user_namespace() {
    needs!(root, probe, cgroup1);
    let mut bundle = Bundle::probe(&[]);
    bundle.map_users(OUTSIDE, 65536);
    bundle.set("/linux/namespaces/-", json!({ "type": "cgroup" }));
    let report = bundle.run().succeeded().answer();
    assert!(
        mount_at(&report, "/sys/fs/cgroup/memory").is_some(),
        "{}",
        report["mounts"]
    );
}

#[test]
fn a_user_who_is_not_root_gets_the_same_mounts() {
    needs!(root, probe);
    const USER: u32 = 1000;
    let mut bundle = Bundle::probe(&[]);
    bundle
        .map_users(USER, 1)
        // The group of terminals has no place among these ids.
        .set(
            "/mounts/2/options",
            json!([
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620"
            ]),
        );
    let source = bundle.dir.join("source");
    fs::create_dir(&source).unwrap();
    bundle.mount(bind(&source, "/mnt", &["rbind", "rro", "rnosuid"]));
    let run = bundle.call_as(USER, &["run", &bundle.id]);
    let report = run.succeeded().answer();
    for (target, kind) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/sys", "sysfs"),
    ] {
        assert_eq!(mount_at(&report, target).unwrap()["type"], kind);
    }
    let options = &mount_at(&report, "/mnt").unwrap()["options"];
    assert!(has(options, "ro") && has(options, "nosuid"), "{options}");
    assert_eq!(report["dev"]["/dev/null"]["minor"], 3);
}

#[test]
fn a_filesystem_that_a_user_namespace_may_not_mount_is_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.map_users(OUTSIDE, 65536);
    bundle.mount(filesystem("debugfs", "/mnt", &[]));
    bundle.run().failed_with("mount debugfs at /mnt: ");
}
