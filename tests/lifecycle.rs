//! `create`, `start`, `state`, `kill`, `delete` and `list`, in and out of order.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};
use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

const MISSING: &str = "container does not exist";

#[track_caller]
fn list(bundle: &Bundle) -> Value {
    let outcome = bundle.call(&["list", "--format", "json"]).succeeded();
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn a_container_is_created_then_started_then_stopped_then_gone() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["print", "started", "+", "sleep", "60"]);
    let created = bundle.create().succeeded();
    assert_eq!(bundle.state()["status"], "created");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(
        created.stdout_now(),
        "",
        "nothing of the program runs before start"
    );

    let started = bundle.start().succeeded();
    assert_eq!((started.stdout.as_str(), started.stderr.as_str()), ("", ""));
    assert_eq!(bundle.state()["status"], "running");

    bundle.kill("KILL").succeeded();
    assert_eq!(bundle.wait_for_status("stopped")["pid"], 0);
    bundle.delete().succeeded();
    bundle.call(&["state", &bundle.id]).failed_with(MISSING);
    assert!(created.stdout_now().starts_with("started\n"));
}

#[test]
fn state_tells_what_callers_read() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["sleep", "60"]);
    bundle.set("/annotations", json!({ "org.example.key": "value" }));
    bundle.create().succeeded();
    let state = bundle.state();
    assert_eq!(state["id"], bundle.id.as_str());
    assert_eq!(state["bundle"], bundle.dir.to_str().unwrap());
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    assert!(state["created"].as_str().unwrap().ends_with('Z'));
    let pid = state["pid"].as_u64().unwrap();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn the_pid_file_names_the_process_by_the_hosts_number() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let file = bundle.dir.join("pid");
    bundle
        .call(&["create", "--pid-file", file.to_str().unwrap(), &bundle.id])
        .succeeded();
    assert_eq!(
        fs::read_to_string(file).unwrap(),
        bundle.state()["pid"].to_string()
    );
}

/// Takes one connection: the bytes of its message, and the process that its descriptor stands for.
fn receive_pidfd(listener: &UnixListener) -> (String, String) {
    let (connection, _) = listener.accept().unwrap();
    let mut bytes = [0; 100];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!(RawFd);
    let fd = connection.as_raw_fd();
    let message = recvmsg::<()>(fd, &mut parts, Some(&mut space), MsgFlags::empty()).unwrap();
    let count = message.bytes;
    let mut held = Vec::new();
    for control in message.cmsgs().unwrap() {
        let ControlMessageOwned::ScmRights(fds) = control else {
            panic!("{control:?}");
        };
        held.extend(fds);
    }
    assert_eq!(held.len(), 1, "one descriptor");
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", held[0])).unwrap();
    nix::unistd::close(held[0]).unwrap();
    let pid = about.lines().find_map(|line| line.strip_prefix("Pid:\t"));
    let pid = pid.expect("a pidfd").to_owned();
    (String::from_utf8_lossy(&bytes[..count]).into_owned(), pid)
}

#[test]
fn the_pidfd_of_the_process_is_sent_before_the_pid_file_is_written() {
    needs!(root, probe);
    for command in [&["create"][..], &["run", "-d"]] {
        let bundle = Bundle::probe(&["sleep", "60"]);
        let listener = UnixListener::bind(bundle.dir.join("s")).unwrap();
        // What follows the socket fails: the file that a pid file begins as is there.
        fs::write(bundle.dir.join(".pid"), "").unwrap();
        let flags = ["--pidfd-socket", "s", "--pid-file", "pid", &bundle.id];
        let failed = bundle.call(&[command, &flags].concat());
        failed.failed_with("write the pid file pid");
        assert_eq!(receive_pidfd(&listener).0, "standard");

        fs::remove_file(bundle.dir.join(".pid")).unwrap();
        bundle.call(&[command, &flags].concat()).succeeded();
        let (said, pid) = receive_pidfd(&listener);
        assert_eq!(said, "standard");
        assert_eq!(pid, bundle.state()["pid"].to_string(), "{command:?}");
    }
}

#[test]
fn a_pidfd_that_nobody_takes_is_an_error_and_leaves_nothing() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    drop(UnixListener::bind(bundle.dir.join("deaf")).unwrap());
    for (name, reason) in [
        ("none", "no such file or directory"),
        ("deaf", "connection refused"),
        (&"long".repeat(30), "file name too long"),
    ] {
        let path = bundle.dir.join(name);
        let text = format!("send the pidfd to {}: {reason}", path.display());
        let created = bundle.call(&["create", "--pidfd-socket", name, &bundle.id]);
        created.failed_with(&text);
        bundle.call(&["state", &bundle.id]).failed_with(MISSING);
    }
}

#[test]
fn an_id_that_is_taken_is_refused_and_the_first_lives_on() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    let pid = bundle.state()["pid"].clone();
    bundle
        .create()
        .failed_with("container with given ID already exists");
    assert_eq!(bundle.state()["pid"], pid);
    bundle.start().succeeded();
}

#[test]
fn of_many_creations_of_one_id_one_wins() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let create = || {
        let mut command = bundle.command(&["create", &bundle.id]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let children: Vec<_> = (0..8)
        .map(|_| create())
        .map(|mut c| c.spawn().unwrap())
        .collect();
    let codes = children
        .into_iter()
        .map(|mut child| child.wait().unwrap().code());
    assert_eq!(codes.filter(|code| *code == Some(0)).count(), 1);
    assert_eq!(bundle.state()["status"], "created");
}

#[test]
fn an_id_that_is_no_file_name_is_refused() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["exit", "0"]);
    let long = "a".repeat(256);
    for id in ["", ".", "..", "a/b", "../a", "a b", "a\n", "ü", &long] {
        let outcome = bundle.call(&["run", id]);
        assert_eq!(outcome.code, 1, "{id:?}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{id:?}");
    }
    assert!(!bundle.dir.join("a").exists());
}

#[test]
fn commands_on_a_missing_container_say_so() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    for verb in ["state", "start", "kill", "delete"] {
        let outcome = bundle.call(&[verb, &bundle.id]).failed_with(MISSING);
        assert_eq!(outcome.code, 1, "{verb}");
    }
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
}

#[test]
fn a_container_is_started_once() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle
        .start()
        .failed_with("cannot start an already running container");
    bundle.kill("9").succeeded();
    bundle.wait_for_status("stopped");
    bundle
        .start()
        .failed_with("cannot start a container that has stopped");
}

#[test]
fn a_running_container_is_deleted_by_force_only() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle.delete().failed_with("that is not stopped: running");
    assert_eq!(bundle.state()["status"], "running");
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    bundle.call(&["state", &bundle.id]).failed_with(MISSING);
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
}

#[test]
fn a_created_container_can_be_deleted() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    bundle.delete().succeeded();
    bundle.call(&["state", &bundle.id]).failed_with(MISSING);
}

#[test]
fn a_signal_is_given_by_number_or_name() {
    needs!(root, probe);
    for signal in ["15", "TERM", "SIGTERM", "term", "sigterm"] {
        let bundle = Bundle::probe(&["wait-signal", "15", "1", "+", "print", "end"]);
        let created = bundle.create().succeeded();
        bundle.start().succeeded();
        // What comes before the probe waits is lost: pid 1 has no handler.
        while bundle.state()["status"] == "running" {
            bundle.call(&["kill", &bundle.id, signal]);
            thread::sleep(Duration::from_millis(10));
        }
        assert!(
            created.stdout_now().contains(r#""ok":15"#),
            "{signal}: {}",
            created.stdout_now()
        );
    }
}

#[test]
fn an_unknown_signal_is_refused() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    for signal in ["NOPE", "-9x", "9.5"] {
        assert_eq!(bundle.kill(signal).code, 1, "{signal:?}");
    }
    bundle.kill("NOPE").failed_with("unknown signal");
    for number in ["65", "2147483648", "99999999999", "-2147483649"] {
        let refused = bundle.kill(number);
        refused.failed_with("unable to signal init: invalid argument");
    }
    assert_eq!(bundle.state()["status"], "created");
}

#[test]
fn an_empty_signal_is_the_one_that_asks_to_end() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["wait-signal", "15", "60", "+", "print", "end"]);
    let created = bundle.create().succeeded();
    bundle.start().succeeded();
    while bundle.state()["status"] == "running" {
        bundle.kill("");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(
        created.stdout_now().contains(r#""ok":15"#),
        "{}",
        created.stdout_now()
    );
    bundle.call(&["kill", "nope", ""]).failed_with(MISSING);
}

#[test]
fn a_stopped_container_takes_no_signal() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["exit", "0"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle.wait_for_status("stopped");
    bundle.kill("TERM").failed_with("container not running");
}

#[test]
fn list_shows_every_container_and_null_without_one() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    let listed = list(&bundle);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["id"], bundle.id.as_str());
    assert_eq!(listed[0]["status"], "created");
    let ids = bundle.call(&["list", "--quiet"]).succeeded().stdout;
    assert_eq!(ids, format!("{}\n", bundle.id));
    let table = bundle.call(&["list"]).succeeded().stdout;
    let words: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    assert_eq!(list(&bundle), Value::Null);
}

#[test]
fn what_a_container_leaves_running_ends_with_it() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["orphan", "60", "+", "exit", "0"]);
    bundle.run().succeeded(); // the bundle looks for what is left
}

#[test]
fn without_a_pid_namespace_force_deletes_the_orphans_too() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["orphan", "60", "+", "exit", "0"]);
    bundle.remove("/linux/namespaces/0");
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle.wait_for_status("stopped");
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
}
