//! A root filesystem that wants out: what it links to is not touched, whatever the runtime makes of
//! the link. The classes are those published for runtimes in use.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, copy_tree, needs, program};
use nix::libc;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A folder of the host with one file, beside the root filesystem.
fn make_canary(bundle: &Bundle) -> PathBuf {
    let canary = bundle.dir.join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "of the host").unwrap();
    canary
}

#[track_caller]
fn assert_untouched(canary: &Path, told: &str) {
    let names: Vec<_> = fs::read_dir(canary)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["file"], "{told}");
    let text = fs::read_to_string(canary.join("file")).unwrap();
    assert_eq!(text, "of the host", "{told}");
}

/// Puts a link in place of a folder of the root.
fn replace_by_link(bundle: &Bundle, path: &str, target: &Path) {
    let path = bundle.rootfs().join(path);
    let _ = fs::remove_dir_all(&path);
    symlink(target, path).unwrap();
}

fn remove_mounts_below(bundle: &mut Bundle, top: &str) {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with(top));
}

/// The link as the host reads it, and as a path that climbs out of the root.
fn ways_to(canary: &Path) -> [PathBuf; 2] {
    [
        canary.into(),
        Path::new("../../../../../../../..").join(canary.strip_prefix("/").unwrap()),
    ]
}

#[test]
fn a_mount_point_that_is_a_link_does_not_lead_out() {
    needs!(root, probe);
    for place in ["proc", "dev", "sys", "mnt"] {
        for way in 0..2 {
            let mut bundle = Bundle::probe(&["write", "/mnt/made", "x", "+", "list", "/"]);
            let canary = make_canary(&bundle);
            replace_by_link(&bundle, place, &ways_to(&canary)[way]);
            bundle.set("/root/readonly", json!(false));
            let tmpfs = json!({ "destination": "/mnt", "type": "tmpfs", "source": "tmpfs" });
            bundle.mount(tmpfs);
            let outcome = bundle.run();
            assert_untouched(&canary, &format!("/{place}, way {way}: {outcome:?}"));
        }
    }
}

#[test]
fn a_mount_point_is_not_made_behind_a_link() {
    needs!(root, probe);
    for way in 0..2 {
        for dangling in [false, true] {
            let mut bundle = Bundle::probe(&["list", "/"]);
            let canary = make_canary(&bundle);
            let mut target = ways_to(&canary)[way].clone();
            if dangling {
                target.push("new");
            }
            replace_by_link(&bundle, "mnt", &target);
            bundle.set("/root/readonly", json!(false));
            for destination in ["/mnt/a/b", "/mnt/c"] {
                let mount = json!({
                    "destination": destination, "type": "tmpfs", "source": "tmpfs",
                });
                bundle.mount(mount);
            }
            let file = canary.join("file");
            bundle.mount(json!({ "destination": "/mnt/d", "source": file, "options": ["bind"] }));
            let outcome = bundle.run();
            assert_untouched(&canary, &format!("way {way}, {dangling}: {outcome:?}"));
        }
    }
}

#[test]
fn devices_are_not_made_behind_a_link() {
    needs!(root, probe);
    for way in 0..2 {
        let mut bundle = Bundle::probe(&["list", "/"]);
        let canary = make_canary(&bundle);
        for name in ["ptmx", "console"] {
            let _ = fs::remove_file(canary.join(name));
        }
        replace_by_link(&bundle, "dev", &ways_to(&canary)[way]);
        remove_mounts_below(&mut bundle, "/dev");
        bundle.set("/root/readonly", json!(false));
        let device = json!({ "path": "/dev/sub/made", "type": "c", "major": 1, "minor": 3 });
        bundle.set("/linux/devices/-", device);
        let outcome = bundle.run();
        assert_untouched(&canary, &format!("way {way}: {outcome:?}"));
    }
}

#[test]
fn a_working_directory_is_not_made_behind_a_link() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["list", "/"]);
    let canary = make_canary(&bundle);
    replace_by_link(&bundle, "home", &ways_to(&canary)[1]);
    bundle
        .set("/root/readonly", json!(false))
        .set("/process/cwd", json!("/home/made/here"));
    let outcome = bundle.run();
    assert_untouched(&canary, &format!("{outcome:?}"));
}

#[test]
fn a_mask_is_nothing_that_the_root_could_choose() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["read", "/proc/keys", "+", "write", "/proc/keys", "x"]);
    // What looks like the null device is a file of the root's own, and a link at that.
    remove_mounts_below(&mut bundle, "/dev");
    fs::write(bundle.rootfs().join("secret"), "chosen").unwrap();
    fs::remove_dir_all(bundle.rootfs().join("dev")).unwrap();
    fs::create_dir(bundle.rootfs().join("dev")).unwrap();
    symlink("/secret", bundle.rootfs().join("dev/null")).unwrap();
    bundle.set("/root/readonly", json!(false));
    let outcome = bundle.run();
    if outcome.code == 0 {
        assert_eq!(outcome.answers()[0]["ok"], "", "{outcome:?}");
    }
    assert_eq!(
        fs::read_to_string(bundle.rootfs().join("secret")).unwrap(),
        "chosen"
    );
}

#[test]
fn a_sysctl_is_written_to_the_kernel_and_not_to_a_file_of_the_root() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["list", "/"]);
    let canary = make_canary(&bundle);
    remove_mounts_below(&mut bundle, "/proc");
    fs::create_dir_all(bundle.rootfs().join("proc/sys/net/ipv4")).unwrap();
    symlink(
        canary.join("file"),
        bundle.rootfs().join("proc/sys/net/ipv4/ip_forward"),
    )
    .unwrap();
    bundle.set("/root/readonly", json!(false));
    bundle
        .set("/linux/maskedPaths", json!([]))
        .set("/linux/readonlyPaths", json!([]));
    bundle.set("/linux/sysctl", json!({ "net.ipv4.ip_forward": "1" }));
    let outcome = bundle.run();
    assert_untouched(&canary, &format!("{outcome:?}"));
}

#[test]
fn the_runtimes_executable_cannot_be_written_through_a_container() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    // A copy of its own, which nothing else executes.
    let copy = bundle.dir.join("runtime");
    copy_tree(Path::new(program()), &copy);
    let created = bundle.command_of(copy.as_os_str(), &["create", &bundle.id]);
    bundle.finish(created).succeeded();
    let exe = format!("/proc/{}/exe", bundle.state()["pid"]);
    let held = File::open(&exe).unwrap();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();

    // Nothing executes the file any more, so only the way to it can be what refuses.
    OpenOptions::new().write(true).open(&copy).unwrap();
    let again = format!("/proc/self/fd/{}", held.as_raw_fd());
    let refused = OpenOptions::new().write(true).open(again).unwrap_err();
    let errno = refused.raw_os_error().unwrap();
    assert!([libc::EROFS, libc::EPERM].contains(&errno), "{refused}");
}
