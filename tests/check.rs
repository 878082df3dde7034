//! `bulkhead check`.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod program;

use program::Program;
use serde_json::Value;

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
        std::process::Command::new("unshare")
            .args(["--user", "--map-root-user", "sh", "-c", lower])
            .arg(env!("CARGO_BIN_EXE_bulkhead")),
    );
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let mut lines = outcome.out.lines();
    assert_eq!(lines.next(), Some("containers cannot run on this host"));
    let fatal: Vec<_> = lines.filter(|line| line.starts_with("FATAL")).collect();
    assert_eq!(fatal.len(), 1, "{fatal:?}");
    assert!(fatal[0].contains("namespace mount"), "{fatal:?}");
    assert!(fatal[0].contains("/proc/sys/user"), "{fatal:?}");
}
