//! New namespaces, shared ones, and those that are there already.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod clocks;

use harness::{Bundle, OUTSIDE, needs};
use nix::libc;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The word of config.json and the name in /proc/PID/ns.
const KINDS: [(&str, &str); 8] = [
    ("user", "user"),
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

fn inode(process: &str, name: &str) -> u64 {
    let found = fs::metadata(format!("/proc/{process}/ns/{name}"));
    found.unwrap().ino()
}

/// Lists exactly these namespaces; those with a path are joined.
fn list(bundle: &mut Bundle, namespaces: &[(&str, Option<String>)]) {
    let list = namespaces.iter().map(|(kind, path)| match path {
        Some(path) => json!({ "type": kind, "path": path }),
        None => json!({ "type": kind }),
    });
    bundle.set("/linux/namespaces", list.collect());
    let has = |kind| {
        namespaces
            .iter()
            .any(|(k, path)| *k == kind && path.is_none())
    };
    if !has("uts") {
        bundle.remove("/hostname");
    }
    if has("user") {
        bundle.map_users(OUTSIDE, 65536);
    }
}

fn with_user_namespace(act: &[&str]) -> Bundle {
    let mut bundle = Bundle::probe(act);
    list(&mut bundle, &KINDS.map(|(kind, _)| (kind, None)));
    bundle
}

#[test]
fn every_kind_of_namespace_is_new_where_it_is_listed() {
    needs!(root, probe);
    let report = with_user_namespace(&[]).run().succeeded().answer();
    for (kind, name) in KINDS {
        let found = report["namespaces"][name].as_u64().unwrap();
        assert_ne!(found, inode("self", name), "{kind}");
    }
}

#[test]
fn every_kind_but_mount_is_the_hosts_where_it_is_not_listed() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    list(&mut bundle, &[("mount", None)]);
    let report = bundle.run().succeeded().answer();
    for (kind, name) in KINDS {
        let found = report["namespaces"][name].as_u64().unwrap();
        assert_eq!(found == inode("self", name), kind != "mount", "{kind}");
    }
}

#[test]
fn each_kind_is_joined_by_its_path() {
    needs!(root, probe);
    let mut other = Bundle::probe(&["sleep", "60"]);
    let new: Vec<_> = KINDS[1..].iter().map(|(kind, _)| (*kind, None)).collect();
    list(&mut other, &new);
    other.create().succeeded();
    let pid = other.state()["pid"].to_string();
    for (kind, name) in &KINDS[1..] {
        // The other's /proc, in its mount namespace, shows only who is in its pid namespace.
        let joined = |k: &str, n: &str| n == *name || (*kind == "mount" && k == "pid");
        let wanted = KINDS[1..].iter().map(|(k, n)| {
            let path = joined(k, n).then(|| format!("/proc/{pid}/ns/{n}"));
            (*k, path)
        });
        let mut bundle = Bundle::probe(&[]);
        list(&mut bundle, &wanted.collect::<Vec<_>>());
        let report = bundle.run().succeeded().answer();
        for (k, n) in &KINDS[1..] {
            let found = report["namespaces"][n].as_u64().unwrap();
            assert_eq!(found == inode(&pid, n), joined(k, n), "{kind}: {k}");
        }
    }
}

#[test]
fn the_runtimes_own_mount_namespace_is_not_joined() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    list(&mut bundle, &[("mount", Some("/proc/self/ns/mnt".into()))]);
    let text = "the mount namespace to join is the runtime's own";
    bundle.run().failed_with(text);
}

#[test]
fn a_new_user_namespace_goes_with_a_network_of_the_hosts() {
    needs!(root, probe);
    let other = Bundle::probe(&["sleep", "60"]);
    other.create().succeeded();
    let pid = other.state()["pid"].to_string();
    let mut bundle = Bundle::probe(&[]);
    let wanted = KINDS.map(|(kind, name)| {
        let path = format!("/proc/{pid}/ns/{name}");
        (kind, (name == "net").then_some(path))
    });
    list(&mut bundle, &wanted);
    // Only who owns the network may mount a sysfs that shows it.
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
    let own = inode("self", "net");
    let report = bundle.run().succeeded().answer();
    let found = report["namespaces"]["net"].as_u64().unwrap();
    assert_eq!(found, inode(&pid, "net"));
    assert_eq!(inode("self", "net"), own);
}

#[test]
fn a_container_joins_all_namespaces_of_another_with_its_user_namespace() {
    needs!(root, probe);
    let other = with_user_namespace(&["sleep", "60"]);
    other.create().succeeded();
    let pid = other.state()["pid"].to_string();
    let path = |name: &str| Some(format!("/proc/{pid}/ns/{name}"));
    let mut bundle = Bundle::probe(&[]);
    list(&mut bundle, &KINDS.map(|(kind, name)| (kind, path(name))));
    bundle.set("/process/oomScoreAdj", json!(432));
    let report = bundle.run().succeeded().answer();
    for (kind, name) in KINDS {
        let found = report["namespaces"][name].as_u64().unwrap();
        assert_eq!(found, inode(&pid, name), "{kind}");
    }
    assert_eq!(report["oom_score_adj"], 432);
}

#[test]
fn in_a_joined_user_namespace_the_other_namespaces_are_new() {
    needs!(root, probe);
    let other = with_user_namespace(&["sleep", "60"]);
    other.create().succeeded();
    let pid = other.state()["pid"].to_string();
    let mut bundle = with_user_namespace(&[]);
    let joined = ["user", "pid"];
    let wanted = KINDS.map(|(kind, name)| {
        let path = joined
            .contains(&kind)
            .then(|| format!("/proc/{pid}/ns/{name}"));
        (kind, path)
    });
    list(&mut bundle, &wanted);
    let report = bundle.run().succeeded().answer();
    for (kind, name) in KINDS {
        let same = report["namespaces"][name].as_u64().unwrap() == inode(&pid, name);
        assert_eq!(same, joined.contains(&kind), "{kind}");
    }
}

#[test]
fn in_a_joined_user_namespace_all_the_others_may_be_new() {
    needs!(root, probe);
    let other = with_user_namespace(&["sleep", "60"]);
    other.create().succeeded();
    let pid = other.state()["pid"].to_string();
    let path = format!("/proc/{pid}/ns/user");
    let mut bundle = with_user_namespace(&[]);
    let wanted = KINDS.map(|(kind, _)| (kind, (kind == "user").then(|| path.clone())));
    list(&mut bundle, &wanted);
    let report = bundle.run().succeeded().answer();
    for (kind, name) in KINDS {
        let found = report["namespaces"][name].as_u64().unwrap();
        assert_eq!(found == inode(&pid, name), kind == "user", "{kind}");
        assert_ne!(found, inode("self", name), "{kind}");
    }
    assert_eq!(report["pid"], 1);

    // The process is the caller's own child as ever: its exit code comes back, detached or not.
    bundle.args(&["/probe", "exit", "7"]);
    assert_eq!(bundle.run().code, 7);
    bundle.args(&["/probe", "sleep", "60"]);
    bundle.call(&["run", "-d", &bundle.id]).succeeded();
    let parent = |pid: &Value| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("PPid:"));
        line.unwrap().trim().to_owned()
    };
    let state = bundle.state();
    let monitor = fs::read_to_string(format!("/proc/{}/cmdline", parent(&state["pid"])));
    assert!(monitor.unwrap().contains("run"), "{state}");
    bundle.kill("KILL").succeeded();
    bundle.wait_for_status("stopped");
    let told = bundle.call(&["wait", &bundle.id]).succeeded();
    assert_eq!(told.stdout, "137\n");
}

#[test]
fn a_path_that_is_no_namespace_of_the_kind_is_named() {
    needs!(root, probe);
    for (kind, name) in KINDS {
        let wrong = if kind == "uts" {
            "/proc/self/ns/ipc"
        } else {
            "/proc/self/ns/uts"
        };
        let missing = format!("/proc/self/ns/{name}-not");
        for path in [wrong, "/etc/passwd", "/dev/null", "/", &missing] {
            let mut bundle = Bundle::probe(&[]);
            let mut wanted = vec![(kind, Some(path.to_owned()))];
            if kind != "mount" {
                wanted.push(("mount", None));
            }
            list(&mut bundle, &wanted);
            let outcome = bundle.run().failed_with(path).failed_with(kind);
            assert_eq!(outcome.stdout, "", "{kind} {path}");
        }
    }
}

#[test]
fn root_of_a_user_namespace_is_a_user_without_rights_outside() {
    needs!(root, probe);
    let bundle = with_user_namespace(&["sleep", "60"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    let pid = bundle.state()["pid"].to_string();
    let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    for file in ["uid_map", "gid_map"] {
        let words: Vec<String> = read(file).split_whitespace().map(String::from).collect();
        assert_eq!(words, ["0", "100000", "65536"], "{file}");
    }
    let status = read("status");
    for line in [
        "Uid:\t100000\t100000\t100000\t100000",
        "Gid:\t100000\t100000\t100000\t100000",
    ] {
        assert!(status.contains(line), "{status}");
    }
}

#[test]
fn a_user_of_a_user_namespace_is_the_mapped_one_outside() {
    needs!(root, probe);
    let mut bundle = with_user_namespace(&[
        "write",
        "/tmp/file",
        "text",
        "+",
        "stat",
        "/tmp/file",
        "+",
        "report",
    ]);
    bundle.set("/root/readonly", json!(false)).set(
        "/process/user",
        json!({ "uid": 1000, "gid": 1001, "additionalGids": [2000] }),
    );
    let answers = bundle.run().succeeded().answers();
    assert_eq!(
        (&answers[1]["ok"]["uid"], &answers[1]["ok"]["gid"]),
        (&json!(1000), &json!(1001))
    );
    assert_eq!(answers[2]["ok"]["groups"], json!([2000]));
    let made = fs::metadata(bundle.rootfs().join("tmp/file")).unwrap();
    assert_eq!((made.uid(), made.gid()), (OUTSIDE + 1000, OUTSIDE + 1001));
}

#[test]
fn capabilities_in_a_user_namespace_are_those_asked_for_and_reach_nothing_outside() {
    needs!(root, probe);
    let mut bundle = with_user_namespace(&[
        "report",
        "+",
        "mknod",
        "/dev/disk",
        "b",
        "7",
        "0",
        "+",
        "syscall",
        "clock_settime",
        "0",
        "0",
        "+",
        "write",
        "/proc/sys/kernel/panic",
        "1",
        "+",
        "mount",
        "tmpfs",
        "/mnt",
        "tmpfs",
        "+",
        "write",
        "/proc/1/oom_score_adj",
        "-999",
    ]);
    let all = json!([
        "CAP_SYS_ADMIN",
        "CAP_SYS_RESOURCE",
        "CAP_SYS_TIME",
        "CAP_MKNOD",
        "CAP_DAC_OVERRIDE"
    ]);
    for set in ["bounding", "permitted", "effective"] {
        bundle.set(&format!("/process/capabilities/{set}"), all.clone());
    }
    bundle.set("/linux/readonlyPaths", json!([]));
    let answers = bundle.run().succeeded().answers();
    // CAP_SYS_RESOURCE too: the runtime lacks it outside, and it means something else in here.
    let held = answers[0]["ok"]["capabilities"]["effective"]
        .as_array()
        .unwrap();
    assert_eq!(held.len(), 5, "{held:?}");
    assert_eq!(answers[1]["errno"], libc::EPERM, "{}", answers[1]);
    assert!(answers[2]["errno"].is_number(), "{}", answers[2]);
    assert!(answers[3]["errno"].is_number(), "{}", answers[3]);
    assert_eq!(answers[4]["ok"], 0, "{}", answers[4]);
    assert_eq!(answers[5]["errno"], libc::EACCES, "{}", answers[5]);
}

#[test]
fn the_oom_score_adjustment_is_set_in_a_user_namespace() {
    needs!(root, probe);
    let mut bundle = with_user_namespace(&[]);
    bundle.set("/process/oomScoreAdj", json!(321));
    assert_eq!(bundle.run().succeeded().answer()["oom_score_adj"], 321);
}

#[test]
fn the_program_is_the_first_of_its_pid_namespace_and_sees_no_other() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("echo $$; cd /proc; echo [0-9]*");
    assert_eq!(bundle.run().succeeded().stdout, "1\n1\n");
}

#[test]
fn the_root_of_a_cgroup_namespace_is_the_containers_group() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.set("/linux/namespaces/-", json!({ "type": "cgroup" }));
    bundle.create().succeeded();
    bundle.start().succeeded();
    let pid = bundle.state()["pid"].to_string();
    // nsenter(1) into the cgroup namespace alone: it stays in its own groups, which lie outside.
    let seen = std::process::Command::new("nsenter")
        .args([
            "--target",
            &pid,
            "--cgroup",
            "cat",
            &format!("/proc/{pid}/cgroup"),
        ])
        .output()
        .unwrap();
    let seen = String::from_utf8(seen.stdout).unwrap();
    let ours = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mut compared = 0;
    for (inside, outside) in seen.lines().zip(ours.lines()) {
        assert!(inside.ends_with(":/"), "{inside}");
        compared += usize::from(outside.contains(&bundle.id));
    }
    assert!(compared > 0, "{ours}");
}

#[test]
fn a_kind_that_is_listed_twice_is_refused() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/linux/namespaces/-", json!({ "type": "uts" }));
    let outcome = bundle.run().failed_with("uts is listed twice");
    assert_eq!(outcome.answers(), Vec::<Value>::new());
}
