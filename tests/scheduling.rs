//! When and where a process runs: scheduler, priority of I/O, processors, nodes of memory.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, OUTSIDE, needs};
use serde_json::{Value, json};

/// What the probe finds in a container of the base configuration with one value set.
#[track_caller]
fn report_with(pointer: &str, value: Value) -> Value {
    let mut bundle = Bundle::probe(&[]);
    bundle.set(pointer, value);
    bundle.run().succeeded().answer()
}

/// What it finds in another process of a container.
#[track_caller]
fn report_beside(bundle: &Bundle, process: &Value) -> Value {
    let file = bundle.dir.join("process.json");
    std::fs::write(&file, process.to_string()).unwrap();
    let exec = ["exec", "--process", file.to_str().unwrap(), &bundle.id];
    bundle.call(&exec).succeeded().answer()
}

fn sleeping() -> Bundle {
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle
}

/// Each with policy, flags, nice and priority as sched_getattr(2) gives them.
#[track_caller]
fn finds(cases: &[(Value, Value)]) {
    for (scheduler, seen) in cases {
        let report = report_with("/process/scheduler", scheduler.clone());
        assert_eq!(report["scheduler"][0], *seen, "{scheduler}");
    }
}

#[test]
fn the_scheduler_is_set() {
    needs!(root, probe);
    let reset = json!(["SCHED_FLAG_RESET_ON_FORK"]);
    finds(&[
        (
            json!({ "policy": "SCHED_OTHER", "nice": 5 }),
            json!([0, 0, 5, 0]),
        ),
        (
            json!({ "policy": "SCHED_BATCH", "nice": -5, "flags": reset }),
            json!([3, 1, -5, 0]),
        ),
    ]);
    // It leaves the caller's nice as it is.
    let report = report_with("/process/scheduler", json!({ "policy": "SCHED_IDLE" }));
    assert_eq!(report["scheduler"][0][0], 5);
}

#[test]
fn in_a_user_namespace_what_takes_power_is_set_from_outside() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.map_users(OUTSIDE, 65536);
    let scheduler = json!({ "policy": "SCHED_OTHER", "nice": -5 });
    let priority = json!({ "class": "IOPRIO_CLASS_RT", "priority": 2 });
    bundle
        .set("/process/scheduler", scheduler)
        .set("/process/ioPriority", priority);
    let report = bundle.run().succeeded().answer();
    assert_eq!(report["scheduler"][0], json!([0, 0, -5, 0]));
    assert_eq!(report["io_priority"], 1 << 13 | 2);
}

#[test]
fn a_deadline_is_given_and_its_hooks_run() {
    needs!(root, probe);
    let (runtime, deadline, period) = (2_000_000, 50_000_000, 100_000_000);
    let mut bundle = Bundle::probe(&[]);
    let flags = ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"];
    let scheduler = json!({
        "policy": "SCHED_DEADLINE", "flags": flags,
        "runtime": runtime, "deadline": deadline, "period": period,
    });
    bundle.set("/process/scheduler", scheduler).set(
        "/hooks/startContainer/-",
        json!({ "path": "/probe", "args": ["probe", "print", "hook"] }),
    );
    let report = bundle.run().succeeded().answer();
    assert_eq!(
        report["scheduler"],
        json!([[6, 3, 0, 0], [runtime, deadline, period]])
    );
}

#[test]
fn a_process_beside_the_first_has_its_own_scheduler_and_io_priority() {
    needs!(root, probe);
    let bundle = sleeping();
    let mut process = bundle.config["process"].clone();
    process["args"] = json!(["/probe"]);
    process["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": -3 });
    process["ioPriority"] = json!({ "class": "IOPRIO_CLASS_IDLE" });
    let report = report_beside(&bundle, &process);
    assert_eq!(report["scheduler"][0], json!([3, 0, -3, 0]));
    assert_eq!(report["io_priority"], 3 << 13);
}

#[test]
fn the_io_priority_is_set() {
    needs!(root, probe);
    for (class, priority, seen) in [
        ("IOPRIO_CLASS_RT", 0, 1 << 13),
        ("IOPRIO_CLASS_BE", 7, 2 << 13 | 7),
        ("IOPRIO_CLASS_IDLE", 4, 3 << 13 | 4),
    ] {
        let asked = json!({ "class": class, "priority": priority });
        let report = report_with("/process/ioPriority", asked);
        assert_eq!(report["io_priority"], seen, "{class}");
    }
}

#[test]
fn a_scheduler_that_the_runtime_may_not_set_is_an_error() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set(
        "/process/scheduler",
        json!({ "policy": "SCHED_FIFO", "priority": 7 }),
    );
    let run = bundle.command(&["run", &bundle.id]);
    let mut command = std::process::Command::new("setpriv");
    command
        .arg("--bounding-set=-sys_nice")
        .arg(run.get_program());
    command.args(run.get_args()).current_dir(&bundle.dir);
    bundle.finish(command).failed_with(
        "process.scheduler: set the scheduler SCHED_FIFO (priority 7): operation not permitted: \
         it takes CAP_SYS_NICE",
    );
}

/// The processors of another process in the container.
#[track_caller]
fn processors_beside(bundle: &Bundle, affinity: Value) -> Value {
    let mut process = bundle.config["process"].clone();
    process["args"] = json!(["/probe"]);
    process["execCPUAffinity"] = affinity;
    report_beside(bundle, &process)["affinity"].clone()
}

#[test]
fn a_process_that_joins_runs_on_its_processors_and_the_first_does_not() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    let affinity = json!({ "initial": "0", "final": "1" });
    bundle.set("/process/execCPUAffinity", affinity);
    bundle.create().succeeded();
    bundle.start().succeeded();
    // What the flags do not mention is that of the bundle.
    let exec = bundle.call(&["exec", &bundle.id, "/probe"]).succeeded();
    assert_eq!(exec.answer()["affinity"], json!([1]));
    let both = processors_beside(&bundle, json!({ "final": " 0-1, 8000" }));
    assert_eq!(both, json!([0, 1]));
    let allowed = |process: &str| {
        let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let mut lines = text.lines().map(String::from);
        lines
            .find(|line| line.starts_with("Cpus_allowed:"))
            .unwrap()
    };
    let first = bundle.state()["pid"].to_string();
    assert_eq!(allowed(&first), allowed("self"));
}

#[test]
fn processors_that_it_starts_on_are_kept_in_the_group() {
    needs!(root, probe, kept_affinity);
    let found = processors_beside(&sleeping(), json!({ "initial": "0" }));
    assert_eq!(found, json!([0]));
}

#[test]
fn processors_that_are_not_there_are_an_error() {
    needs!(root, probe);
    let bundle = sleeping();
    for (key, said) in [
        (
            "initial",
            "process.execCPUAffinity.initial: run on the processors 8000: invalid argument",
        ),
        (
            "final",
            "process.execCPUAffinity.final: run on the processors 8000: invalid argument",
        ),
    ] {
        let mut process = bundle.config["process"].clone();
        process["args"] = json!(["/probe"]);
        process["execCPUAffinity"] = json!({ key: "8000" });
        let file = bundle.dir.join("process.json");
        std::fs::write(&file, process.to_string()).unwrap();
        let exec = ["exec", "--process", file.to_str().unwrap(), &bundle.id];
        bundle.call(&exec).failed_with(said);
    }
}

#[test]
fn a_class_of_service_is_an_error_where_nobody_has_mounted_resctrl() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&[]);
    bundle.set("/linux/intelRdt", json!({ "l3CacheSchema": "L3:0=f" }));
    let said = "linux.intelRdt: no resctrl filesystem is mounted on this host";
    bundle.create().failed_with(said);
}

/// The policy of the shell's own memory, as numa_maps of proc(5) names it.
#[track_caller]
fn memory_policy(policy: Value) -> String {
    let mut bundle =
        Bundle::busybox("read address policy rest </proc/self/numa_maps; echo $policy");
    bundle.set("/linux/memoryPolicy", policy);
    bundle.run().succeeded().stdout.trim_end().to_owned()
}

#[test]
fn memory_comes_from_the_nodes_that_were_asked_for() {
    needs!(root, busybox, numa);
    for (policy, seen) in [
        (json!({ "mode": "MPOL_DEFAULT" }), "default"),
        (json!({ "mode": "MPOL_LOCAL" }), "local"),
        (
            json!({ "mode": "MPOL_PREFERRED", "nodes": "0" }),
            "prefer:0",
        ),
        (json!({ "mode": "MPOL_BIND", "nodes": "0" }), "bind:0"),
        (
            json!({ "mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }),
            "interleave=static:0",
        ),
        (
            json!({ "mode": "MPOL_PREFERRED_MANY", "nodes": "0" }),
            "prefer (many):0",
        ),
    ] {
        let found = memory_policy(policy.clone());
        assert!(
            found.starts_with(seen.split(' ').next().unwrap()),
            "{policy}: {found}"
        );
    }
}

#[test]
fn a_process_that_joins_has_the_memory_policy_of_the_container() {
    needs!(root, busybox, numa);
    let mut bundle = Bundle::busybox("sleep 60");
    bundle.set(
        "/linux/memoryPolicy",
        json!({ "mode": "MPOL_BIND", "nodes": "0" }),
    );
    bundle.create().succeeded();
    bundle.start().succeeded();
    let words = [
        "exec",
        &bundle.id,
        "/bin/head",
        "-n",
        "1",
        "/proc/self/numa_maps",
    ];
    let seen = bundle.call(&words).succeeded().stdout;
    assert!(seen.contains(" bind:0 "), "{seen}");
}

#[test]
fn nodes_that_are_not_there_are_an_error() {
    needs!(root, probe, numa);
    let mut bundle = Bundle::probe(&[]);
    bundle.set(
        "/linux/memoryPolicy",
        json!({ "mode": "MPOL_BIND", "nodes": "900" }),
    );
    bundle.run().failed_with(
        "linux.memoryPolicy: set the memory policy MPOL_BIND of the nodes 900: invalid argument",
    );
}
