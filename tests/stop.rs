//! `bulkhead stop` and `bulkhead wait`: how a detached container ended.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Bundle, needs};
use serde_json::Value;
use std::{fs, thread};

fn detached(script: &str) -> Bundle {
    let bundle = Bundle::busybox(script);
    bundle.call(&["run", "--detach", &bundle.id]).succeeded();
    bundle
}

/// The process that holds the container's pipes, by its record.
fn monitor(bundle: &Bundle) -> i32 {
    let record = bundle.state_dir().join(&bundle.id).join("state.json");
    let record: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    i32::try_from(record["monitor"]["pid"].as_i64().unwrap()).unwrap()
}

/// Fails the test unless `is_so` comes true within some seconds.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Kills a process that is not our child; returns when it is gone.
fn kill(pid: i32) {
    let process = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(process, nix::sys::signal::SIGKILL).unwrap();
    let gone = || !fs::exists(format!("/proc/{pid}")).unwrap();
    wait_until("the process is gone", gone);
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

#[test]
fn a_killed_monitor_keeps_nobody_waiting() {
    needs!(root, busybox, told_exits);
    for verb in ["wait", "stop"] {
        let bundle = detached("trap 'exit 4' TERM; sleep 0.5; exit 4");
        kill(monitor(&bundle));
        let begun = Instant::now();
        let outcome = bundle.call(&[verb, &bundle.id]).succeeded();
        assert!(verb == "stop" || outcome.stdout == "4\n", "{outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{verb} stalls");
        assert_eq!(bundle.state()["status"], "stopped");
    }
}

#[test]
fn who_waits_is_not_told_of_another_container_by_the_same_id() {
    needs!(root, busybox, told_exits);
    let mut bundle = detached("exec sleep 60");
    let mut command = bundle.command(&["wait", &bundle.id]);
    let waiter = command.stdout(Stdio::piped()).spawn().unwrap();
    thread::sleep(Duration::from_millis(100));
    // It looks again when the other has come and gone.
    let process = nix::unistd::Pid::from_raw(i32::try_from(waiter.id()).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::SIGSTOP).unwrap();
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    bundle.args(&["/bin/sh", "-c", "exit 7"]);
    bundle.call(&["run", "--detach", &bundle.id]).succeeded();
    let is_known = || !bundle.state()["exit"].is_null();
    wait_until("the end of the other is known", is_known);
    nix::sys::signal::kill(process, nix::sys::signal::SIGCONT).unwrap();
    let output = waiter.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "137\n");
}

#[test]
fn the_monitor_keeps_nothing_of_its_caller() {
    needs!(root, busybox);
    let bundle = Bundle::busybox("echo told >&3; exec 3>&-; exec sleep 60");
    let inner = bundle.command(&["run", "--detach", "--preserve-fds", "1", &bundle.id]);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$@" 3>&1 >/dev/null 2>&1"#, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(&bundle.dir);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut said = String::new();
        pipe.read_to_string(&mut said).unwrap();
        sender.send(said)
    });
    let said = receiver.recv_timeout(Duration::from_secs(5));
    assert_eq!(said.as_deref(), Ok("told\n"), "the pipe is held open");
    assert!(child.wait().unwrap().success());
    assert_eq!(bundle.state()["status"], "running");
    let cwd = fs::read_link(format!("/proc/{}/cwd", monitor(&bundle))).unwrap();
    assert_eq!(cwd.to_str(), Some("/"));
}

#[test]
fn a_killed_monitor_is_replaced_by_the_next_command() {
    needs!(root, busybox, told_exits);
    let bundle = detached("trap 'exit 6' TERM; while :; do sleep 0.05; done");
    for words in [
        &["state", &bundle.id][..],
        &["list"],
        &["kill", &bundle.id, "0"],
    ] {
        let lost = monitor(&bundle);
        kill(lost);
        // Several at once: one takes the place.
        let callers = [(); 3].map(|()| {
            let mut command = bundle.command(words);
            command.stdout(Stdio::null()).spawn().unwrap()
        });
        for mut caller in callers {
            assert!(caller.wait().unwrap().success(), "{words:?}");
        }
        let told = format!("a monitor after {words:?}");
        wait_until(&told, || monitor(&bundle) != lost);
        let ours = |line: &String| line.starts_with("process ") && line.contains("/bulkhead ");
        let only_one = || bundle.leftovers().into_iter().filter(ours).count() == 1;
        wait_until("only one stays", only_one);
    }
    bundle.kill("TERM").succeeded();
    let is_known = || !bundle.state()["exit"].is_null();
    wait_until("the end is written down", is_known);
    assert_eq!(bundle.state()["exit"]["code"], 6);
    let processes = || bundle.leftovers().into_iter();
    let has_ended = || !processes().any(|line| line.starts_with("process "));
    wait_until("every monitor has ended", has_ended);
}
