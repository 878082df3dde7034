//! Containers that are not there yet, no longer, or only half: other commands meet them nevertheless.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs};
use nix::fcntl::{Flock, FlockArg};
use serde_json::json;
use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Fails the test unless `is_so` comes true within some seconds.
#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The processes in the container's groups.
fn processes(bundle: &Bundle) -> Vec<String> {
    let mut found = bundle.leftovers();
    found.retain(|line| line.starts_with("process ") && line.contains(":/"));
    found
}

/// A creation that takes a second in a hook, and has come to it.
fn creating(bundle: &mut Bundle, verb: &[&str]) -> Child {
    let script = "touch hooked; sleep 1";
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] });
    bundle.set("/hooks/createRuntime/-", hook);
    let mut command = bundle.command(&[verb, &[&bundle.id]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    wait_until("the hook runs", || bundle.dir.join("hooked").exists());
    child
}

#[test]
fn what_a_stopped_container_left_running_takes_sigkill() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["orphan", "60", "+", "exit", "0"]);
    bundle.remove("/linux/namespaces/0");
    for verb in [&["kill"][..], &["kill", "--all"], &["stop"]] {
        bundle.create().succeeded();
        bundle.start().succeeded();
        bundle.wait_for_status("stopped");
        assert_eq!(processes(&bundle).len(), 1, "the orphan");
        let signal: &[&str] = if verb == ["stop"] { &[] } else { &["9"] };
        let words = [verb, &[&bundle.id], signal].concat();
        bundle.call(&words).succeeded();
        wait_until("the orphan is gone", || processes(&bundle).is_empty());
        bundle.kill("9").failed_with("container not running");
        bundle.delete().succeeded();
    }
}

#[test]
fn an_unfinished_container_can_be_ended() {
    needs!(root, probe);
    for verb in ["kill", "stop", "delete"] {
        let mut bundle = Bundle::probe(&["sleep", "60"]);
        let mut creator = creating(&mut bundle, &["create"]);
        assert_eq!(bundle.state()["status"], "creating");
        let id = bundle.id.as_str();
        let words = match verb {
            "kill" => vec!["kill", id, "KILL"],
            "stop" => vec!["stop", id],
            _ => vec!["delete", "--force", id],
        };
        bundle.call(&words).succeeded();
        assert!(!creator.wait().unwrap().success(), "{verb}");
        assert_eq!(bundle.leftovers(), Vec::<String>::new(), "{verb}");
    }
}

#[test]
fn a_container_whose_creator_was_killed_is_stopped() {
    needs!(root, probe);
    for verb in [&["create"][..], &["run", "--detach"]] {
        let mut bundle = Bundle::probe(&["sleep", "60"]);
        let mut creator = creating(&mut bundle, verb);
        assert_eq!(bundle.state()["status"], "creating");
        creator.kill().unwrap();
        creator.wait().unwrap();
        bundle.wait_for_status("stopped");
        let listed = bundle.call(&["list"]).succeeded().stdout;
        assert!(listed.contains("stopped"), "{listed}");
        wait_until("its process ends with it", || processes(&bundle).is_empty());
        bundle
            .start()
            .failed_with("cannot start a container that has stopped");
        bundle.kill("TERM").failed_with("container not running");
        bundle.delete().succeeded();
    }
}

#[test]
fn delete_by_force_says_who_is_in_its_way() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    let dir = File::open(bundle.state_dir().join(&bundle.id)).unwrap();
    let lock = Flock::lock(dir, FlockArg::LockExclusive).unwrap();
    let words = ["delete", "--force", &bundle.id];
    let refused = bundle
        .call(&words)
        .failed_with("container init still running");
    let holder = format!("process {} works on", std::process::id());
    refused.failed_with(&holder);
    assert_eq!(bundle.state()["status"], "stopped", "killed all the same");
    drop(lock);
    bundle.call(&words).succeeded();
}

#[test]
fn a_detached_container_that_cannot_be_recorded_does_not_run() {
    needs!(root, busybox);
    let mut bundle = Bundle::busybox("exec sleep 60");
    let mount = json!({ "destination": "/mnt", "source": bundle.dir, "options": ["bind"] });
    bundle.mount(mount);
    // In the way of the record that is written when the program runs.
    let script = format!("mkdir /mnt/state/{}/.state.json.new", bundle.id);
    let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] });
    bundle.set("/hooks/startContainer/-", hook);
    let run = bundle.call(&["run", "--detach", &bundle.id]);
    run.failed_with("failed: ")
        .failed_with("remove: is a directory");
    assert_eq!(processes(&bundle), Vec::<String>::new());
    fs::remove_dir(bundle.state_dir().join(&bundle.id).join(".state.json.new")).unwrap();
}

#[test]
fn a_damaged_record_hides_no_other_and_goes_by_force() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    let whole = fs::read(bundle.state_dir().join(&bundle.id).join("state.json")).unwrap();
    let mut later: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    later["version"] = json!(later["version"].as_u64().unwrap() + 1);
    let later = later.to_string();
    let damages = [
        ("empty", &b""[..], "not the record of a container"),
        (
            "half",
            &whole[..whole.len() / 2],
            "not the record of a container",
        ),
        ("garbage", b"\0\xff{]", "not the record of a container"),
        ("later", later.as_bytes(), "record version"),
    ];
    for (id, record, told) in damages {
        let dir = bundle.state_dir().join(id);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("state.json"), record).unwrap();
        let listed = bundle.call(&["list", "--quiet"]).succeeded();
        assert_eq!(listed.stdout, format!("{}\n", bundle.id), "{id}");
        let marked = format!("load container {id}: ");
        assert!(listed.stderr.contains(&marked), "{}", listed.stderr);
        assert!(listed.stderr.contains(told), "{}", listed.stderr);
        bundle.call(&["delete", id]).failed_with(told);
        assert!(dir.exists(), "{id}: only by force");
        bundle.call(&["delete", "--force", id]).succeeded();
        assert!(!dir.exists(), "{id}");
    }
    assert_eq!(bundle.state()["status"], "created");
}

/// A wrong `--root` may name a folder of bundles.
#[test]
fn a_folder_that_is_no_containers_keeps_its_files() {
    needs!(root, probe);
    let bundle = Bundle::probe(&[]);
    let folder = bundle.state_dir().join("other");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    for words in [&["delete", "other"][..], &["delete", "--force", "other"]] {
        assert_ne!(bundle.call(words).code, 0, "{words:?}");
        assert_eq!(
            fs::read_to_string(folder.join("config.json")).unwrap(),
            "{}"
        );
    }
}
