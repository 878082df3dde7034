//! The same words as runc, in the same places: both are asked, and what they answer is compared.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs, program};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::thread;
use std::time::Duration;

/// What a caller sees of one command.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    what: &'static str,
    code: i32,
    stdout: String,
    /// What follows the time stamp.
    told: String,
}

/// A container's way through its states, each command where it is out of place.
fn answers(bundle: &Bundle, program: &OsStr) -> Vec<Answer> {
    let call = |words: &[&str]| {
        let mut command = bundle.command_of(program, words);
        command.arg0("runc"); // the name is part of some texts
        bundle.finish(command)
    };
    let id = bundle.id.as_str();
    let answer = |what, words: &[&str]| {
        let outcome = call(words);
        let stamped = outcome.stderr.split_once(" level=");
        Answer {
            what,
            code: outcome.code,
            told: stamped.map_or("", |(_, told)| told).to_owned(),
            stdout: outcome.stdout,
        }
    };
    let mut found = vec![
        answer("state of a missing one", &["state", id]),
        answer("delete a missing one", &["delete", id]),
        answer("delete a missing one by force", &["delete", "--force", id]),
        answer("create", &["create", id]),
        answer("create a duplicate", &["create", id]),
        answer("start", &["start", id]),
        answer("start twice", &["start", id]),
        answer("delete a running one", &["delete", id]),
        answer("kill", &["kill", id, "KILL"]),
    ];
    while !call(&["state", id]).succeeded().stdout.contains("stopped") {
        thread::sleep(Duration::from_millis(5));
    }
    found.extend([
        answer("kill a stopped one", &["kill", id, "KILL"]),
        answer("start a stopped one", &["start", id]),
        answer("delete", &["delete", id]),
        answer("delete twice", &["delete", id]),
    ]);
    found
}

#[test]
fn out_of_place_commands_are_refused_in_runcs_words() {
    needs!(root, probe, runc);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let theirs = answers(&bundle, OsStr::new("runc"));
    let ours = answers(&bundle, program());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

/// The type of each value by its path.
fn shape(value: &Value, path: &str, found: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    found.insert(path.into(), kind);
    match value {
        Value::Array(list) => list
            .iter()
            .for_each(|v| shape(v, &format!("{path}/-"), found)),
        Value::Object(map) => map
            .iter()
            .for_each(|(key, v)| shape(v, &format!("{path}/{key}"), found)),
        _ => {}
    }
}

#[test]
fn stats_have_the_keys_and_the_types_of_runcs() {
    needs!(root, busybox, runc);
    // The kernel tells of few pages late, and of none of them not at all.
    let script = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; head -c 4194304 /dev/zero >/dev/shm/x; echo done; exec sleep 60";
    let mut bundle = Bundle::busybox(script);
    // So little that it is throttled on a busy machine as well.
    let cpu = json!({ "quota": 4000, "period": 100000 });
    bundle.set("/linux/resources/cpu", cpu);
    bundle.set("/linux/resources/pids", json!({ "limit": 20 }));
    let shape_of = |program: &OsStr| {
        let call = |words: &[&str]| bundle.finish(bundle.command_of(program, words)).succeeded();
        let run = call(&["run", "--detach", &bundle.id]);
        while !run.stdout_now().contains("done") {
            thread::sleep(Duration::from_millis(5));
        }
        let line = call(&["events", "--stats", &bundle.id]).stdout;
        call(&["delete", "--force", &bundle.id]);
        let mut found = BTreeMap::new();
        shape(&serde_json::from_str(&line).unwrap(), "", &mut found);
        found
    };
    let theirs = shape_of(OsStr::new("runc"));
    let ours = shape_of(program());
    // Whether there was something to read from a disk is chance.
    let by_chance = |path: &str| path.starts_with("/data/blkio/io");
    for (path, kind) in theirs.iter().filter(|(path, _)| !by_chance(path)) {
        assert_eq!(ours.get(path), Some(kind), "{path}");
    }
    // What an old runc lacks, on v2 mostly.
    let newer = |path: &str| {
        let data = path.strip_prefix("/data/").unwrap_or_default();
        let begins = ["hugetlb/", "cpuset/cpus", "cpuset/mems"];
        data.contains("/psi")
            || data.starts_with("memory/") && data.ends_with("/max")
            || by_chance(path)
            || begins.iter().any(|name| data.starts_with(name))
    };
    for path in ours.keys() {
        assert!(theirs.contains_key(path) || newer(path), "{path}");
    }
}
