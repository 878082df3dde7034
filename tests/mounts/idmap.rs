//! Binds that show their files with other ids, seen from inside and outside.

use super::harness::{Bundle, OUTSIDE, fixture, needs};
use super::{Mounted, bind, filesystem};
use nix::mount::MsFlags;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

fn map(inside: u32, outside: u32) -> Value {
    json!([{ "containerID": inside, "hostID": outside, "size": 65536 }])
}

/// A bind whose files of user and group 0 are shown as those of 100000.
fn mapped(source: &Path, target: &str, options: &[&str]) -> Value {
    let mut mount = bind(source, target, options);
    mount["uidMappings"] = map(0, OUTSIDE);
    mount["gidMappings"] = map(0, OUTSIDE);
    mount
}

/// A folder that anyone may write to, with a file of root's.
fn source(bundle: &Bundle) -> PathBuf {
    let dir = bundle.dir.join("source");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.join("file"), "text").unwrap();
    dir
}

fn owner(path: &Path) -> (u32, u32) {
    let about = fs::metadata(path).unwrap();
    (about.uid(), about.gid())
}

fn shown(answer: &Value) -> (u64, u64) {
    let id = |key| answer["ok"][key].as_u64().unwrap();
    (id("uid"), id("gid"))
}

#[test]
fn a_mount_with_mappings_of_its_own_shows_and_takes_the_ids_they_say() {
    needs!(root, probe, idmap);
    // With the option and, as runc has it, without.
    for options in [&["bind", "idmap"][..], &["bind"]] {
        let mut bundle = Bundle::probe(&["stat", "/mnt/file", "+", "write", "/mnt/new", "x"]);
        let source = source(&bundle);
        chown(source.join("file"), Some(0), Some(7)).unwrap();
        bundle.mount(mapped(&source, "/mnt", options)).set(
            "/process/user",
            json!({ "uid": OUTSIDE + 3, "gid": OUTSIDE + 4 }),
        );
        let answers = bundle.run().succeeded().answers();
        let outside = u64::from(OUTSIDE);
        assert_eq!(shown(&answers[0]), (outside, outside + 7), "{options:?}");
        assert_eq!(owner(&source.join("new")), (3, 4), "{options:?}");
        assert_eq!(owner(&source.join("file")), (0, 7), "{options:?}");
    }
}

#[test]
fn without_mappings_the_ids_are_those_of_the_containers_user_namespace() {
    needs!(root, probe, idmap);
    let mut bundle = Bundle::probe(&[
        "stat",
        "/mnt/file",
        "+",
        "write",
        "/mnt/new",
        "x",
        "+",
        "stat",
        "/plain/file",
    ]);
    let source = source(&bundle);
    bundle.map_users(OUTSIDE, 65536);
    bundle
        .mount(bind(&source, "/mnt", &["bind", "idmap"]))
        .mount(bind(&source, "/plain", &["bind"]));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(shown(&answers[0]), (0, 0));
    assert_eq!(owner(&source.join("new")), (0, 0));
    let nobody = 65534;
    assert_eq!(shown(&answers[2]), (nobody, nobody), "it is the option");
}

#[test]
fn without_mappings_the_ids_are_those_of_a_user_namespace_that_is_joined() {
    needs!(root, probe, idmap);
    let mut other = Bundle::probe(&["sleep", "60"]);
    other.map_users(OUTSIDE, 65536);
    other.create().succeeded();
    let path = format!("/proc/{}/ns/user", other.state()["pid"]);
    let mut bundle = Bundle::probe(&["stat", "/mnt/file", "+", "write", "/mnt/new", "x"]);
    let source = source(&bundle);
    bundle.map_users(OUTSIDE, 65536);
    let namespaces = json!([{ "type": "mount" }, { "type": "user", "path": path }]);
    let mounts = json!([bind(&source, "/mnt", &["bind", "idmap"])]);
    bundle
        .set("/linux/namespaces", namespaces)
        .set("/mounts", mounts)
        .remove("/hostname");
    let answers = bundle.run().succeeded().answers();
    assert_eq!(shown(&answers[0]), (0, 0));
    assert_eq!(owner(&source.join("new")), (0, 0));
}

#[test]
fn the_mappings_of_a_mount_go_before_those_of_the_container() {
    needs!(root, probe, idmap);
    let mut bundle = Bundle::probe(&["stat", "/mnt/file"]);
    let source = source(&bundle);
    chown(source.join("file"), Some(40), Some(50)).unwrap();
    bundle.map_users(OUTSIDE, 65536);
    let mut mount = bind(&source, "/mnt", &["bind", "idmap"]);
    mount["uidMappings"] = map(40, OUTSIDE + 1);
    mount["gidMappings"] = map(50, OUTSIDE + 2);
    let answer = bundle.mount(mount).run().succeeded().answer();
    assert_eq!(shown(&answer), (1, 2));
}

#[test]
fn what_is_mounted_below_is_shown_with_other_ids_by_ridmap_alone() {
    needs!(root, probe, idmap);
    for (option, below) in [("idmap", 0), ("ridmap", u64::from(OUTSIDE))] {
        let mut bundle = Bundle::probe(&["stat", "/mnt/file", "+", "stat", "/mnt/below"]);
        let source = source(&bundle);
        let _mounted = Mounted::tmpfs(source.join("below"), MsFlags::empty());
        bundle.mount(mapped(&source, "/mnt", &["rbind", option]));
        let answers = bundle.run().succeeded().answers();
        assert_eq!(shown(&answers[0]).0, u64::from(OUTSIDE), "{option}");
        assert_eq!(shown(&answers[1]).0, below, "{option}");
    }
}

#[test]
fn a_file_can_be_shown_with_other_ids_and_its_attributes_hold() {
    needs!(root, probe, idmap);
    let mut bundle = Bundle::probe(&["stat", "/etc/file", "+", "write", "/etc/file", "x"]);
    let source = source(&bundle).join("file");
    bundle.mount(mapped(&source, "/etc/file", &["bind", "idmap", "ro"]));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(shown(&answers[0]).0, u64::from(OUTSIDE));
    assert_eq!(answers[1]["errno"], nix::libc::EROFS);
}

#[test]
fn the_filesystem_of_an_image_can_be_shown_with_other_ids() {
    needs!(root, probe);
    let image = fixture("probe");
    let (uid, _) = owner(&image.join("probe"));
    let mut bundle = Bundle::probe(&["stat", "/mnt/probe"]);
    bundle.mount(mapped(&image, "/mnt", &["bind", "idmap"]));
    let answer = bundle.run().succeeded().answer();
    assert_eq!(shown(&answer).0, u64::from(OUTSIDE + uid));
}

#[test]
fn a_filesystem_that_takes_no_id_maps_is_named_with_the_mount() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["print", "ran"]);
    bundle.mount(mapped(Path::new("/proc/sys"), "/mnt", &["bind", "idmap"]));
    bundle
        .run()
        .failed_with("mount at /mnt: show /proc/sys with other ids: ")
        .failed_with("(proc)");
}

#[test]
fn the_ids_of_the_hosts_own_user_namespace_are_refused_by_its_name() {
    needs!(root, probe, idmap);
    let mut bundle = Bundle::probe(&["print", "ran"]);
    let users = json!({ "type": "user", "path": "/proc/self/ns/user" });
    let source = source(&bundle);
    bundle
        .set("/linux/namespaces/-", users)
        .mount(bind(&source, "/mnt", &["bind", "idmap"]));
    bundle
        .run()
        .failed_with("/proc/self/ns/user is the host's own user namespace");
}

#[test]
fn an_id_map_is_for_binds_and_needs_both_kinds_of_ids() {
    needs!(root, probe);
    let both = "id-mapped mounts must have both uid and gid mappings specified";
    let only_binds = "id-mapped mounts are only supported for bind-mounts";
    let mut without = mapped(Path::new("/tmp"), "/mnt", &["bind", "idmap"]);
    without["gidMappings"] = json!([]);
    for (mount, text) in [
        (filesystem("tmpfs", "/mnt", &["idmap"]), only_binds),
        (bind(Path::new("/tmp"), "/mnt", &["bind", "idmap"]), both),
        (without, both),
    ] {
        let mut bundle = Bundle::probe(&["print", "ran"]);
        bundle.mount(mount).run().failed_with(text);
    }
}

#[test]
fn a_user_who_is_not_root_gets_no_other_ids() {
    needs!(root, probe);
    const USER: u32 = 1000;
    let mut bundle = Bundle::probe(&["print", "ran"]);
    let source = source(&bundle);
    bundle
        .map_users(USER, 1)
        .mount(bind(&source, "/mnt", &["bind", "idmap"]));
    bundle
        .call_as(USER, &["run", &bundle.id])
        .failed_with("id-mapped mounts are not supported for rootless containers");
}
