//! A root stacked of layers, as `overlay.json` beside config.json says it. Before Linux 6.7 the layers go to
//! the kernel another way: a guest runs these tests on such a one.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A bundle whose root is busybox with `more` layers of one file each above it: `/N` holds `N`.
fn stacked(script: &str, more: usize) -> Bundle {
    let mut bundle = Bundle::busybox(script);
    bundle.set("/root/readonly", json!(false));
    fs::rename(bundle.rootfs(), bundle.dir.join("base")).unwrap();
    for name in ["rootfs", "upper", "work"] {
        fs::create_dir(bundle.dir.join(name)).unwrap();
    }
    let mut layers = vec![PathBuf::from("base")];
    for number in 0..more {
        let layer = bundle.dir.join(layer_name(number));
        fs::create_dir(&layer).unwrap();
        fs::write(layer.join(number.to_string()), number.to_string()).unwrap();
        fs::write(layer.join("top"), number.to_string()).unwrap();
        layers.push(layer_name(number).into());
    }
    describe(
        &bundle,
        json!({ "layers": layers, "upper": "upper", "work": "work" }),
    );
    bundle
}

/// As long as a digest.
fn layer_name(number: usize) -> String {
    format!("{number:064}")
}

fn describe(bundle: &Bundle, overlay: Value) {
    fs::write(bundle.dir.join("overlay.json"), overlay.to_string()).unwrap();
}

/// Whether the kernel takes one layer after the other, and says what it does not like.
fn is_appended() -> bool {
    bulkhead::sys::linux_version().unwrap() >= (6, 7)
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

#[test]
fn writes_go_to_the_upper_directory_and_the_layers_stay() {
    needs!(root, busybox, overlay);
    let bundle = stacked("cat /top; echo new > /top; rm /bin/vi; cat /top", 2);
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.stdout, "1new\n");
    let read = |path: &str| fs::read_to_string(bundle.dir.join(path)).unwrap();
    assert_eq!(read("upper/top"), "new\n");
    assert_eq!(read(&format!("{}/top", layer_name(1))), "1");
    assert!(fs::symlink_metadata(bundle.dir.join("base/bin/vi")).is_ok());
    assert_eq!(fs::read_dir(bundle.rootfs()).unwrap().count(), 0);
}

#[test]
fn the_host_has_no_mount_of_it_while_it_runs_nor_after_a_kill() {
    needs!(root, busybox, overlay);
    let before = mounts();
    let bundle = stacked("sleep 60", 1);
    let mut run = bundle.run_in_background();
    assert_eq!(mounts(), before);
    run.kill().unwrap();
    run.wait().unwrap();
    bundle.wait_for_status("stopped");
    assert_eq!(mounts(), before);
    bundle.delete().succeeded();
}

#[test]
fn as_many_layers_as_the_kernel_stacks_make_a_root() {
    needs!(root, busybox, overlay);
    let mut bundle = stacked("cat /0 /250 /498 /top", 499);
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.stdout, "0250498498");
    bundle.set("/root/readonly", json!(true));
    bundle.args(&["/bin/touch", "/x"]);
    bundle.run().failed_with("Read-only file system");
}

#[test]
fn without_an_upper_directory_the_root_is_read_only() {
    needs!(root, busybox, overlay);
    let bundle = stacked("mkdir /x", 0);
    for name in ["dev", "proc", "sys"] {
        fs::create_dir_all(bundle.dir.join("base").join(name)).unwrap();
    }
    describe(&bundle, json!({ "layers": ["base"] }));
    // Linux stacks a single layer with an upper directory only (ovl_get_lowerstack).
    bundle
        .run()
        .failed_with("attach a read-only overlay of 1 layer");
    let more = bundle.dir.join("more");
    fs::create_dir(&more).unwrap();
    describe(&bundle, json!({ "layers": ["base", more] }));
    bundle.run().failed_with("Read-only file system");
}

#[test]
fn a_layer_that_is_not_there_is_named() {
    needs!(root, busybox, overlay);
    let bundle = stacked("true", 1);
    let overlay = json!({ "layers": ["base", "gone"], "upper": "upper", "work": "work" });
    describe(&bundle, overlay);
    let gone = bundle.dir.join("gone");
    let told = format!("open {}: no such file or directory", gone.display());
    bundle.run().failed_with(&told);
}

#[test]
fn the_kernels_own_line_is_told() {
    needs!(root, busybox, overlay);
    let bundle = stacked("true", 1);
    // The jail shows all of the host read-only.
    let overlay = json!({ "layers": ["base"], "upper": "/usr", "work": "work" });
    describe(&bundle, overlay);
    let outcome = bundle.run();
    if is_appended() {
        assert!(
            outcome.stderr.contains("overlay: filesystem on /proc/"),
            "{outcome:?}"
        );
        outcome.failed_with("is read-only");
    } else {
        outcome.failed_with("make the filesystem: ");
    }
}

#[test]
fn a_process_that_joins_is_in_the_same_root() {
    needs!(root, busybox, overlay);
    let bundle = stacked("echo here > /mark; sleep 60", 1);
    let mut run = bundle.run_in_background();
    let seen = [
        "exec",
        &bundle.id,
        "/bin/sh",
        "-c",
        "until cat /mark; do :; done 2>/dev/null",
    ];
    assert_eq!(bundle.call(&seen).succeeded().stdout, "here\n");
    let home = ["exec", &bundle.id, "/bin/sh", "-c", "echo $HOME"];
    assert_eq!(bundle.call(&home).succeeded().stdout, "/root\n");
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    run.wait().unwrap();
}

#[test]
fn a_user_stacks_layers_in_a_user_namespace() {
    needs!(root, busybox, overlay);
    let mut bundle = stacked("rm /top; echo new > /0; cat /0; ls /", 1);
    bundle.remove("/linux/resources");
    bundle.set("/linux/namespaces/-", json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 65534, "size": 1 }]);
    bundle
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map);
    // A group that is not mapped cannot own a terminal.
    bundle.set("/mounts", json!([]));
    let layers = ["base".to_owned(), layer_name(0)];
    let overlay = json!({ "layers": layers, "upper": "upper", "work": "work", "userxattr": true });
    describe(&bundle, overlay);
    let outcome = bundle.call_as(65534, &["run", &bundle.id]).succeeded();
    assert!(outcome.stdout.starts_with("new\n"), "{outcome:?}");
    assert!(!outcome.stdout.contains("top"), "{outcome:?}");
}
