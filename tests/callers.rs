//! What Docker, containerd, Podman and CRI-O rely on beyond the texts of single commands.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::fs;
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::{Duration, Instant};

use harness::{Bundle, Outcome, needs};
use serde_json::{Value, json};

/// As containerd calls: with a log of its own.
fn logged(bundle: &Bundle, args: &[&str]) -> (Outcome, Vec<Value>) {
    let log = bundle.dir.join("log.json");
    let _ = fs::remove_file(&log);
    let flags = ["--log", log.to_str().unwrap(), "--log-format", "json"];
    let outcome = bundle.call(&[&flags, args].concat());
    (outcome, lines(bundle))
}

/// What is in that log by now.
fn lines(bundle: &Bundle) -> Vec<Value> {
    let text = fs::read_to_string(bundle.dir.join("log.json")).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
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

/// What a program is waited for to have done.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_warning_is_in_the_log_once_the_container_has_started() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("sleep 100");
    // Said before the monitor of a detached container is forked.
    bundle.set("/process/capabilities/bounding/-", json!("CAP_UNHEARD_OF"));
    let warning = "unknown capability \"CAP_UNHEARD_OF\" left out";
    let is_one = |log: &[Value]| {
        log.len() == 1
            && log[0]["level"] == "warning"
            && log[0]["msg"].as_str().unwrap().ends_with(warning)
    };
    for args in [
        &["run", "--detach", &bundle.id][..],
        &["create", &bundle.id],
    ] {
        let (outcome, log) = logged(&bundle, args);
        outcome.succeeded();
        assert!(is_one(&log), "{args:?}: {log:?}");
        bundle.call(&["kill", &bundle.id, "KILL"]).succeeded();
        bundle.call(&["wait", &bundle.id]);
        assert!(is_one(&lines(&bundle)), "the monitor has ended: {args:?}");
        bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    }

    fs::remove_file(bundle.dir.join("log.json")).unwrap();
    let flags = ["--log", "log.json", "--log-format", "json"];
    let mut run = bundle
        .command(&[&flags[..], &["run", &bundle.id]].concat())
        .spawn()
        .unwrap();
    eventually("the warning is written", || !lines(&bundle).is_empty());
    assert!(is_one(&lines(&bundle)), "{:?}", lines(&bundle));
    assert_eq!(bundle.state()["status"], "running");
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(is_one(&lines(&bundle)), "{:?}", lines(&bundle));
}

#[test]
fn what_the_monitor_of_a_detached_container_cannot_do_is_in_the_log() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("read -r word <go");
    let go = bundle.rootfs().join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (outcome, log) = logged(&bundle, &["run", "--detach", &bundle.id]);
    outcome.succeeded();
    assert!(log.is_empty(), "{log:?}");
    let record = bundle.state_dir().join(&bundle.id).join("state.json");
    let text = fs::read(&record).unwrap();
    fs::write(&record, "damaged").unwrap();
    fs::write(&go, "\n").unwrap();
    eventually("the monitor has spoken", || !lines(&bundle).is_empty());
    let said = &lines(&bundle)[0];
    assert_eq!(said["level"], "warning", "{said}");
    let words = said["msg"].as_str().unwrap();
    assert!(words.ends_with("; how it ended is not recorded"), "{words}");
    fs::write(&record, text).unwrap();
}

#[test]
fn a_warning_before_a_failure_is_not_in_the_log() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("true");
    bundle
        .args(&["no-such-program"])
        .set("/process/capabilities/bounding/-", json!("CAP_UNHEARD_OF"));
    for args in [&["run"][..], &["run", "-d"], &["create"]] {
        let (outcome, log) = logged(&bundle, &[args, &[bundle.id.as_str()]].concat());
        outcome.failed_with("executable file not found");
        assert_eq!(log.len(), 1, "{args:?}: {log:?}");
        assert_eq!(log[0]["level"], "error", "{args:?}");
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
fn groups_of_systemd_are_refused_where_it_does_not_run() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("true");
    for command in ["create", "run"] {
        for flag in ["--systemd-cgroup", "--cgroup-manager=systemd"] {
            bundle
                .call(&[flag, command, &bundle.id])
                .failed_with("--systemd-cgroup: systemd does not run here");
        }
    }
    bundle
        .call(&["--systemd-cgroup", "state", &bundle.id])
        .failed_with("container does not exist");
}
