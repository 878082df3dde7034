//! Groups from their making to their end: who owns them, and that nothing keeps them alive.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Bundle, needs};
use serde_json::json;

/// A container of user 1000 that sees its groups, in a cgroup namespace of its own.
fn of_user_1000(script: &str, options: &[&str]) -> Bundle {
    let mut bundle = Bundle::busybox(script);
    let groups = json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options,
    });
    bundle
        .mount(groups)
        .set("/linux/namespaces/-", json!({ "type": "cgroup" }))
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    bundle
}

const WRITABLE: &[&str] = &["nosuid", "noexec", "nodev"];

#[test]
fn the_user_of_the_process_divides_his_group_and_lifts_no_limit() {
    needs!(root, cgroup2, busybox);
    let script = "cd /sys/fs/cgroup; mkdir below && echo 0 >below/cgroup.procs && cat /proc/self/cgroup
        for f in pids.max memory.max cgroup.freeze; do (echo 1 >$f) 2>/dev/null && echo wrote $f; done; true";
    let mut bundle = of_user_1000(script, WRITABLE);
    bundle.set("/linux/resources/pids", json!({ "limit": 20 }));
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.stdout, "0::/below\n", "{outcome:?}");
}

#[test]
fn the_owner_of_a_group_owns_what_the_kernel_lists_and_no_more() {
    needs!(root, cgroup2, busybox);
    let bundle = of_user_1000("exec sleep 60", WRITABLE);
    bundle.create().succeeded();
    let group = bundle.group("");
    let listed = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap();
    assert!(listed.contains("cgroup.procs"), "{listed}");
    assert_eq!(fs::metadata(&group).unwrap().uid(), 1000);
    for file in fs::read_dir(&group).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        let owner = if listed.lines().any(|line| line == name) {
            1000
        } else {
            0
        };
        assert_eq!(file.metadata().unwrap().uid(), owner, "{name}");
    }
}

#[test]
fn a_group_that_is_shown_read_only_stays_with_root() {
    needs!(root, cgroup2, busybox);
    let bundle = of_user_1000("exec sleep 60", &["nosuid", "noexec", "nodev", "ro"]);
    bundle.create().succeeded();
    assert_eq!(fs::metadata(bundle.group("")).unwrap().uid(), 0);
}

fn storm() -> Bundle {
    let mut bundle = Bundle::probe(&["fork-storm", "300", "4"]);
    bundle.set("/linux/resources/pids", json!({ "limit": 400 }));
    bundle
}

/// What is left is found when the bundle is dropped.
#[track_caller]
fn deleted_in_time(bundle: &Bundle) {
    let mut running = bundle.run_in_background();
    let members = || {
        std::thread::sleep(Duration::from_millis(200));
        fs::read_to_string(bundle.group("pids").join("cgroup.procs")).unwrap()
    };
    let (some, others) = (members(), members());
    assert!(some.lines().count() > 300 && some != others, "no storm");
    let begun = Instant::now();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    let took = begun.elapsed();
    running.wait().unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_container_that_forks_all_the_time_is_deleted() {
    needs!(root, probe);
    deleted_in_time(&storm());
}

/// Nobody but the group knows them all: the end of the first process is not the end of the others.
#[test]
fn a_container_that_forks_all_the_time_among_the_hosts_processes_is_deleted() {
    needs!(root, probe);
    let mut bundle = storm();
    let namespaces = bundle.config["linux"]["namespaces"].as_array().unwrap();
    let private = |kind: &serde_json::Value| kind["type"] == "pid";
    let at = namespaces.iter().position(private).unwrap();
    bundle.remove(&format!("/linux/namespaces/{at}"));
    deleted_in_time(&bundle);
}

/// Runs a command for each of these containers, all at the same time.
fn at_once(bundle: &Bundle, ids: &[String], command: &[&str]) {
    // Each writes config.json, so that they are all there before one of them reads it.
    let commands = ids
        .iter()
        .map(|id| bundle.command(&[command, &[id]].concat()));
    let commands: Vec<Command> = commands.collect();
    let begin = |mut command: Command| command.stdout(Stdio::null()).spawn().unwrap();
    let children: Vec<Child> = commands.into_iter().map(begin).collect();
    for (id, mut child) in ids.iter().zip(children) {
        assert!(child.wait().unwrap().success(), "{command:?} {id}");
    }
}

#[test]
fn two_hundred_containers_at_once_leave_nothing() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.set("/linux/resources/pids", json!({ "limit": 20 }));
    let ids: Vec<String> = (0..200).map(|n| format!("{}-{n}", bundle.id)).collect();
    at_once(&bundle, &ids, &["create"]);
    at_once(&bundle, &ids, &["start"]);
    let listed = bundle.call(&["list", "--quiet"]).succeeded().stdout;
    assert_eq!(listed.lines().count(), 200);
    at_once(&bundle, &ids, &["delete", "--force"]);
}
