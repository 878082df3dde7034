//! What takes a machine of one's own: CAP_SYS_RESOURCE, and real time.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, OUTSIDE, needs};
use serde_json::{Value, json};

/// Above the hard limit of the shell that runs the command.
const MANY: u64 = 4096;

fn powerful(args: &[&str]) -> Bundle {
    let mut bundle = Bundle::probe(args);
    let limit = json!([{ "type": "RLIMIT_NOFILE", "soft": MANY, "hard": MANY }]);
    bundle
        .set("/process/rlimits", limit)
        .set("/process/oomScoreAdj", json!(-800));
    bundle
}

/// By a shell with lower limits and a higher score.
#[track_caller]
fn report_of(bundle: &Bundle, words: &[&str]) -> Value {
    let command = bundle.command(words);
    let script = r#"ulimit -n 512; echo 100 >/proc/self/oom_score_adj; exec "$0" "$@""#;
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script]).arg(command.get_program());
    shell.args(command.get_args()).current_dir(&bundle.dir);
    bundle.finish(shell).succeeded().answer()
}

#[track_caller]
fn check(report: &Value) {
    let limit = &report["rlimits"]["RLIMIT_NOFILE"];
    assert_eq!(*limit, json!({ "soft": MANY, "hard": MANY }));
    assert_eq!(report["oom_score_adj"], -800);
}

#[test]
fn limits_above_the_runtimes_own_and_a_lower_oom_score_are_given() {
    needs!(root, probe, every_capability);
    let bundle = powerful(&[]);
    check(&report_of(&bundle, &["run", &bundle.id]));
}

#[test]
fn they_are_given_to_a_user_namespace_and_who_joins_it() {
    needs!(root, probe, every_capability);
    let mut bundle = powerful(&["sleep", "60"]);
    bundle.map_users(OUTSIDE, 65536);
    bundle.create().succeeded();
    bundle.start().succeeded();
    let report = report_of(&bundle, &["exec", &bundle.id, "/probe", "report"]);
    check(&report["ok"]);
}

#[test]
fn a_real_time_scheduler_is_set() {
    needs!(root, probe, realtime);
    // With policy, flags, nice and priority as sched_getattr(2) gives them.
    for (policy, priority, seen) in [
        ("SCHED_FIFO", 7, [1, 0, 0, 7]),
        ("SCHED_RR", 1, [2, 0, 0, 1]),
    ] {
        let mut bundle = Bundle::probe(&[]);
        let scheduler = json!({ "policy": policy, "priority": priority });
        bundle.set("/process/scheduler", scheduler);
        let report = bundle.run().succeeded().answer();
        assert_eq!(report["scheduler"][0], json!(seen), "{policy}");
    }
}
