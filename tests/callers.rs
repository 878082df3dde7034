//! What Docker, containerd, Podman and CRI-O rely on beyond the texts of single commands.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;
use std::os::unix::process::CommandExt;

use harness::{Bundle, Outcome, needs};
use serde_json::{Value, json};

/// As containerd calls: with a log of its own.
fn logged(bundle: &Bundle, args: &[&str]) -> (Outcome, Vec<Value>) {
    let log = bundle.dir.join("log.json");
    let _ = fs::remove_file(&log);
    let flags = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let outcome = bundle.call(&[&flags, args].concat());
    let lines = fs::read_to_string(&log).unwrap_or_default();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (outcome, lines.collect())
}

#[test]
fn commands_that_succeed_print_nothing_and_log_nothing() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("sleep 100");
    for args in [
        &["create", "--pid-file", "pid", &bundle.id][..],
        &["start", &bundle.id],
        &["kill", &bundle.id, "KILL"],
        &["wait-until-stopped"],
        &["kill", "--all", &bundle.id, "9"],
        &["delete", &bundle.id],
        &["delete", "--force", &bundle.id],
    ] {
        if args[0] == "wait-until-stopped" {
            bundle.wait_for_status("stopped");
            continue;
        }
        let (outcome, log) = logged(&bundle, args);
        let outcome = outcome.succeeded();
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.as_str()),
            ("", ""),
            "{args:?}"
        );
        assert!(log.is_empty(), "{args:?}: {log:?}");
    }
}

#[test]
fn a_container_that_cannot_be_made_leaves_one_line_with_the_whole_cause() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("true");
    bundle.mount(json!({
        "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["size=lots"]
    }));
    for command in ["create", "run"] {
        let (outcome, log) = logged(&bundle, &[command, &bundle.id]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert_eq!(log.len(), 1, "{log:?}");
        assert_eq!(log[0]["level"], "error");
        let text = log[0]["msg"].as_str().unwrap();
        let start = format!(
            "bulkhead {command} failed: unable to start container process: \
             error during container init: "
        );
        assert!(text.starts_with(&start), "{text}");
        assert!(text.contains("/mnt") && text.contains("size"), "{text}");
        assert_eq!(outcome.stderr, format!("{text}\n"), "bare on stderr, too");
        bundle
            .call(&["state", &bundle.id])
            .failed_with("container does not exist");
    }
}

#[test]
fn called_runc_the_errors_have_that_name() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("true");
    bundle.args(&["no-such-program"]);
    let mut command = bundle.command(&["run", &bundle.id]);
    command.arg0("runc");
    bundle.finish(command).failed_with(
        "runc run failed: unable to start container process: error during container init: \
         exec: \"no-such-program\": executable file not found in $PATH",
    );
}

#[test]
fn flags_may_stand_behind_the_id() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exit 4");
    let dir = bundle.dir.to_str().unwrap();
    let outcome = bundle.call(&["run", &bundle.id, "--bundle", dir, "-no-pivot=false"]);
    assert_eq!(outcome.code, 4, "{outcome:?}");
}

#[test]
fn a_kept_container_is_there_until_it_is_deleted() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exit 4");
    let outcome = bundle.call(&["run", "--keep", &bundle.id]);
    assert_eq!(outcome.code, 4, "{outcome:?}");
    let state = bundle.state();
    assert_eq!(state["status"], "stopped");
    assert_eq!(state["exit"]["code"], 4);
    bundle.delete().succeeded();
}

#[test]
fn what_is_not_supported_yet_is_refused_when_a_container_is_made() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("true");
    for command in ["create", "run"] {
        for flag in ["--systemd-cgroup", "--cgroup-manager=systemd"] {
            bundle
                .call(&[flag, command, &bundle.id])
                .failed_with("systemd cgroup driver (--systemd-cgroup) is not supported yet");
        }
    }
    bundle
        .call(&["--systemd-cgroup", "state", &bundle.id])
        .failed_with("container does not exist");
}
