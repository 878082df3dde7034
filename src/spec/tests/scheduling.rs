//! Schedulers, priorities of I/O, processors and memory policies.

use super::*;
use crate::spec::scheduling::MemoryPolicy;

#[test]
fn a_scheduler_has_what_its_policy_takes() {
    let scheduler = |json: &str| {
        let process = accepted(&[("process.scheduler", json)]).process.unwrap();
        process.scheduler.unwrap()
    };
    let plain = scheduler(r#"{"policy": "SCHED_OTHER", "nice": -20}"#);
    assert_eq!((plain.attributes.policy, plain.attributes.nice), (0, -20));
    let all = r#"["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
        "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
        "SCHED_FLAG_UTIL_CLAMP_MAX"]"#;
    let real = scheduler(&format!(
        r#"{{"policy": "SCHED_RR", "priority": 99, "flags": {all}}}"#
    ));
    assert_eq!(real.attributes.flags, 0x7f);
    assert_eq!((real.attributes.policy, real.attributes.priority), (2, 99));
    let deadline = scheduler(
        r#"{"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 2048, "period": 2048}"#,
    );
    assert_eq!(deadline.attributes.policy, 6);
    assert_eq!(deadline.attributes.runtime, 1024);
}

#[test]
fn a_scheduler_that_no_kernel_takes_is_refused() {
    let at = |key, said: &str| format!("process.scheduler.{key}: {said}");
    for (json, said) in [
        (
            r#"{"policy": "SCHED_ISO"}"#,
            at("policy", "no kernel has SCHED_ISO"),
        ),
        (
            r#"{"policy": "SCHED_OTHER", "nice": 20}"#,
            at("nice", "20 is not from -20 to 19"),
        ),
        (
            r#"{"policy": "SCHED_OTHER", "nice": -21}"#,
            at("nice", "-21 is not from -20 to 19"),
        ),
        (
            r#"{"policy": "SCHED_BATCH", "priority": 1}"#,
            at(
                "priority",
                "can be set for SCHED_FIFO and SCHED_RR only, not for SCHED_BATCH",
            ),
        ),
        (
            r#"{"policy": "SCHED_FIFO"}"#,
            at("priority", "0 is not from 1 to 99, which SCHED_FIFO needs"),
        ),
        (
            r#"{"policy": "SCHED_RR", "priority": 100}"#,
            at("priority", "100 is not from 1 to 99, which SCHED_RR needs"),
        ),
        (
            r#"{"policy": "SCHED_OTHER", "deadline": 5}"#,
            at(
                "deadline",
                "can be set for SCHED_DEADLINE only, not for SCHED_OTHER",
            ),
        ),
        (
            r#"{"policy": "SCHED_DEADLINE"}"#,
            at(
                "runtime",
                "0 ns is below 1024 ns, the least of SCHED_DEADLINE",
            ),
        ),
        (
            r#"{"policy": "SCHED_DEADLINE", "runtime": 2000}"#,
            at("deadline", "0 ns is below the runtime of 2000 ns"),
        ),
        (
            r#"{"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000, "period": 2500}"#,
            at("period", "2500 ns is below the deadline of 3000 ns"),
        ),
        (
            r#"{"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 9223372036854775808}"#,
            at("deadline", "9223372036854775808 ns does not fit in 63 bits"),
        ),
    ] {
        assert_eq!(refused(&[("process.scheduler", json)]), said, "{json}");
    }
    let unknown = refused(&[("process.scheduler", r#"{"policy": "SCHED_X"}"#)]);
    assert!(unknown.contains("unknown variant `SCHED_X`"), "{unknown}");
    let flags = r#"{"policy": "SCHED_OTHER", "flags": ["SCHED_RESET_ON_FORK"]}"#;
    let unknown = refused(&[("process.scheduler", flags)]);
    assert!(
        unknown.starts_with("process.scheduler.flags[0]"),
        "{unknown}"
    );
    let nothing = refused(&[("process.scheduler", "{}")]);
    assert!(nothing.contains("missing field `policy`"), "{nothing}");
}

/// A process under SCHED_DEADLINE cannot fork (sched(7)).
#[test]
fn a_deadline_and_hooks_of_the_process_exclude_each_other() {
    let hooks = r#"[{"path": "/bin/true"}]"#;
    let deadline = |flags| {
        format!(
            r#"{{"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 2048, "flags": {flags}}}"#
        )
    };
    let reset = deadline(r#"["SCHED_FLAG_RESET_ON_FORK"]"#);
    accepted(&[
        ("hooks", "{}"),
        ("hooks.startContainer", hooks),
        ("process.scheduler", &reset),
    ]);
    let plain = deadline("[]");
    let said = refused(&[
        ("hooks", "{}"),
        ("hooks.startContainer", hooks),
        ("process.scheduler", &plain),
    ]);
    let wanted = "process.scheduler.flags: a process under SCHED_DEADLINE needs \
                  SCHED_FLAG_RESET_ON_FORK to fork for hooks.startContainer";
    assert_eq!(said, wanted);
}

#[test]
fn an_io_priority_has_a_class_and_eight_steps() {
    for (json, value) in [
        (r#"{"class": "IOPRIO_CLASS_RT", "priority": 7}"#, 0x2007),
        (r#"{"class": "IOPRIO_CLASS_BE"}"#, 0x4000),
        (r#"{"class": "IOPRIO_CLASS_IDLE", "priority": 0}"#, 0x6000),
    ] {
        let process = accepted(&[("process.ioPriority", json)]).process.unwrap();
        assert_eq!(process.io_priority.unwrap().value, value, "{json}");
    }
    refuses(&[
        (
            "process.ioPriority",
            r#"{"class": "IOPRIO_CLASS_BE", "priority": 8}"#,
            "process.ioPriority.priority: 8 is not from 0 to 7",
        ),
        (
            "process.ioPriority",
            r#"{"class": "IOPRIO_CLASS_BE", "priority": -1}"#,
            "process.ioPriority.priority: -1 is not from 0 to 7",
        ),
    ]);
    let nothing = refused(&[("process.ioPriority", "{}")]);
    assert!(nothing.contains("missing field `class`"), "{nothing}");
}

#[test]
fn processors_are_a_list() {
    let affinity = r#"{"initial": "0-1, 3", "final": ""}"#;
    let process = accepted(&[("process.execCPUAffinity", affinity)]).process;
    let found = process.unwrap().exec_affinity;
    assert_eq!(found.initial.unwrap().to_string(), "0-1,3");
    assert_eq!(found.last, None);
    refuses(&[
        (
            "process.execCPUAffinity",
            r#"{"initial": "x"}"#,
            r#"process.execCPUAffinity.initial: "x" is no list like 0-3,7: it has "x""#,
        ),
        (
            "process.execCPUAffinity",
            r#"{"final": "0-8192"}"#,
            r#"process.execCPUAffinity.final: "0-8192": 8192 is above 8191"#,
        ),
    ]);
}

#[test]
fn a_memory_policy_has_the_nodes_it_takes() {
    let policy = |json: &str| {
        let MemoryPolicy { mode, nodes, .. } = accepted(&[("linux.memoryPolicy", json)])
            .memory_policy
            .unwrap();
        (mode, nodes.words().to_vec())
    };
    for (json, mode, nodes) in [
        (r#"{"mode": "MPOL_DEFAULT"}"#, 0, &[][..]),
        (r#"{"mode": "MPOL_PREFERRED", "nodes": ""}"#, 1, &[]),
        (r#"{"mode": "MPOL_PREFERRED", "nodes": "1"}"#, 1, &[2]),
        (
            r#"{"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}"#,
            2 | 1 << 13,
            &[1],
        ),
        (
            r#"{"mode": "MPOL_INTERLEAVE", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]}"#,
            3 | 1 << 15,
            &[3],
        ),
        (r#"{"mode": "MPOL_LOCAL"}"#, 4, &[]),
        (
            r#"{"mode": "MPOL_PREFERRED_MANY", "nodes": "64", "flags": ["MPOL_F_RELATIVE_NODES"]}"#,
            5 | 1 << 14,
            &[0, 1],
        ),
        (
            r#"{"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}"#,
            6,
            &[1],
        ),
    ] {
        assert_eq!(policy(json), (mode, nodes.to_vec()), "{json}");
    }
}

#[test]
fn a_memory_policy_that_no_kernel_takes_is_refused() {
    refuses(&[
        (
            "linux.memoryPolicy",
            r#"{"mode": "MPOL_DEFAULT", "nodes": "0"}"#,
            "linux.memoryPolicy.nodes: MPOL_DEFAULT takes none",
        ),
        (
            "linux.memoryPolicy",
            r#"{"mode": "MPOL_LOCAL", "nodes": "0"}"#,
            "linux.memoryPolicy.nodes: MPOL_LOCAL takes none",
        ),
        (
            "linux.memoryPolicy",
            r#"{"mode": "MPOL_BIND"}"#,
            "linux.memoryPolicy.nodes: MPOL_BIND needs one",
        ),
        (
            "linux.memoryPolicy",
            r#"{"mode": "MPOL_BIND", "nodes": "1024"}"#,
            r#"linux.memoryPolicy.nodes: "1024": 1024 is above 1023"#,
        ),
        (
            "linux.memoryPolicy",
            r#"{"mode": "MPOL_BIND", "nodes": "0",
                "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}"#,
            "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other",
        ),
    ]);
    let nothing = refused(&[("linux.memoryPolicy", "{}")]);
    assert!(nothing.contains("missing field `mode`"), "{nothing}");
}

/// The thread that carries the listener would never be let run.
#[test]
fn who_lets_no_other_run_has_no_agent() {
    let filter = r#"{"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/agent"}"#;
    let round = r#"{"policy": "SCHED_RR", "priority": 1}"#;
    accepted(&[("linux.seccomp", filter), ("process.scheduler", round)]);
    for policy in [
        r#"{"policy": "SCHED_FIFO", "priority": 1}"#,
        r#"{"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 2048}"#,
    ] {
        let said = refused(&[("linux.seccomp", filter), ("process.scheduler", policy)]);
        let wanted = "process.scheduler.policy: a process under SCHED_FIFO or SCHED_DEADLINE lets no \
                      other run that SCMP_ACT_NOTIFY of linux.seccomp needs";
        assert_eq!(said, wanted);
    }
}
