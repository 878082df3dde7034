//! The nodes of `linux.devices`, and those that every container has.

use super::bind;
use super::harness::{Bundle, OUTSIDE, needs};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

#[track_caller]
fn node_of(device: Value) -> Value {
    let path = device["path"].as_str().unwrap().to_owned();
    let mut bundle = Bundle::probe(&["stat", &path]);
    bundle.set("/linux/devices/-", device);
    bundle.run().succeeded().answer()["ok"].take()
}

#[test]
fn each_type_of_device_is_made_as_a_node_of_it() {
    needs!(root, probe);
    for (kind, made) in [("c", "char"), ("u", "char"), ("b", "block"), ("p", "fifo")] {
        let node = node_of(json!({
            "path": "/dev/made/here", "type": kind, "major": 7, "minor": 300,
            "fileMode": 0o640, "uid": 7, "gid": 8,
        }));
        let found = (&node["type"], &node["mode"], &node["uid"], &node["gid"]);
        assert_eq!(
            found,
            (&json!(made), &json!("0640"), &json!(7), &json!(8)),
            "{kind}: {node}"
        );
        if made != "fifo" {
            assert_eq!(
                (&node["major"], &node["minor"]),
                (&json!(7), &json!(300)),
                "{kind}: {node}"
            );
        }
    }
}

#[test]
fn the_mode_is_whole_whatever_the_callers_umask() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["stat", "/dev/made"]);
    let device = json!({ "path": "/dev/made", "type": "p", "fileMode": 0o666 });
    bundle.set("/linux/devices/-", device);
    bundle.write_config();
    let script = r#"umask 077; exec "$0" "$@""#;
    let program = bundle.command(&[]).get_program().to_owned();
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(script).arg(program);
    command
        .arg("--root")
        .arg(bundle.state_dir())
        .args(["run", &bundle.id]);
    command.current_dir(&bundle.dir);
    let node = bundle.finish(command).succeeded().answer()["ok"].take();
    assert_eq!(node["mode"], "0666", "{node}");
}

#[test]
fn a_device_outside_dev_is_made_where_it_is_named() {
    needs!(root, probe);
    let node = node_of(json!({ "path": "/home/null", "type": "c", "major": 1, "minor": 3 }));
    assert_eq!(node["type"], "char", "{node}");
}

#[test]
fn the_document_may_dress_a_default_device() {
    needs!(root, probe);
    let node = node_of(json!({
        "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 7,
    }));
    assert_eq!(
        (&node["mode"], &node["uid"]),
        (&json!("0600"), &json!(7)),
        "{node}"
    );
}

#[test]
fn a_node_that_is_there_is_taken_if_it_is_the_same_device() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["stat", "/home/node"]);
    let node = bundle.rootfs().join("home/node");
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    let device = nix::sys::stat::makedev(1, 3);
    nix::sys::stat::mknod(&node, nix::sys::stat::SFlag::S_IFCHR, mode, device).unwrap();
    let wanted = json!({ "path": "/home/node", "type": "c", "major": 1, "minor": 3 });
    bundle.set("/linux/devices/-", wanted);
    assert_eq!(bundle.run().succeeded().answer()["ok"]["minor"], 3);
}

#[test]
fn a_file_of_another_kind_in_the_place_of_a_device_is_refused() {
    needs!(root, probe);
    let text = "make the character device /home/node (1:3, 0666): another file is in its place";
    let places: [fn(&Path); 4] = [
        |at| fs::write(at, "").unwrap(),
        |at| fs::create_dir(at).unwrap(),
        |at| symlink("/dev/null", at).unwrap(),
        |at| {
            let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
            let zero = nix::sys::stat::makedev(1, 5);
            nix::sys::stat::mknod(at, nix::sys::stat::SFlag::S_IFCHR, mode, zero).unwrap();
        },
    ];
    for place in places {
        let mut bundle = Bundle::probe(&[]);
        place(&bundle.rootfs().join("home/node"));
        let wanted = json!({
            "path": "/home/node", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666,
        });
        bundle.set("/linux/devices/-", wanted);
        bundle.run().failed_with(text);
    }
}

#[test]
fn a_dev_bound_from_outside_is_left_as_it_is() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["list", "/dev"]);
    let source = bundle.dir.join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("own"), "").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
    bundle.set("/mounts", json!([bind(&source, "/dev", &["rbind"])]));
    assert_eq!(bundle.run().succeeded().answer()["ok"], json!(["own"]));
}

#[test]
fn the_devices_of_a_user_namespace_are_the_hosts_nodes() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["report", "+", "open", "/dev/zero"]);
    bundle.map_users(OUTSIDE, 65536);
    let answers = bundle.run().succeeded().answers();
    let report = &answers[0]["ok"];
    for (name, minor) in [
        ("null", 3),
        ("zero", 5),
        ("full", 7),
        ("random", 8),
        ("urandom", 9),
    ] {
        let path = format!("/dev/{name}");
        let node = &report["dev"][&path];
        assert_eq!(
            (&node["type"], &node["minor"]),
            (&json!("char"), &json!(minor)),
            "{name}: {node}"
        );
        assert!(
            super::mount_at(report, &path).is_some(),
            "{name} is no mount"
        );
    }
    assert_eq!(answers[1]["ok"], 1);
}
