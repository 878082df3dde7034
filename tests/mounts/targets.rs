//! Where mounts go: targets that are missing, that are links, that lie in other mounts, and what was
//! there before.

use super::harness::{Bundle, needs};
use super::{bind, mount_at, tmpfs};
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

#[test]
fn a_missing_target_is_made_as_what_is_mounted_on_it() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["stat", "/made/dir", "+", "stat", "/also/made/file"]);
    let file = bundle.dir.join("file");
    fs::write(&file, "").unwrap();
    bundle.mount(tmpfs("/made/dir", &["mode=700"])).mount(bind(
        &file,
        "/also/made/file",
        &["bind"],
    ));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["ok"]["type"], "directory");
    assert_eq!(answers[1]["ok"]["type"], "file");
    let mode = |path| {
        fs::metadata(bundle.rootfs().join(path))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("made/dir") & 0o7777, 0o755);
    assert!(bundle.rootfs().join("also/made/file").is_file());
}

#[test]
fn a_device_may_be_bound_on_a_missing_target() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["stat", "/made/null"]);
    bundle.mount(bind("/dev/null".as_ref(), "/made/null", &["bind"]));
    let node = &bundle.run().succeeded().answer()["ok"];
    assert_eq!(
        (&node["type"], &node["minor"]),
        (&json!("char"), &json!(3)),
        "{node}"
    );
}

#[test]
fn mounts_are_made_in_the_order_of_the_document() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[
        "list",
        "/mnt",
        "+",
        "read",
        "/mnt/a/file",
        "+",
        "list",
        "/mnt/a/b",
    ]);
    let source = bundle.dir.join("source");
    fs::create_dir_all(source.join("b/hidden")).unwrap();
    fs::write(source.join("file"), "text").unwrap();
    fs::create_dir_all(bundle.rootfs().join("mnt/covered")).unwrap();
    bundle
        .mount(tmpfs("/mnt", &[]))
        .mount(bind(&source, "/mnt/a", &["rbind"]))
        .mount(tmpfs("/mnt/a/b", &[]));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["ok"], json!(["a"]));
    assert_eq!(answers[1]["ok"], "text");
    assert_eq!(answers[2]["ok"], json!([]));
}

#[test]
fn a_later_mount_on_the_same_target_covers_the_earlier() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle
        .mount(tmpfs("/mnt", &["size=64k"]))
        .mount(tmpfs("/mnt", &["size=128k"]));
    let report = bundle.run().succeeded().answer();
    let data = &mount_at(&report, "/mnt").unwrap()["data"];
    assert!(super::has(data, "size=128k"), "{data}");
}

#[test]
fn a_target_that_is_a_link_is_resolved_inside_the_root() {
    needs!(root, probe);
    for (name, text, lands) in [
        ("absolute", "/home", "/home"),
        ("upwards", "../../../../../../home", "/home"),
        ("relative", "usr/../home", "/home"),
        ("twice", "absolute", "/home"),
        ("dangling", "/new/place", "/new/place"),
        ("dangling-upwards", "../../../../new/place", "/new/place"),
    ] {
        let mut bundle = Bundle::probe(&[]);
        symlink("/home", bundle.rootfs().join("absolute")).unwrap();
        let _ = symlink(text, bundle.rootfs().join(name));
        bundle.mount(tmpfs(&format!("/{name}"), &["size=64k"]));
        let report = bundle.run().succeeded().answer();
        assert!(
            mount_at(&report, lands).is_some(),
            "{name}: {}",
            report["mounts"]
        );
    }
}

#[test]
fn a_link_on_the_way_to_a_target_is_resolved_inside_the_root() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    symlink("/run", bundle.rootfs().join("var/run")).unwrap();
    symlink("/no/such", bundle.rootfs().join("var/missing")).unwrap();
    bundle
        .mount(tmpfs("/var/run/made/here", &[]))
        .mount(tmpfs("/var/missing/made/here", &[]));
    let report = bundle.run().succeeded().answer();
    for target in ["/run/made/here", "/no/such/made/here"] {
        assert!(
            mount_at(&report, target).is_some(),
            "{target}: {}",
            report["mounts"]
        );
    }
}

#[test]
fn links_that_go_round_are_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    symlink("/round", bundle.rootfs().join("about")).unwrap();
    symlink("/about", bundle.rootfs().join("round")).unwrap();
    bundle.mount(tmpfs("/round/dir", &[]));
    bundle
        .run()
        .failed_with("mount tmpfs at /round/dir: open the target: too many symbolic links");
}

#[test]
fn a_target_below_a_file_is_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.mount(tmpfs("/etc/passwd/dir", &[]));
    bundle
        .run()
        .failed_with("mount tmpfs at /etc/passwd/dir: open the target: not a directory");
}

#[test]
fn tmpcopyup_fills_the_tmpfs_with_what_it_covers() {
    needs!(root, probe);
    let paths = ["", "/file", "/dir", "/dir/deep", "/link", "/fifo", "/empty"];
    let words: Vec<String> = paths
        .iter()
        .map(|path| format!("stat /var/copy{path}"))
        .collect();
    let mut words: Vec<&str> = words
        .iter()
        .flat_map(|w| w.split(' ').chain(["+"]))
        .collect();
    words.extend(["read", "/var/copy/dir/deep"]);
    let mut bundle = Bundle::probe(&words);
    let copy = bundle.rootfs().join("var/copy");
    fs::create_dir_all(copy.join("dir")).unwrap();
    fs::write(copy.join("file"), "f").unwrap();
    fs::write(copy.join("empty"), "").unwrap();
    fs::write(copy.join("dir/deep"), "deep".repeat(40_000)).unwrap();
    symlink("/not/there", copy.join("link")).unwrap();
    nix::unistd::mkfifo(
        &copy.join("fifo"),
        nix::sys::stat::Mode::from_bits_truncate(0o600),
    )
    .unwrap();
    for (path, owner, mode) in [
        ("file", 7, 0o4711),
        ("dir", 8, 0o1770),
        ("dir/deep", 9, 0o600),
        ("", 10, 0o2750),
    ] {
        chown(copy.join(path), Some(owner), Some(owner + 1)).unwrap();
        fs::set_permissions(copy.join(path), Permissions::from_mode(mode)).unwrap();
    }
    lchown(copy.join("link"), Some(11), Some(12)).unwrap();
    bundle.mount(tmpfs("/var/copy", &["tmpcopyup"]));

    // One that reads what belongs to others.
    for set in ["bounding", "permitted", "effective"] {
        bundle.set(
            &format!("/process/capabilities/{set}/-"),
            json!("CAP_DAC_OVERRIDE"),
        );
    }
    let answers = bundle.run().succeeded().answers();
    let wanted = [
        ("directory", "2750", 10, 11),
        ("file", "4711", 7, 8),
        ("directory", "1770", 8, 9),
        ("file", "0600", 9, 10),
        ("link", "0777", 11, 12),
        ("fifo", "0600", 0, 0),
        ("file", "0644", 0, 0),
    ];
    for (answer, (kind, mode, uid, gid)) in answers.iter().zip(wanted) {
        let found = &answer["ok"];
        let found = (&found["type"], &found["mode"], &found["uid"], &found["gid"]);
        assert_eq!(
            found,
            (&json!(kind), &json!(mode), &json!(uid), &json!(gid)),
            "{answer}"
        );
    }
    assert_eq!(answers[4]["ok"]["link"], "/not/there");
    assert_eq!(answers[7]["ok"], "deep".repeat(40_000));
}

#[test]
fn what_is_written_after_tmpcopyup_stays_out_of_the_image() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["write", "/etc/passwd", "changed", "+", "read", "/etc/group"]);
    bundle.mount(tmpfs("/etc", &["tmpcopyup"]));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["ok"], 7);
    assert!(answers[1]["ok"].as_str().unwrap().starts_with("root:"));
    let image = fs::read_to_string(bundle.rootfs().join("etc/passwd")).unwrap();
    assert!(image.starts_with("root:"), "{image}");
}

#[test]
fn a_tmpfs_that_is_read_only_is_filled_by_tmpcopyup_too() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["read", "/etc/group", "+", "write", "/etc/new", "x"]);
    bundle
        .mount(tmpfs("/etc", &["tmpcopyup", "ro"]))
        .set("/root/readonly", json!(false));
    let answers = bundle.run().succeeded().answers();
    assert!(answers[0]["ok"].as_str().unwrap().starts_with("root:"));
    assert_eq!(answers[1]["errno"], nix::libc::EROFS);
}

#[test]
fn a_tmpfs_without_a_mode_has_that_of_the_folder_it_covers() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[
        "stat", "/closed", "+", "stat", "/named", "+", "stat", "/missing",
    ]);
    for name in ["closed", "named"] {
        let dir = bundle.rootfs().join(name);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(dir, Permissions::from_mode(0o2710)).unwrap();
    }
    bundle
        .mount(tmpfs("/closed", &["size=64k"]))
        .mount(tmpfs("/named", &["mode=1700"]))
        .mount(tmpfs("/missing", &[]));
    let answers = bundle.run().succeeded().answers();
    let modes: Vec<_> = answers.iter().map(|answer| &answer["ok"]["mode"]).collect();
    // The kernel's own default is that of /tmp.
    assert_eq!(modes, ["2710", "1700", "1777"]);
}
