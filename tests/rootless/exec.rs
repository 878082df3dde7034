//! One more program in a container of a user's.

use super::harness::{Bundle, eventually, needs};
use super::{as_user, bundle, call};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

fn running() -> Bundle {
    started(bundle(&["sleep", "60"]))
}

fn started(bundle: Bundle) -> Bundle {
    call(&bundle, &["run", "-d", &bundle.id]).succeeded();
    bundle
}

#[test]
fn a_users_program_lives_in_every_namespace_of_his_container() {
    needs!(root, probe);
    let mut bundle = bundle(&["sleep", "60"]);
    bundle.set("/linux/namespaces/-", json!({ "type": "network" }));
    let bundle = started(bundle);
    let first = bundle.state()["pid"].to_string();
    let outcome = call(&bundle, &["exec", &bundle.id, "/probe"]).succeeded();
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    let report = outcome.answer();
    for name in ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"] {
        let of_first = fs::metadata(format!("/proc/{first}/ns/{name}")).unwrap();
        let found = report["namespaces"][name].as_u64().unwrap();
        assert_eq!(found, of_first.ino(), "{name}");
    }
    // The first process is 1; whoever made this one was never in the container's pid namespace.
    assert!(report["pid"].as_u64().unwrap() > 1, "{report}");
    assert_eq!(report["ppid"], 0, "{report}");
    assert_eq!(report["uid"], 0, "{report}");
}

#[test]
fn the_exit_code_of_a_users_program_comes_back() {
    needs!(root, probe);
    let bundle = running();
    let exec = |act: &[&str]| call(&bundle, &[&["exec", &bundle.id, "/probe"], act].concat());
    assert_eq!(exec(&["exit", "7"]).code, 7);
    assert_eq!(exec(&["signal-self", "9"]).code, 137);
    let outcome = call(&bundle, &["exec", &bundle.id, "/missing"]);
    assert_eq!(outcome.code, 255, "{outcome:?}");
    outcome.failed_with("exec: \"/missing\": stat /missing: no such file or directory");
}

#[test]
fn a_users_program_that_is_detached_is_nobodys_child_but_its_callers() {
    needs!(root, probe);
    let bundle = running();
    let pid_file = bundle.dir.join("guest");
    let words = [
        "exec",
        "-d",
        "--pid-file",
        "guest",
        &bundle.id,
        "/probe",
        "sleep",
        "60",
    ];
    call(&bundle, &words).succeeded();
    let guest = fs::read_to_string(pid_file).unwrap();
    let status = fs::read_to_string(format!("/proc/{guest}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // Of the first process of this pid namespace, as orphans are: no process between lives on.
    assert_eq!(field("PPid:"), ["1"]);
    assert_eq!(field("NSpid:").len(), 2, "{status}");
    call(&bundle, &["kill", &bundle.id, "KILL"]).succeeded();
    eventually("the end of the guest", || {
        let stat = fs::read_to_string(format!("/proc/{guest}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
}

#[test]
fn a_users_program_gets_a_terminal() {
    needs!(root, probe);
    let bundle = running();
    let exec = bundle.command(&["exec", "-t", &bundle.id, "/probe"]);
    let words = std::iter::once(exec.get_program()).chain(exec.get_args());
    let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
    let mut script = Command::new("script");
    script.args([
        "-qec",
        &format!("{}; echo code $?", words.join(" ")),
        "/dev/null",
    ]);
    let outcome = bundle.finish(as_user(&bundle, script)).succeeded();
    assert!(outcome.stdout.contains("code 0"), "{outcome:?}");
    let said = "\"controlling_terminal\":true";
    assert!(outcome.stdout.contains(said), "{outcome:?}");
}

#[test]
fn a_users_program_has_the_score_of_the_document() {
    needs!(root, probe);
    let mut bundle = bundle(&["sleep", "60"]);
    bundle.set("/process/oomScoreAdj", json!(432));
    let bundle = started(bundle);
    let outcome = call(&bundle, &["exec", &bundle.id, "/probe"]).succeeded();
    assert_eq!(outcome.answer()["oom_score_adj"], 432);
}

#[test]
fn a_container_that_has_not_started_takes_no_program_of_a_users() {
    needs!(root, probe);
    let bundle = bundle(&["sleep", "60"]);
    call(&bundle, &["create", &bundle.id]).succeeded();
    let outcome = call(&bundle, &["exec", &bundle.id, "/probe"]);
    assert_eq!(outcome.code, 255, "{outcome:?}");
    outcome.failed_with("nor without root's rights before it is started");
}
