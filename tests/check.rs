//! `bulkhead check`.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;
mod program;

use harness::{Bundle, Outcome, needs};
use program::Program;
use serde_json::Value;
use std::process::Command;

#[test]
fn it_tells_of_the_kernel_and_its_code_is_its_verdict() {
    let program = Program::new();
    let text = program.line("check");
    assert_eq!(text.err, "");
    assert!(text.out.contains(" kernel "), "{}", text.out);
    let verdict = text.out.lines().next().unwrap();
    let runs = verdict.starts_with("containers run on this host");
    assert_eq!(runs, text.code == 0, "{verdict}");

    let json = program.line("check --format json");
    assert_eq!(json.code, text.code);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(report["containersRun"], runs);
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len() + 2, text.out.lines().count());
    for finding in findings {
        let weight = finding["weight"].as_str().unwrap();
        assert!(["good", "lacking", "fatal"].contains(&weight), "{finding}");
        assert!(finding["means"].is_string(), "{finding}");
    }
    let fatal = findings.iter().any(|f| f["weight"] == "fatal");
    assert_eq!(fatal, text.code == 1);
}

/// A user namespace has limits of its own, which its root may lower (namespaces(7)).
#[test]
fn a_host_without_mount_namespaces_cannot_run_containers() {
    let lower = r#"echo 0 >/proc/sys/user/max_mnt_namespaces && exec "$0" check"#;
    let outcome = program::outcome(
        Command::new("unshare")
            .args(["--user", "--map-root-user", "sh", "-c", lower])
            .arg(env!("CARGO_BIN_EXE_bulkhead")),
    );
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let mut lines = outcome.out.lines();
    assert_eq!(lines.next(), Some("containers cannot run on this host"));
    let fatal: Vec<_> = lines.filter(|line| line.starts_with("FATAL")).collect();
    // Whether this user may make groups and load programs is another matter.
    let about = |word| fatal.iter().filter(move |line| line.contains(word));
    assert_eq!(about(" namespace ").count(), 1, "{fatal:?}");
    assert_eq!(about(" namespace mount ").count(), 1, "{fatal:?}");
    assert_eq!(about("/proc/sys/user").count(), 1, "{fatal:?}");
}

/// Calls the program after a change to the mounts of cgroups, in a mount namespace of its own.
fn call_after(change: &str, bundle: &Bundle, args: &[&str]) -> Outcome {
    let call = bundle.command(args);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-e", "-c"])
        .arg(format!("(cd /sys/fs/cgroup; {change}); exec \"$0\" \"$@\""))
        .arg(call.get_program())
        .args(call.get_args())
        .current_dir(&bundle.dir);
    bundle.finish(command)
}

#[test]
fn what_it_says_of_cgroups_is_what_containers_meet() {
    needs!(root, probe, hybrid);
    let seal = |name| format!("mount -o remount,bind,ro {name}");
    for (change, fatal) in [
        ("true".to_string(), None),
        ("umount devices".into(), None),
        (
            "umount devices unified".into(),
            Some("controller devices  neither v1 nor v2"),
        ),
        (
            seal("pids"),
            Some("cgroups writable    not for this user: "),
        ),
        (
            seal("unified"),
            Some("cgroups writable    not for this user: "),
        ),
        (
            "cd /; umount --recursive /sys/fs/cgroup".into(),
            Some("cgroups             none: "),
        ),
    ] {
        let bundle = Bundle::probe(&["exit", "0"]);
        let check = call_after(&change, &bundle, &["check"]);
        let told: Vec<_> = check
            .stdout
            .lines()
            .filter(|l| l.starts_with("FATAL"))
            .collect();
        let run = call_after(&change, &bundle, &["run", &bundle.id]);
        assert_eq!(run.code, check.code, "{change}: {run:?} {check:?}");
        let Some(fatal) = fatal else {
            assert_eq!(told, Vec::<&str>::new(), "{change}");
            assert!(
                change == "true" || check.stdout.contains("v2: by eBPF"),
                "{check:?}"
            );
            continue;
        };
        assert_eq!(check.code, 1, "{change}: {check:?}");
        assert_eq!(told.len(), 1, "{change}: {told:?}");
        assert!(run.stderr.contains("cgroup"), "{change}: {run:?}");
        assert!(told[0].contains(fatal), "{change}: {told:?}");
        assert!(told[0].contains("--cgroup-manager disabled"), "{told:?}");
        let way_out = ["--cgroup-manager", "disabled", "run", &bundle.id];
        call_after(&change, &bundle, &way_out).succeeded();
    }
}
