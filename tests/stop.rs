//! `bulkhead stop` and `bulkhead wait`: how a detached container ended.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::process::Stdio;
use std::time::{Duration, Instant};

use harness::{Bundle, needs};

fn detached(script: &str) -> Bundle {
    let bundle = Bundle::busybox(script);
    bundle.call(&["run", "--detach", &bundle.id]).succeeded();
    bundle
}

#[test]
fn wait_prints_the_exit_code_once_it_is_known() {
    needs!(root, busybox);
    let bundle = detached("sleep 0.2; exit 7");
    let begun = Instant::now();
    let waited = bundle.call(&["wait", &bundle.id]).succeeded();
    assert_eq!(waited.stdout, "7\n");
    assert!(begun.elapsed() > Duration::from_millis(100), "it waited");
    let again = bundle.call(&["wait", &bundle.id]).succeeded();
    assert_eq!(again.stdout, "7\n", "and known afterwards");
}

#[test]
fn two_who_wait_are_both_told() {
    needs!(root, busybox);
    let bundle = detached("sleep 0.3; exit 5");
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let mut command = bundle.command(&["wait", &bundle.id]);
            command.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for waiter in waiters {
        let output = waiter.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "5\n");
    }
}

#[test]
fn how_a_detached_container_ended_is_in_its_state_though_nobody_waited() {
    needs!(root, busybox);
    let bundle = detached("exit 3");
    bundle.wait_for_status("stopped");
    // The monitor writes the code down when it has seen the end.
    bundle.call(&["wait", &bundle.id]).succeeded();
    let exit = &bundle.state()["exit"];
    assert_eq!(exit["code"], 3);
    assert_eq!(exit["oom"], false);
    let at = exit["at"].as_str().unwrap();
    assert!(at.parse::<bulkhead::state::Time>().is_ok(), "{at}");
    let list = bundle.call(&["list", "--format", "json"]).succeeded();
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(list[0]["exit"]["code"], 3);
}

#[test]
fn stop_asks_first() {
    needs!(root, busybox);
    let bundle = detached("trap 'exit 9' TERM; while :; do sleep 0.05; done");
    // The shell may not have come to its trap yet.
    std::thread::sleep(Duration::from_millis(200));
    let stopped = bundle.call(&["stop", &bundle.id]).succeeded();
    assert_eq!((stopped.stdout.as_str(), stopped.stderr.as_str()), ("", ""));
    assert_eq!(bundle.state()["status"], "stopped");
    assert_eq!(bundle.call(&["wait", &bundle.id]).stdout, "9\n");
}

#[test]
fn stop_kills_what_does_not_listen_when_its_time_is_over() {
    needs!(root, busybox);
    // The first process of a pid namespace is not ended by a signal that it does not handle.
    let bundle = detached("while :; do sleep 0.05; done");
    let begun = Instant::now();
    bundle
        .call(&["stop", "--time", "1", &bundle.id])
        .succeeded();
    assert!(begun.elapsed() >= Duration::from_secs(1), "it gave time");
    assert_eq!(bundle.call(&["wait", &bundle.id]).stdout, "137\n");
    assert_eq!(bundle.state()["exit"]["signal"], 9);
    bundle.call(&["stop", &bundle.id]).succeeded();
}
