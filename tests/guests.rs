//! Programs that join a container: many at once, and at bad moments.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use harness::{Bundle, eventually, needs, repetitions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn running() -> Bundle {
    let bundle = Bundle::probe(&["sleep", "60"]);
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle
}

fn exec(bundle: &Bundle, flags: &[&str], args: &[&str]) -> Child {
    let words = [&["exec"], flags, &[bundle.id.as_str()], args].concat();
    let mut command = bundle.command(&words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// How many processes `ps` finds in the container.
fn population(bundle: &Bundle) -> usize {
    let listed = bundle.call(&["ps", "--format", "json", &bundle.id]);
    let pids: Vec<i32> = serde_json::from_str(&listed.succeeded().stdout).unwrap();
    pids.len()
}

#[test]
fn forty_programs_enter_at_once() {
    needs!(root, probe);
    let bundle = running();
    let start = |number: usize| exec(&bundle, &[], &["/probe", "exit", &number.to_string()]);
    let guests: Vec<Child> = (0..40).map(start).collect();
    for (number, mut guest) in guests.into_iter().enumerate() {
        let ended = guest.wait().unwrap();
        assert_eq!(ended.code(), Some(i32::try_from(number).unwrap()));
    }
    eventually("the first one alone", || population(&bundle) == 1);
}

/// Whoever enters while the container goes is killed with it or finds it gone.
#[test]
fn nobody_survives_a_deletion_by_entering_meanwhile() {
    needs!(root, probe);
    for number in 0..repetitions(25, 500) {
        let bundle = running();
        let guests: Vec<Child> = (0..4)
            .map(|guest| {
                let flags = if guest % 2 == 0 { &["-d"][..] } else { &[] };
                exec(&bundle, flags, &["/probe", "sleep", "60"])
            })
            .collect();
        thread::sleep(Duration::from_micros(number as u64 * 1700 % 25_000));
        bundle.call(&["delete", "--force", &bundle.id]).succeeded();
        // Those that have entered are killed; no other finds the container, or a process of it.
        for mut guest in guests {
            let ended = guest.wait().unwrap();
            assert!(matches!(ended.code(), Some(0 | 137 | 255)), "{ended:?}");
        }
        // The bundle's end sees to it that no process and no group is left.
    }
}

#[test]
fn a_program_that_stands_still_with_its_container_is_interrupted() {
    needs!(root, probe);
    let bundle = running();
    bundle.call(&["pause", &bundle.id]).succeeded();
    let mut guest = exec(&bundle, &["--ignore-paused"], &["/probe", "exit", "0"]);
    thread::sleep(Duration::from_millis(200));
    assert!(guest.try_wait().unwrap().is_none(), "nothing stands still");
    let pid = Pid::from_raw(i32::try_from(guest.id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let mut ended = None;
    eventually("its end", || {
        ended = guest.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(128 + 15));

    bundle.call(&["resume", &bundle.id]).succeeded();
    eventually("the first one alone", || population(&bundle) == 1);
}

#[test]
fn a_program_that_is_not_interrupted_runs_when_its_container_goes_on() {
    needs!(root, probe);
    let bundle = running();
    bundle.call(&["pause", &bundle.id]).succeeded();
    let mut guest = exec(&bundle, &["--ignore-paused"], &["/probe", "exit", "6"]);
    thread::sleep(Duration::from_millis(100));
    bundle.call(&["resume", &bundle.id]).succeeded();
    assert_eq!(guest.wait().unwrap().code(), Some(6));
}
