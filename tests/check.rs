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
