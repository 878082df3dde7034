//! `bulkhead pause` and `bulkhead resume`: a container stands still, and goes on.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs, slowness};
use nix::libc;
use std::thread;
use std::time::{Duration, Instant};

const COUNTING: &str = "while :; do echo tick; sleep 0.01; done";

fn pause(bundle: &Bundle) -> harness::Outcome {
    bundle.call(&["pause", &bundle.id])
}

fn resume(bundle: &Bundle) -> harness::Outcome {
    bundle.call(&["resume", &bundle.id])
}

/// Waits until the container has written more than it has by now.
#[track_caller]
fn advances(bundle: &Bundle) {
    let deadline = Instant::now() + Duration::from_secs(10) * slowness();
    let before = bundle.background_output().len();
    while bundle.background_output().len() == before {
        assert!(Instant::now() < deadline, "stands still");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_paused_program_does_not_advance_until_it_is_resumed() {
    needs!(root, busybox);
    let bundle = Bundle::busybox(COUNTING);
    let mut parent = bundle.run_in_background();
    advances(&bundle);
    let paused = pause(&bundle).succeeded();
    assert_eq!((paused.stdout.as_str(), paused.stderr.as_str()), ("", ""));
    let state = bundle.state();
    assert_eq!(state["status"], "paused");
    assert_ne!(state["pid"], 0);
    let before = bundle.background_output();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(bundle.background_output(), before, "it has gone on");

    let resumed = resume(&bundle).succeeded();
    assert_eq!((resumed.stdout.as_str(), resumed.stderr.as_str()), ("", ""));
    assert_eq!(bundle.state()["status"], "running");
    advances(&bundle);
    bundle.kill("KILL").succeeded();
    parent.wait().unwrap();
}

#[test]
fn a_container_is_paused_once_and_resumed_once() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    bundle.create().succeeded();
    resume(&bundle).failed_with("container not paused");
    pause(&bundle).succeeded();
    pause(&bundle).failed_with("container not running");
    let refused = "cannot start a container in the paused state";
    bundle.start().failed_with(refused);
    bundle.delete().failed_with("that is not stopped: paused");
    resume(&bundle).succeeded();
    resume(&bundle).failed_with("container not paused");
    assert_eq!(bundle.state()["status"], "created", "as it was");
    bundle.start().succeeded();
    assert_eq!(bundle.state()["status"], "running");
}

#[test]
fn sigkill_ends_a_paused_container_and_other_signals_wait() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("trap 'exit 5' TERM; while :; do sleep 0.01; done");
    let mut parent = bundle.run_in_background();
    pause(&bundle).succeeded();
    bundle.kill("TERM").succeeded();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(parent.try_wait().unwrap(), None, "a signal has thawed it");
    assert_eq!(bundle.state()["status"], "paused");
    bundle.kill("KILL").succeeded();
    assert_eq!(parent.wait().unwrap().code(), Some(128 + libc::SIGKILL));
}

#[test]
fn a_paused_container_that_is_asked_to_stop_hears_it() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("trap 'exit 9' TERM; echo set; while :; do sleep 0.01; done");
    let run = bundle.call(&["run", "--detach", &bundle.id]).succeeded();
    while run.stdout_now().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    pause(&bundle).succeeded();
    bundle.call(&["stop", "--time=60", &bundle.id]).succeeded();
    assert_eq!(bundle.call(&["wait", &bundle.id]).stdout, "9\n");
}

#[test]
fn a_storm_of_forks_is_paused_too() {
    needs!(root, busybox);
    let forks = "while :; do /bin/true; done";
    let bundle = Bundle::busybox(&format!("({forks}) & ({forks}) & {forks}"));
    bundle.call(&["run", "--detach", &bundle.id]).succeeded();
    let pids = || bundle.call(&["ps", "-f", "json", &bundle.id]).stdout;
    for _ in 0..5 {
        pause(&bundle).succeeded();
        let before = pids();
        thread::sleep(Duration::from_millis(50));
        assert_eq!(pids(), before, "somebody is born or dies");
        resume(&bundle).succeeded();
    }
}

#[test]
fn a_paused_container_is_deleted_by_force() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("sleep 60 & exec sleep 60");
    bundle.create().succeeded();
    bundle.start().succeeded();
    pause(&bundle).succeeded();
    // What is left is found when the bundle is dropped.
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
}

#[test]
fn what_has_stopped_or_is_missing_cannot_be_paused() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exit 0");
    pause(&bundle).failed_with("container does not exist");
    resume(&bundle).failed_with("container does not exist");
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle.wait_for_status("stopped");
    pause(&bundle).failed_with("container not running");
    resume(&bundle).failed_with("container not paused");
}

#[test]
fn a_container_without_a_group_cannot_be_paused() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("exec sleep 60");
    let create = ["--cgroup-manager", "disabled", "create", &bundle.id];
    bundle.call(&create).succeeded();
    pause(&bundle).failed_with("has no cgroup of its own, and pause needs one");
    assert_eq!(bundle.state()["status"], "created");
}
