//! Links in the image that lead out of it, in the place of whatever the runtime opens or makes.

use super::harness::{Bundle, needs};
use super::{Canary, bind, tmpfs};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

/// Runs `prepare` and a container for each way out, and makes sure that it led nowhere.
fn try_each(name: &str, attack: impl Fn(&mut Bundle, &Canary, &str)) {
    let ways = {
        let bundle = Bundle::probe(&[]);
        Canary::new(&bundle).ways().len()
    };
    for way in 0..ways {
        let mut bundle = Bundle::probe(&[]);
        let canary = Canary::new(&bundle);
        let text = canary.ways().remove(way);
        attack(&mut bundle, &canary, &text);
        canary.is_untouched(&format!("{name} -> {text}"));
    }
}

fn replace(bundle: &Bundle, name: &str, text: &str) {
    let place = bundle.rootfs().join(name);
    if place.is_dir() {
        fs::remove_dir_all(&place).unwrap();
    }
    symlink(text, place).unwrap();
}

// CVE-2023-27561, CVE-2019-19921.
#[test]
fn a_link_in_the_place_of_proc_or_sys_is_refused() {
    needs!(root, probe);
    for name in ["proc", "sys"] {
        try_each(name, |bundle, _, text| {
            replace(bundle, name, text);
            let kind = if name == "proc" { "proc" } else { "sysfs" };
            let error = format!("mount {kind} at /{name}");
            let outcome = bundle.run().failed_with(&error);
            assert!(
                outcome.stderr.contains("too many symbolic links"),
                "{}",
                outcome.stderr
            );
        });
    }
}

// CVE-2026-41579, CVE-2026-47766: everything below /dev is made, ptmx is replaced.
#[test]
fn a_link_in_the_place_of_dev_makes_nothing_outside() {
    needs!(root, probe);
    for mounted in [true, false] {
        try_each("dev", |bundle, _, text| {
            replace(bundle, "dev", text);
            if !mounted {
                let mounts = bundle.config["mounts"].as_array().unwrap().clone();
                let dev = |mount: &&serde_json::Value| {
                    !mount["destination"].as_str().unwrap().starts_with("/dev")
                };
                bundle.set("/mounts", mounts.iter().filter(dev).cloned().collect());
            }
            bundle.set(
                "/linux/devices/-",
                json!({ "path": "/dev/sub/made", "type": "p" }),
            );
            bundle.run();
        });
    }
}

// CVE-2024-45310 and the like.
#[test]
fn a_link_in_the_place_of_a_mount_target_makes_nothing_outside() {
    needs!(root, probe);
    try_each("target", |bundle, canary, text| {
        replace(bundle, "target", text);
        for ending in ["/new", "/file", "/new-file"] {
            let (name, text) = (
                format!("to{}", ending.replace('/', "-")),
                format!("{text}{ending}"),
            );
            replace(bundle, &name, &text);
        }
        let file = canary.path("file");
        for mount in [
            tmpfs("/target", &[]),
            tmpfs("/target/new/dir", &[]),
            tmpfs("/to-new", &[]),
            tmpfs("/to-new/dir/below", &[]),
            bind(&file, "/target/new-file"),
            bind(&file, "/to-file"),
            bind(&file, "/to-new-file"),
            tmpfs("/target/sub", &["tmpcopyup"]),
        ] {
            let last = bundle.config["mounts"].as_array().unwrap().len();
            bundle.mount(mount);
            bundle.run();
            canary.is_untouched(&format!("{} -> {text}", bundle.config["mounts"][last]));
            bundle.remove(&format!("/mounts/{last}"));
        }
    });
}

#[test]
fn a_link_in_the_place_of_a_working_directory_makes_nothing_outside() {
    needs!(root, probe);
    try_each("work", |bundle, _, text| {
        replace(bundle, "work", text);
        bundle
            .set("/process/cwd", json!("/work/new/dir"))
            .set("/root/readonly", json!(false));
        bundle.run();
    });
}

// CVE-2024-9676: the home directory is looked up in the image.
#[test]
fn a_passwd_that_is_a_fifo_or_leads_out_is_not_read() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let passwd = bundle.rootfs().join("etc/passwd");
    fs::remove_file(&passwd).unwrap();
    nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let home = |bundle: &Bundle| {
        let report = bundle.run().succeeded().answer();
        report["env"].as_array().unwrap().last().unwrap().clone()
    };
    assert_eq!(home(&bundle), "HOME=/");

    fs::remove_file(&passwd).unwrap();
    let outside = bundle.dir.join("passwd");
    fs::write(&outside, "root:x:0:0:root:/leaked:/bin/sh\n").unwrap();
    for text in [outside.to_str().unwrap(), "../../passwd"] {
        symlink(text, &passwd).unwrap();
        assert_eq!(home(&bundle), "HOME=/", "{text}");
        fs::remove_file(&passwd).unwrap();
    }
}

// CVE-2025-31133, CVE-2025-62161: the container's /dev/null is what its image or volume says.
#[test]
fn a_mask_is_the_null_device_whatever_the_container_has_in_its_place() {
    needs!(root, probe);
    let fakes: [fn(&Canary, &std::path::Path); 2] = [
        |canary, at| symlink(canary.path("file"), at).unwrap(),
        |_, at| fs::write(at, "of the image").unwrap(),
    ];
    for fake in fakes {
        let mut bundle = Bundle::probe(&[
            "read",
            "/etc/passwd",
            "+",
            "stat",
            "/etc/passwd",
            "+",
            "stat",
            "/etc/group",
        ]);
        let canary = Canary::new(&bundle);
        let dev = bundle.dir.join("dev");
        fs::create_dir(&dev).unwrap();
        fake(&canary, &dev.join("null"));
        let dev =
            json!({ "destination": "/dev", "type": "bind", "source": dev, "options": ["rbind"] });
        let proc = bundle.config["mounts"][0].clone();
        bundle
            .set("/mounts", json!([proc, dev]))
            .set("/linux/maskedPaths", json!(["/etc/passwd", "/etc/group"]));
        let answers = bundle.run().succeeded().answers();
        assert_eq!(answers[0]["ok"], "");
        for answer in &answers[1..] {
            let node = &answer["ok"];
            let found = (&node["type"], &node["major"], &node["minor"]);
            assert_eq!(found, (&json!("char"), &json!(1), &json!(3)), "{answer}");
        }
        canary.is_untouched("a mask");
    }
}

#[test]
fn an_image_with_another_file_for_dev_null_is_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    let canary = Canary::new(&bundle);
    bundle.set("/mounts", json!([]));
    symlink(canary.path("file"), bundle.rootfs().join("dev/null")).unwrap();
    bundle.run().failed_with(
        "make the character device /dev/null (1:3, 0666): another file is in its place",
    );
    canary.is_untouched("/dev/null");
}
