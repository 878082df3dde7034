//! `bulkhead ps`: the processes of a container, as the host sees them.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs, slowness};
use std::thread;
use std::time::{Duration, Instant};

/// A running container of four processes, in three generations.
fn four() -> Bundle {
    let bundle = Bundle::busybox("sleep 61 & (sleep 62; true) & exec sleep 60");
    bundle.call(&["run", "--detach", &bundle.id]).succeeded();
    let deadline = Instant::now() + Duration::from_secs(10) * slowness();
    while pids(&bundle).len() < 4 {
        assert!(Instant::now() < deadline, "do not start");
        thread::sleep(Duration::from_millis(5));
    }
    bundle
}

fn ps(bundle: &Bundle, words: &[&str]) -> harness::Outcome {
    bundle.call(&[&["ps"], words].concat())
}

fn pids(bundle: &Bundle) -> Vec<i32> {
    let told = ps(bundle, &["--format", "json", &bundle.id]).succeeded();
    serde_json::from_str(&told.stdout).unwrap()
}

#[test]
fn json_is_the_process_ids_of_the_host_on_one_line() {
    needs!(root, busybox);
    let bundle = four();
    let told = ps(&bundle, &["-f", "json", &bundle.id]).succeeded().stdout;
    let pids = pids(&bundle);
    assert_eq!(told, format!("{}\n", serde_json::to_string(&pids).unwrap()));
    assert!(pids.is_sorted(), "{pids:?}");
    let init = i32::try_from(bundle.state()["pid"].as_i64().unwrap()).unwrap();
    assert!(pids.contains(&init), "{init} in {pids:?}");
    for pid in pids {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(groups.contains(&bundle.id), "{pid}: {groups}");
    }
}

#[test]
fn a_table_has_the_header_and_the_rows_of_the_container_alone() {
    needs!(root, busybox);
    let bundle = four();
    let told = ps(&bundle, &[&bundle.id]).succeeded().stdout;
    let mut lines = told.lines();
    let header: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(header[..3], ["UID", "PID", "PPID"]);
    let rows: Vec<i32> = lines
        .map(|line| line.split_whitespace().nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(rows, pids(&bundle));
    assert!(told.contains("sleep 60") && told.contains("sleep 62"));
}

#[test]
fn what_follows_the_name_goes_to_ps() {
    needs!(root, busybox);
    let bundle = four();
    let words = [bundle.id.as_str(), "-e", "-o", "ppid,pid,args"];
    let told = ps(&bundle, &words).succeeded().stdout;
    assert_eq!(told.lines().count(), 1 + pids(&bundle).len(), "{told}");
    assert!(told.trim_start().starts_with("PPID"), "{told}");
    ps(&bundle, &[&bundle.id, "-e", "-o", "comm"])
        .failed_with("couldn't find PID field in ps output");
    ps(&bundle, &[&bundle.id, "--no-such-flag"]).failed_with("unknown gnu long option");
    ps(&bundle, &["-f", "xml", &bundle.id]).failed_with("invalid format option");
}

#[test]
fn nobody_lives_in_a_stopped_container() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exit 0");
    ps(&bundle, &[&bundle.id]).failed_with("container does not exist");
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle.wait_for_status("stopped");
    let told = ps(&bundle, &["-f", "json", &bundle.id]).succeeded();
    assert_eq!(told.stdout, "null\n");
    let told = ps(&bundle, &[&bundle.id]).succeeded();
    assert_eq!(told.stdout.lines().count(), 1, "{}", told.stdout);
}

#[test]
fn a_container_without_a_group_has_no_list() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    let create = ["--cgroup-manager", "disabled", "create", &bundle.id];
    bundle.call(&create).succeeded();
    ps(&bundle, &[&bundle.id]).failed_with("has no cgroup of its own, and ps needs one");
}
