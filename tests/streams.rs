//! Standard input, output and error, and the other descriptors of the caller.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, Outcome, needs};
use serde_json::json;
use std::process::Command;

/// Runs the container through the host's shell, where `"$@"` of the script is the command.
fn through_shell(bundle: &Bundle, options: &[&str], script: &str) -> Outcome {
    let run = bundle.command(&[&["run"], options, &[&bundle.id]].concat());
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(run.get_program());
    shell.args(run.get_args()).current_dir(&bundle.dir);
    bundle.finish(shell)
}

#[test]
fn no_descriptor_of_the_caller_reaches_the_program() {
    needs!(root, probe);
    let opened = r#"exec "$@" 3</etc/passwd 4</ 5</etc/group 7>file 9</proc/self/ns/mnt"#;
    let report = through_shell(&Bundle::probe(&[]), &[], opened)
        .succeeded()
        .answer();
    let open = report["descriptors"].as_object().unwrap();
    assert_eq!(open.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{open:?}");
}

#[test]
fn no_descriptor_reaches_a_container_that_is_created_first() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let created = bundle.create().succeeded();
    bundle.start().succeeded();
    bundle.wait_for_status("stopped");
    let report: serde_json::Value = serde_json::from_str(&created.stdout_now()).unwrap();
    let open = report["descriptors"].as_object().unwrap();
    assert_eq!(open.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{open:?}");
}

#[test]
fn a_descriptor_to_be_kept_that_is_not_open_is_named() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let outcome = through_shell(
        &bundle,
        &["--preserve-fds", "3"],
        r#"exec "$@" 3</etc/passwd"#,
    );
    outcome.failed_with("unable to stat preserved-fd 1 (of 3)");
}

#[test]
fn what_the_caller_has_closed_leads_nowhere() {
    needs!(root, probe);
    for (number, close) in [("0", "<&-"), ("2", "2>&-")] {
        let bundle = Bundle::probe(&[]);
        let script = format!(r#"exec "$@" {close}"#);
        let report = through_shell(&bundle, &[], &script).succeeded().answer();
        let open = &report["descriptors"];
        assert_eq!(open[number], "/dev/null", "{open}");
    }
    for close in [">&-", "<&- >&- 2>&-"] {
        let bundle = Bundle::probe(&["exit", "7"]);
        let script = format!(r#"exec "$@" {close}"#);
        assert_eq!(through_shell(&bundle, &[], &script).code, 7, "{close}");
    }
}

#[test]
fn a_user_may_open_the_pipes_it_was_given() {
    needs!(root, busybox);
    let mut bundle =
        Bundle::busybox("echo out >/dev/stdout; echo err >/dev/stderr; cat </dev/stdin");
    bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let outcome = through_shell(&bundle, &[], r#"echo in | "$@" 2>&1 | cat"#).succeeded();
    assert_eq!(outcome.stdout, "out\nerr\nin\n");
}

#[test]
fn a_file_given_as_output_keeps_its_owner() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["print", "text"]);
    bundle.set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    through_shell(&bundle, &[], r#"exec "$@" >file"#).succeeded();
    let file = std::fs::metadata(bundle.dir.join("file")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&file), 0);
}

#[test]
fn signals_that_the_caller_ignores_or_blocks_are_at_their_defaults() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    // What nohup(1) and background jobs ignore, and more.
    let script = r#"trap "" HUP INT QUIT PIPE TERM CHLD USR1 TSTP; exec "$@""#;
    let report = through_shell(&bundle, &[], script).succeeded().answer();
    assert_eq!(report["signals_ignored"], json!([]));
    assert_eq!(report["signals_blocked"], json!([]));
}
