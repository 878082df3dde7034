//! `maskedPaths`, `readonlyPaths` and a root that is read-only.

use super::harness::{Bundle, needs, repetitions};
use super::{Mounted, allow_mounting, bind, has, mount_at, tmpfs};
use nix::libc;
use nix::mount::MsFlags;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_mask_covers_files_and_folders_and_skips_what_is_not_there() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[
        "read",
        "/etc/secret",
        "+",
        "list",
        "/etc/secrets",
        "+",
        "write",
        "/etc/secrets/new",
        "x",
        "+",
        "read",
        "/etc/passwd",
    ]);
    let etc = bundle.rootfs().join("etc");
    fs::write(etc.join("secret"), "hidden").unwrap();
    fs::create_dir_all(etc.join("secrets/below")).unwrap();
    bundle.set("/root/readonly", json!(false)).set(
        "/linux/maskedPaths",
        json!([
            "/etc/secret",
            "/etc/secrets",
            "/not/there",
            "/etc/passwd/not/a/folder"
        ]),
    );
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["ok"], "");
    assert_eq!(answers[1]["ok"], json!([]));
    assert_eq!(answers[2]["errno"], libc::EROFS);
    assert_ne!(answers[3]["ok"], "");
    assert_eq!(fs::read_to_string(etc.join("secret")).unwrap(), "hidden");
    assert!(!bundle.rootfs().join("not").exists());
}

#[test]
fn a_masked_folder_is_one_shared_empty_read_only_filesystem() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/linux/maskedPaths", json!(["/etc", "/home"]));
    let report = bundle.run().succeeded().answer();
    let (first, second) = (
        mount_at(&report, "/etc").unwrap(),
        mount_at(&report, "/home").unwrap(),
    );
    assert_eq!(first["type"], "tmpfs");
    assert_eq!(first["device"], second["device"]);
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(
            has(&first["options"], option) && has(&second["options"], option),
            "{option}"
        );
    }
}

#[test]
fn a_mask_on_a_link_covers_what_it_leads_to_inside_the_root() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["read", "/etc/secret", "+", "list", "/home"]);
    fs::write(bundle.rootfs().join("etc/secret"), "hidden").unwrap();
    fs::create_dir(bundle.rootfs().join("home/below")).unwrap();
    symlink("/etc/secret", bundle.rootfs().join("absolute")).unwrap();
    symlink("../../../home", bundle.rootfs().join("upwards")).unwrap();
    bundle.set("/linux/maskedPaths", json!(["/absolute", "/upwards"]));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["ok"], "");
    assert_eq!(answers[1]["ok"], json!([]));
}

#[test]
fn a_link_that_leads_nowhere_needs_no_mask_and_no_sealing() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["print", "ran"]);
    let rootfs = bundle.rootfs();
    symlink("/not/there", rootfs.join("dangling")).unwrap();
    symlink("../../../..", rootfs.join("home/top")).unwrap();
    let paths = json!(["/dangling", "/dangling/below", "/home/top/not/there"]);
    bundle
        .set("/linux/maskedPaths", paths.clone())
        .set("/linux/readonlyPaths", paths);
    assert_eq!(bundle.run().succeeded().stdout, "ran\n");
    assert!(!rootfs.join("not").exists());
}

#[test]
fn a_read_only_path_on_a_link_seals_what_it_leads_to_inside_the_root() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["write", "/home/file", "x", "+", "write", "/etc/file", "x"]);
    symlink("../../../../home", bundle.rootfs().join("upwards")).unwrap();
    bundle
        .set("/root/readonly", json!(false))
        .set("/linux/readonlyPaths", json!(["/upwards"]));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["errno"], libc::EROFS);
    assert_eq!(answers[1]["ok"], 1);
}

/// Somebody who shares the root takes names away and brings them back.
#[test]
fn a_path_that_comes_and_goes_stops_no_container() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["print", "ran"]);
    let paths: Vec<String> = (0..8).map(|n| format!("/home/{n}")).collect();
    bundle
        .set("/linux/maskedPaths", json!(paths))
        .set("/linux/readonlyPaths", json!(paths));
    let home = bundle.rootfs().join("home");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..8).cycle() {
                let path = home.join(n.to_string());
                let _ = if n % 2 == 0 {
                    fs::create_dir(&path)
                } else {
                    fs::write(&path, "x")
                };
                let _ = if n % 2 == 0 {
                    fs::remove_dir(&path)
                } else {
                    fs::remove_file(&path)
                };
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let outcomes: Vec<_> = (0..repetitions(20, 200)).map(|_| bundle.run()).collect();
        is_over.store(true, Ordering::Relaxed);
        for outcome in outcomes {
            assert_eq!(outcome.succeeded().stdout, "ran\n");
        }
    });
}

#[test]
fn a_mask_covers_what_is_mounted_there() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["list", "/mnt"]);
    let source = bundle.dir.join("source");
    fs::create_dir_all(source.join("below")).unwrap();
    bundle
        .mount(bind(&source, "/mnt", &["rbind"]))
        .set("/linux/maskedPaths", json!(["/mnt"]));
    assert_eq!(bundle.run().succeeded().answer()["ok"], json!([]));
}

#[test]
fn a_read_only_path_is_read_only_with_all_mounts_below_it() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[
        "write",
        "/mnt/file",
        "x",
        "+",
        "write",
        "/mnt/below/file",
        "x",
        "+",
        "write",
        "/home/file",
        "x",
    ]);
    let source = Mounted::tmpfs(bundle.dir.join("source"), MsFlags::empty());
    let below = Mounted::tmpfs(source.0.join("below"), MsFlags::empty());
    bundle
        .mount(bind(&source.0, "/mnt", &["rbind"]))
        .set("/root/readonly", json!(false))
        .set("/linux/readonlyPaths", json!(["/mnt", "/not/there"]));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["errno"], libc::EROFS);
    assert_eq!(answers[1]["errno"], libc::EROFS);
    assert_eq!(answers[2]["ok"], 1);
    drop(below);
}

#[test]
fn a_read_only_path_may_be_a_file_and_keeps_its_other_attributes() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["report", "+", "write", "/mnt/file", "x"]);
    let source = Mounted::tmpfs(bundle.dir.join("source"), MsFlags::MS_NOSUID);
    fs::write(source.0.join("file"), "text").unwrap();
    bundle
        .mount(bind(&source.0, "/mnt", &["rbind", "noexec"]))
        .set("/linux/readonlyPaths", json!(["/mnt/file"]));
    let answers = bundle.run().succeeded().answers();
    let options = &mount_at(&answers[0]["ok"], "/mnt/file").unwrap()["options"];
    for option in ["ro", "nosuid", "noexec"] {
        assert!(has(options, option), "{option}: {options}");
    }
    assert_eq!(answers[1]["errno"], libc::EROFS);
}

#[test]
fn a_read_only_root_leaves_the_mounts_in_it_writable() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["write", "/home/file", "x", "+", "write", "/mnt/file", "x"]);
    bundle
        .mount(tmpfs("/mnt", &[]))
        .set("/root/readonly", json!(true));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["errno"], libc::EROFS);
    assert_eq!(answers[1]["ok"], 1);
}

#[test]
fn a_read_only_root_leaves_the_hosts_mount_writable() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let root = Mounted::itself(bundle.rootfs());
    bundle.run().succeeded();
    fs::write(bundle.rootfs().join("home/file"), "").unwrap();
    drop(root);
}

#[test]
fn a_root_moved_instead_of_pivoted_is_the_root_too() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["report", "+", "write", "/home/file", "x"]);
    allow_mounting(&mut bundle);
    let answers = bundle
        .call(&["run", "--no-pivot", &bundle.id])
        .succeeded()
        .answers();
    let entries = &answers[0]["ok"]["root"];
    assert!(has(entries, "probe") && !has(entries, "boot"), "{entries}");
    assert_eq!(answers[1]["errno"], libc::EROFS);
}

/// With the host's whole /proc left anywhere in the mount namespace, the kernel lets a new user
/// namespace mount one without masks.
#[test]
fn a_root_moved_leaves_no_whole_proc_that_a_user_namespace_could_mount_again() {
    needs!(root, busybox);
    let script = "unshare -mrpf sh -c 'mount -t proc proc /proc && ls -l /proc/kcore'; echo $?";
    let mut bundle = Bundle::busybox(script);
    allow_mounting(&mut bundle);
    let outcome = bundle.call(&["run", "--no-pivot", &bundle.id]).succeeded();
    assert_eq!(outcome.stdout.trim(), "1", "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("not permitted") || outcome.stderr.contains("denied"),
        "{}",
        outcome.stderr
    );
}

/// On a host that shares its mounts, as systemd does.
#[test]
fn a_root_moved_takes_no_mount_of_a_host_that_shares_them() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("true");
    bundle.set("/linux/rootfsPropagation", json!("shared"));
    // The mounts of other tests go when these remove what they lie on.
    let script = r#"mounts() { grep -v /debian- /proc/self/mountinfo; }
        mount --make-rshared / && before=$(mounts) && "$0" "$@" && [ "$before" = "$(mounts)" ] && echo same"#;
    let program = bundle.command(&[]).get_program().to_owned();
    bundle.write_config();
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(program);
    command.arg("--root").arg(bundle.state_dir());
    command.args(["run", "--no-pivot", &bundle.id]);
    command.current_dir(&bundle.dir);
    let outcome = bundle.finish(command).succeeded();
    assert_eq!(outcome.stdout, "same\n", "{}", outcome.stderr);
}
