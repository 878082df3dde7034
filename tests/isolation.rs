//! What a container sees of the machine, and what it cannot change.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, OUTSIDE, mount_at, needs};
use nix::libc;
use serde_json::{Value, json};
use std::fs;

#[track_caller]
fn report() -> Value {
    Bundle::probe(&[]).run().succeeded().answer()
}

fn has(list: &Value, word: &str) -> bool {
    list.as_array().unwrap().iter().any(|item| item == word)
}

fn own_namespace(kind: &str) -> u64 {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    link.to_str()
        .unwrap()
        .split(['[', ']'])
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn the_namespaces_named_are_new_and_the_others_are_the_hosts() {
    needs!(root, probe);
    let report = report();
    for kind in ["pid", "net", "ipc", "uts", "mnt"] {
        assert_ne!(report["namespaces"][kind], own_namespace(kind), "{kind}");
    }
    for kind in ["user", "cgroup", "time"] {
        assert_eq!(report["namespaces"][kind], own_namespace(kind), "{kind}");
    }
}

#[test]
fn a_cgroup_namespace_hides_the_path_of_the_group() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/linux/namespaces/-", json!({ "type": "cgroup" }));
    let report = bundle.run().succeeded().answer();
    for line in report["cgroup"].as_array().unwrap() {
        assert!(line.as_str().unwrap().ends_with(":/"), "{line}");
    }
}

#[test]
fn a_namespace_is_joined_by_its_path() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    for (at, kind) in [(1, "net"), (2, "ipc"), (3, "uts")] {
        let path = format!("/proc/self/ns/{kind}");
        // /proc/self is the runtime's own: the same namespace as this test's.
        bundle.set(&format!("/linux/namespaces/{at}/path"), json!(path));
    }
    bundle.remove("/hostname");
    let report = bundle.run().succeeded().answer();
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(report["namespaces"][kind], own_namespace(kind), "{kind}");
    }
}

#[test]
fn the_root_is_the_bundles_and_nothing_of_the_hosts() {
    needs!(root, probe);
    let report = report();
    let entries = report["root"].as_array().unwrap();
    assert!(entries.contains(&json!("probe")));
    assert!(!entries.contains(&json!("var.host")), "{entries:?}");
    // The only mounts are those of the configuration.
    for mount in report["mounts"].as_array().unwrap() {
        let target = mount["target"].as_str().unwrap();
        let known = ["/proc", "/dev", "/sys"]
            .iter()
            .any(|top| target.starts_with(top));
        assert!(target == "/" || known, "{mount}");
    }
}

#[test]
fn a_read_only_root_refuses_a_write() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["write", "/home/file", "text"]);
    assert_eq!(bundle.run().succeeded().answer()["errno"], libc::EROFS);
    assert!(!bundle.rootfs().join("home/file").exists());

    bundle.set("/root/readonly", json!(false));
    assert_eq!(bundle.run().succeeded().answer()["ok"], 4);
    assert!(bundle.rootfs().join("home/file").exists());
}

#[test]
fn a_read_only_root_cannot_be_remounted_without_the_capability() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["remount-writable", "/"]);
    assert_eq!(bundle.run().succeeded().answer()["errno"], libc::EPERM);
}

#[test]
fn mounts_have_the_type_and_the_options_of_the_configuration() {
    needs!(root, probe);
    let report = report();
    let cases: [(&str, &str, &[&str]); 6] = [
        ("/proc", "proc", &[]),
        ("/dev", "tmpfs", &["nosuid"]),
        ("/dev/pts", "devpts", &["nosuid", "noexec"]),
        ("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev"]),
        ("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    for (target, kind, options) in cases {
        let mount = mount_at(&report, target).unwrap();
        assert_eq!(mount["type"], kind, "{target}");
        for option in options {
            assert!(has(&mount["options"], option), "{option}: {mount}");
        }
    }
    let dev = mount_at(&report, "/dev").unwrap();
    assert!(
        has(&dev["data"], "size=65536k") && has(&dev["data"], "mode=755"),
        "{dev}"
    );
}

#[test]
fn a_bind_mount_shows_the_hosts_folder_and_keeps_its_options() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["read", "/mnt/file", "+", "write", "/mnt/file", "changed"]);
    let shared = bundle.dir.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "of the host").unwrap();
    let mount = |options: &[&str]| json!({ "destination": "/mnt", "type": "none", "source": shared, "options": options });
    bundle.mount(mount(&["rbind", "ro"]));
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["ok"], "of the host");
    assert_eq!(answers[1]["errno"], libc::EROFS);

    let last = bundle.config["mounts"].as_array().unwrap().len() - 1;
    bundle.set(&format!("/mounts/{last}"), mount(&["rbind", "rw"]));
    assert_eq!(bundle.run().succeeded().answers()[1]["ok"], 7);
    assert_eq!(fs::read_to_string(shared.join("file")).unwrap(), "changed");
}

#[test]
fn a_missing_mount_point_is_made_also_for_a_file() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["read", "/a/b/file"]);
    let file = bundle.dir.join("file");
    fs::write(&file, "text").unwrap();
    let mount = json!({ "destination": "/a/b/file", "source": file, "options": ["bind"] });
    bundle.mount(mount).set("/root/readonly", json!(false));
    assert_eq!(bundle.run().succeeded().answer()["ok"], "text");
}

#[test]
fn a_mount_made_inside_is_not_seen_outside() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["mount", "tmpfs", "/mnt", "tmpfs", "+", "sleep", "60"]);
    for set in ["bounding", "permitted", "effective"] {
        bundle.set(
            &format!("/process/capabilities/{set}/-"),
            json!("CAP_SYS_ADMIN"),
        );
    }
    let mut run = bundle.run_in_background();
    while bundle.background_output().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(
        bundle.background_output().contains(r#""ok":0"#),
        "{}",
        bundle.background_output()
    );
    let outside = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!outside.contains(bundle.dir.to_str().unwrap()), "{outside}");
    bundle.kill("KILL").succeeded();
    run.wait().unwrap();
}

#[test]
fn masked_files_read_empty_and_masked_folders_hold_nothing() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["read", "/proc/keys", "+", "list", "/sys/firmware"]);
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["ok"], "");
    assert_eq!(answers[1]["ok"], json!([]));
}

#[test]
fn read_only_paths_refuse_a_write_also_by_root() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["write", "/proc/sys/kernel/domainname", "x"]);
    assert_eq!(bundle.run().succeeded().answer()["errno"], libc::EROFS);
    let mut bundle = Bundle::probe(&["write", "/home/file", "x"]);
    bundle
        .set("/root/readonly", json!(false))
        .set("/linux/readonlyPaths/-", json!("/home"));
    assert_eq!(bundle.run().succeeded().answer()["errno"], libc::EROFS);
}

#[test]
fn the_default_devices_are_there_with_their_numbers_and_modes() {
    needs!(root, probe);
    let report = report();
    let cases = [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ];
    for (name, major, minor) in cases {
        let node = &report["dev"][format!("/dev/{name}")];
        assert_eq!(node["type"], "char", "{name}");
        assert_eq!(
            (&node["major"], &node["minor"]),
            (&json!(major), &json!(minor)),
            "{name}"
        );
        assert_eq!(
            (&node["mode"], &node["uid"]),
            (&json!("0666"), &json!(0)),
            "{name}"
        );
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
    for (name, target) in links {
        assert_eq!(
            report["dev"][format!("/dev/{name}")]["link"],
            target,
            "{name}"
        );
    }
}

#[test]
fn a_device_of_the_configuration_is_made_with_mode_and_owner() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["stat", "/dev/made/here"]);
    let device = json!({
        "path": "/dev/made/here", "type": "c", "major": 1, "minor": 3,
        "fileMode": 0o640, "uid": 7, "gid": 8,
    });
    bundle.set("/linux/devices/-", device);
    let node = &bundle.run().succeeded().answer()["ok"];
    assert_eq!(
        (&node["type"], &node["mode"]),
        (&json!("char"), &json!("0640")),
        "{node}"
    );
    assert_eq!(
        (&node["uid"], &node["gid"]),
        (&json!(7), &json!(8)),
        "{node}"
    );
}

#[test]
fn a_sysctl_of_a_namespace_is_set_inside_only() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sysctl", "net.ipv4.ip_forward", "kernel.msgmax"]);
    bundle.set(
        "/linux/sysctl",
        json!({ "net.ipv4.ip_forward": "1", "kernel.msgmax": "4242" }),
    );
    let values = &bundle.run().succeeded().answer()["ok"];
    assert_eq!(values["net.ipv4.ip_forward"], "1");
    assert_eq!(values["kernel.msgmax"], "4242");
    assert_ne!(
        fs::read_to_string("/proc/sys/kernel/msgmax")
            .unwrap()
            .trim(),
        "4242"
    );
}

#[test]
fn a_sysctl_of_the_host_is_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/linux/sysctl", json!({ "kernel.panic": "0" }));
    bundle.run().failed_with("kernel.panic");
}

#[test]
fn the_network_has_only_a_loopback_that_is_up() {
    needs!(root, probe);
    let act = [
        "list",
        "/sys/class/net",
        "+",
        "read",
        "/sys/class/net/lo/flags",
    ];
    for users in [None, Some(OUTSIDE)] {
        let mut bundle = Bundle::probe(&act);
        if let Some(first) = users {
            bundle.map_users(first, 65536);
        }
        let answers = bundle.run().succeeded().answers();
        assert_eq!(answers[0]["ok"], json!(["lo"]));
        let flags = format!("{:#x}\n", libc::IFF_UP | libc::IFF_LOOPBACK);
        assert_eq!(answers[1]["ok"], flags.as_str());
    }
}

#[test]
fn what_the_default_capabilities_do_not_allow_is_refused() {
    needs!(root, probe);
    let cases: [&[&str]; 5] = [
        &["mount", "tmpfs", "/mnt", "tmpfs"],
        &["unshare", "mount"],
        &["mknod", "/dev/disk", "b", "7", "0"],
        &["syscall", "sethostname", "0", "0"],
        &["chown", "/dev/null", "7"],
    ];
    for act in cases {
        let answer = Bundle::probe(act).run().succeeded().answer();
        assert_eq!(answer["errno"], libc::EPERM, "{answer}");
    }
}

#[test]
fn no_executable_within_reach_can_be_written() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["open-exe"]);
    bundle.set("/root/readonly", json!(false));
    for tried in bundle.run().succeeded().answer()["ok"].as_array().unwrap() {
        assert_eq!(tried["writable"], false, "{tried}");
        assert_eq!(
            tried["target"], "/probe",
            "only the container's own: {tried}"
        );
    }
}
