//! `bulkhead update`: a container that lives gets other limits.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, Outcome, eventually, needs};
use nix::libc;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;

const MEBIBYTE: u64 = 1 << 20;

fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// What the kernel holds: by the v1 controller and its file, or by the file of v2.
#[track_caller]
fn held(bundle: &Bundle, (controller, v1): (&str, &str), v2: &str) -> String {
    let file = if is_v2() { v2 } else { v1 };
    let path = bundle.group(controller).join(file);
    let text = fs::read_to_string(&path);
    text.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .trim()
        .into()
}

fn memory(bundle: &Bundle) -> String {
    held(bundle, ("memory", "memory.limit_in_bytes"), "memory.max")
}

fn pids(bundle: &Bundle) -> String {
    held(bundle, ("pids", "pids.max"), "pids.max")
}

fn quota(bundle: &Bundle) -> (String, String) {
    if is_v2() {
        let both = held(bundle, ("", ""), "cpu.max");
        let (quota, period) = both.split_once(' ').unwrap();
        return (quota.replace("max", "-1"), period.into());
    }
    let file = |name| held(bundle, ("cpu", name), "");
    (file("cpu.cfs_quota_us"), file("cpu.cfs_period_us"))
}

fn update(bundle: &Bundle, words: &[&str]) -> Outcome {
    bundle.call(&[&["update"], words, &[&bundle.id]].concat())
}

/// A created container with a limit in each controller that a test changes.
fn limited() -> Bundle {
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    let resources = json!({
        "memory": { "limit": 64 * MEBIBYTE },
        "cpu": { "shares": 512, "quota": 20000, "period": 50000, "cpus": "0" },
        "pids": { "limit": 20 },
    });
    for (field, value) in resources.as_object().unwrap() {
        bundle.set(&format!("/linux/resources/{field}"), value.clone());
    }
    bundle.create().succeeded();
    bundle
}

#[test]
fn each_flag_sets_its_limit_and_says_nothing() {
    needs!(root, probe);
    let bundle = limited();
    bundle.start().succeeded();
    let words = [
        "--memory=128m",
        "--memory-reservation=32m",
        "--cpu-quota=30000",
        "--cpu-period=60000",
        "--cpu-share=2048",
        "--cpuset-cpus=0-1",
        "--pids-limit=30",
    ];
    let told = update(&bundle, &words).succeeded();
    assert_eq!((told.stdout.as_str(), told.stderr.as_str()), ("", ""));
    assert_eq!(memory(&bundle), "134217728");
    let reservation = ("memory", "memory.soft_limit_in_bytes");
    assert_eq!(held(&bundle, reservation, "memory.low"), "33554432");
    assert_eq!(quota(&bundle), ("30000".into(), "60000".into()));
    let weight = if is_v2() { "174" } else { "2048" };
    assert_eq!(held(&bundle, ("cpu", "cpu.shares"), "cpu.weight"), weight);
    let cpus = ("cpuset", "cpuset.cpus");
    assert_eq!(held(&bundle, cpus, "cpuset.cpus"), "0-1");
    assert_eq!(pids(&bundle), "30");
}

#[test]
fn what_is_not_mentioned_stays() {
    needs!(root, probe);
    let bundle = limited();
    update(&bundle, &["--pids-limit", "-1"]).succeeded();
    assert_eq!(pids(&bundle), "max");
    assert_eq!(memory(&bundle), "67108864");
    update(&bundle, &["--cpu-quota", "25000"]).succeeded();
    assert_eq!(quota(&bundle), ("25000".into(), "50000".into()));
    update(&bundle, &["--cpu-period", "40000"]).succeeded();
    assert_eq!(quota(&bundle), ("25000".into(), "40000".into()));
    update(&bundle, &["--cpu-quota", "-1"]).succeeded();
    assert_eq!(quota(&bundle), ("-1".into(), "40000".into()));
    update(&bundle, &["--memory", "0", "--pids-limit", "7"]).succeeded();
    assert_eq!(memory(&bundle), "67108864", "0 is not mentioned");
    assert_eq!(pids(&bundle), "7");
    update(&bundle, &["--pids-limit", "0"]).succeeded();
    assert_eq!(pids(&bundle), "1", "as runc has it");
    update(&bundle, &[]).succeeded();
}

#[test]
fn memory_and_swap_go_up_and_down_together_and_alone() {
    needs!(root, probe);
    let bundle = limited();
    // v2 counts swap alone, v1 both together.
    let swap = |v1: u64, v2: u64| {
        let name = ("memory", "memory.memsw.limit_in_bytes");
        let wanted = if is_v2() { v2 } else { v1 } * MEBIBYTE;
        assert_eq!(held(&bundle, name, "memory.swap.max"), wanted.to_string());
    };
    update(&bundle, &["--memory-swap", "96m"]).succeeded();
    swap(96, 32);
    update(&bundle, &["--memory", "128m", "--memory-swap", "160m"]).succeeded();
    assert_eq!(memory(&bundle), "134217728");
    swap(160, 32);
    update(&bundle, &["--memory", "32m", "--memory-swap", "32m"]).succeeded();
    assert_eq!(memory(&bundle), "33554432");
    swap(32, 0);
    update(&bundle, &["--memory", "-1"]).succeeded();
    let limit = memory(&bundle);
    assert!(limit == "max" || limit.parse::<u64>().unwrap() > 1 << 60);
    let limit = held(
        &bundle,
        ("memory", "memory.memsw.limit_in_bytes"),
        "memory.swap.max",
    );
    assert!(limit == "max" || limit.parse::<u64>().unwrap() > 1 << 60);
}

#[test]
fn a_document_comes_from_a_file_or_the_standard_input_and_wins() {
    needs!(root, probe);
    let bundle = limited();
    let file = bundle.dir.join("resources.json");
    let write = |value: Value| fs::write(&file, value.to_string()).unwrap();
    write(json!({ "pids": { "limit": 40 }, "memory": { "limit": 96 * MEBIBYTE } }));
    update(&bundle, &["-r", "resources.json", "--pids-limit", "5"]).succeeded();
    assert_eq!(pids(&bundle), "40", "flags are ignored beside a file");
    assert_eq!(memory(&bundle), "100663296");

    write(json!({ "pids": { "limit": 41 } }));
    let mut command = bundle.command(&["update", "--resources=-", &bundle.id]);
    command.stdin(File::open(&file).unwrap());
    bundle.finish(command).succeeded();
    assert_eq!(pids(&bundle), "41");

    write(json!({ "pids": { "limit": "many" } }));
    update(&bundle, &["-r", "resources.json"]).failed_with("resources: pids.limit: line 1");
    update(&bundle, &["-r", "nowhere.json"])
        .failed_with("open nowhere.json: no such file or directory");
    assert_eq!(pids(&bundle), "41");
}

#[test]
fn a_wrong_number_is_named_by_its_flag() {
    needs!(root, probe);
    let bundle = limited();
    for flag in [
        "cpu-period",
        "cpu-quota",
        "cpu-burst",
        "cpu-share",
        "cpu-rt-period",
        "cpu-rt-runtime",
        "cpu-idle",
        "memory",
        "memory-reservation",
        "memory-swap",
    ] {
        let told = update(&bundle, &[&format!("--{flag}"), "1x"]);
        told.failed_with(&format!("invalid value for {flag}: "));
    }
    update(&bundle, &["--pids-limit", "x"])
        .failed_with("invalid value \"x\" for flag -pids-limit: parse error");
    update(&bundle, &["--cpu-share", "1"]).failed_with("resources.cpu.shares: 1 is below 2");
    update(&bundle, &["--l3-cache-schema", "x"]).failed_with("l3 cache schema is not enabled");
    update(&bundle, &["--mem-bw-schema", "x"]).failed_with("bandwidth schema is not enabled");
    let told = update(&bundle, &["--kernel-memory", "1", "--pids-limit", "9"]).succeeded();
    let warning = "Setting --kernel-memory is ignored and will be removed";
    assert!(told.stderr.contains(warning), "{told:?}");
    assert_eq!(pids(&bundle), "9");
}

#[test]
fn a_limit_below_what_is_in_use_is_rejected_where_that_is_asked() {
    needs!(root, busybox);
    let script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40; echo held; exec sleep 60";
    let mut bundle = Bundle::busybox(script);
    bundle.set("/linux/resources/memory", json!({ "limit": 64 * MEBIBYTE }));
    let mut parent = bundle.run_in_background();
    eventually("held", || bundle.background_output().contains("held"));
    let limit = json!({ "memory": { "limit": MEBIBYTE, "checkBeforeUpdate": true } });
    fs::write(bundle.dir.join("limit.json"), limit.to_string()).unwrap();
    update(&bundle, &["-r", "limit.json"]).failed_with("rejecting memory limit");
    assert_eq!(memory(&bundle), "67108864");
    assert_eq!(bundle.state()["status"], "running");
    bundle.kill("KILL").succeeded();
    parent.wait().unwrap();
}

#[test]
fn a_lower_limit_is_felt_by_the_program_that_runs() {
    needs!(root, probe);
    let usr1 = libc::SIGUSR1.to_string();
    let mut bundle = Bundle::probe(&["wait-signal", &usr1, "+", "fork-bomb", "200"]);
    bundle.set("/linux/resources/pids", json!({ "limit": 100 }));
    let mut parent = bundle.run_in_background();
    update(&bundle, &["--pids-limit", "15"]).succeeded();
    let mut ended = None;
    // A signal that comes before the program waits for it is lost.
    eventually("the end", || {
        bundle.kill("USR1");
        ended = parent.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success(), "{ended:?}");
    let output = bundle.background_output();
    let told: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!(told["ok"]["errno"], libc::EAGAIN, "{told}");
    assert_eq!(told["ok"]["forks"], 14, "the program itself is one");
}

#[test]
fn an_allocation_above_the_new_limit_dies() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["alloc-memory", "64"]);
    let limit = json!({ "limit": 128 * MEBIBYTE, "swap": 128 * MEBIBYTE });
    bundle.set("/linux/resources/memory", limit);
    bundle.create().succeeded();
    update(&bundle, &["--memory=24m", "--memory-swap=24m"]).succeeded();
    bundle.start().succeeded();
    let state = bundle.wait_for_status("stopped");
    assert_eq!(state["oomKilled"], true, "{state}");
}

#[test]
fn a_paused_container_can_be_updated_and_a_stopped_one_cannot() {
    needs!(root, probe);
    let bundle = limited();
    bundle.call(&["pause", &bundle.id]).succeeded();
    update(&bundle, &["--pids-limit", "31"]).succeeded();
    assert_eq!(pids(&bundle), "31");
    assert_eq!(bundle.state()["status"], "paused");
    bundle.kill("KILL").succeeded();
    bundle.wait_for_status("stopped");
    update(&bundle, &["--pids-limit", "32"]).failed_with("container not running");
    bundle.delete().succeeded();
    update(&bundle, &["--cpu-share", "x"]).failed_with("container does not exist");
}

#[test]
fn limits_and_lines_of_resctrl_are_changed_together_or_not_at_all() {
    needs!(root, probe);
    let bundle = limited();
    let schemata = bundle.put_in_class("L3:0=f\n");
    let lines = || fs::read_to_string(&schemata).unwrap();
    update(&bundle, &["--pids-limit=30", "--mem-bw-schema=x"])
        .failed_with("intelRdt.memBwSchema: \"x\" is no line like");
    update(&bundle, &["--cpuset-cpus=900", "--l3-cache-schema=L3:0=3"]).failed_with("cpuset.cpus");
    assert_eq!(
        (pids(&bundle).as_str(), lines().as_str()),
        ("20", "L3:0=f\n")
    );
    update(&bundle, &["--pids-limit=30", "--l3-cache-schema=L3:0=3"]).succeeded();
    assert_eq!(
        (pids(&bundle).as_str(), lines().as_str()),
        ("30", "L3:0=3\n")
    );

    fs::remove_file(&schemata).unwrap();
    update(&bundle, &["--pids-limit=31", "--mem-bw-schema=MB:0=20"])
        .failed_with("linux.intelRdt: read ");
    assert_eq!(pids(&bundle), "30");
}

#[test]
fn a_container_without_a_group_cannot_be_limited() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let create = ["--cgroup-manager", "disabled", "create", &bundle.id];
    bundle.call(&create).succeeded();
    update(&bundle, &["--pids-limit", "9"])
        .failed_with("has no cgroup of its own, and update needs one");
    let schemata = bundle.put_in_class("L3:0=f\n");
    update(&bundle, &["--l3-cache-schema", "L3:0=3"]).succeeded();
    assert_eq!(fs::read_to_string(schemata).unwrap(), "L3:0=3\n");
}
