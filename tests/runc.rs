//! The same words as runc, in the same places: both are asked, and what they answer is compared.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs, program};
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
