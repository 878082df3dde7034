//! Groups from their making to their end: who owns them, and that nothing keeps them alive.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Bundle, eventually, is_full, needs, repetitions, slowness};
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

/// A container of root that sees its groups; in a cgroup namespace of its own or not.
fn of_root(script: &str, options: &[&str], namespace: bool) -> Bundle {
    let mut bundle = of_user_1000(script, options);
    bundle.set("/process/user", json!({ "uid": 0, "gid": 0 }));
    if !namespace {
        let last = bundle.config["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .len()
            - 1;
        bundle.remove(&format!("/linux/namespaces/{last}"));
    }
    bundle
}

#[test]
fn a_container_is_in_its_group_from_the_start_and_sees_no_other() {
    needs!(root, cgroup2, busybox);
    let script = "grep -c . /sys/fs/cgroup/cgroup.procs; cat /proc/self/cgroup; ls -d /sys/fs/cgroup/*/; true";
    let bundle = of_root(script, WRITABLE, true);
    let outcome = bundle.run().succeeded();
    // The shell and grep; the root of the namespace is the group, and nothing is beside it.
    assert_eq!(outcome.stdout, "2\n0::/\n", "{outcome:?}");

    let bundle = of_root(script, WRITABLE, false);
    let outcome = bundle.run().succeeded();
    let path = format!("/{}\n", bundle.id);
    assert!(outcome.stdout.starts_with("2\n0::/"), "{outcome:?}");
    assert!(outcome.stdout.ends_with(&path), "{outcome:?}");
}

#[test]
fn a_mount_of_groups_is_read_only_where_that_is_asked() {
    needs!(root, cgroup2, busybox);
    let script = "mkdir /sys/fs/cgroup/below && echo made; true";
    for namespace in [true, false] {
        let read_only = ["nosuid", "noexec", "nodev", "ro"];
        for (options, made) in [(&read_only[..], ""), (WRITABLE, "made\n")] {
            let outcome = of_root(script, options, namespace).run().succeeded();
            assert_eq!(outcome.stdout, made, "{options:?} {namespace}: {outcome:?}");
        }
    }
}

/// cgroups(7): with `nsdelegate` the limits of a namespace's root belong to those above it.
#[test]
fn root_in_a_cgroup_namespace_does_not_lift_its_own_limits() {
    needs!(root, cgroup2, nsdelegate, busybox);
    let script = "cd /sys/fs/cgroup; mkdir below && for f in pids.max memory.max cpu.max; do
        (echo max >$f) 2>/dev/null && echo wrote $f; done; cat pids.max";
    let mut bundle = of_root(script, WRITABLE, true);
    bundle.set("/linux/resources/pids", json!({ "limit": 20 }));
    assert_eq!(bundle.run().succeeded().stdout, "20\n");
}

/// Groups that the container made, nested, frozen and threaded, with its processes in them.
#[test]
fn groups_below_do_not_keep_a_container_alive() {
    needs!(root, cgroup2, busybox);
    let script = "cd /sys/fs/cgroup; mkdir -p a/b/c d/e f; sleep 60 & echo $! >a/b/c/cgroup.procs
        sleep 60 & echo $! >f/cgroup.procs; echo 1 >f/cgroup.freeze; echo threaded >d/e/cgroup.type
        cat d/cgroup.type; sleep 60";
    let bundle = of_root(script, WRITABLE, true);
    let mut running = bundle.run_in_background();
    eventually("its groups", || {
        bundle.background_output() == "domain threaded\n"
    });
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    running.wait().unwrap();
}

fn storm() -> Bundle {
    let mut bundle = Bundle::probe(&["fork-storm", "20", "4"]);
    bundle.set("/linux/resources/pids", json!({ "limit": 400 }));
    bundle
}

/// What is left is found when the bundle is dropped.
#[track_caller]
fn deleted_in_time(bundle: &Bundle) {
    let mut running = bundle.run_in_background();
    let members = || fs::read_to_string(bundle.group("pids").join("cgroup.procs")).unwrap();
    eventually("the storm", || {
        let some = members();
        std::thread::sleep(Duration::from_millis(50));
        some.lines().count() > 20 && some != members()
    });
    let begun = Instant::now();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    let took = begun.elapsed();
    running.wait().unwrap();
    assert!(took < Duration::from_secs(2) * slowness(), "{took:?}");
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
fn many_containers_at_once_leave_nothing() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.set("/linux/resources/pids", json!({ "limit": 20 }));
    // All of them also where that takes minutes, if time is no matter.
    let count = if is_full() {
        200
    } else {
        repetitions(200, 200)
    };
    let ids: Vec<String> = (0..count).map(|n| format!("{}-{n}", bundle.id)).collect();
    at_once(&bundle, &ids, &["create"]);
    at_once(&bundle, &ids, &["start"]);
    let listed = bundle.call(&["list", "--quiet"]).succeeded().stdout;
    assert_eq!(listed.lines().count(), ids.len());
    at_once(&bundle, &ids, &["delete", "--force"]);
}
