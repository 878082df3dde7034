//! Containers one after the other, beside each other and against each other: nothing piles up.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs, repetitions};
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// What any process has open in the bundle's folder, in words: locks, gates, outputs.
fn descriptors(bundle: &Bundle) -> Vec<String> {
    let dir = bundle.dir.to_str().unwrap();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let descriptors = fs::read_dir(process.path().join("fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let open = fs::read_link(descriptor.path()).unwrap_or_default();
            if open.to_string_lossy().contains(dir) {
                found.push(format!(
                    "{} is {}",
                    descriptor.path().display(),
                    open.display()
                ));
            }
        }
    }
    found
}

/// No group, mount, state, process or descriptor of the container is left; one that has just been
/// killed has a moment to die.
#[track_caller]
fn assert_nothing_left(bundle: &Bundle) {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let left = [bundle.leftovers(), descriptors(bundle)].concat();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {left:#?}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn run(bundle: &Bundle) {
    assert_eq!(bundle.run().code, 5);
}

fn create_start_delete(bundle: &Bundle) {
    bundle.create().succeeded();
    bundle.start().succeeded();
    bundle.wait_for_status("stopped");
    bundle.delete().succeeded();
}

fn cycle(act: fn(&Bundle), cycles: usize) {
    let bundle = Bundle::probe(&["exit", "5"]);
    for _ in 0..cycles {
        act(&bundle);
    }
    assert_nothing_left(&bundle);
}

fn cycle_beside_each_other(act: fn(&Bundle), cycles: usize) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || cycle(act, cycles));
        }
    });
}

#[test]
fn runs_leave_nothing() {
    needs!(root, probe);
    cycle(run, repetitions(100, 1000));
}

#[test]
fn runs_beside_each_other_leave_nothing() {
    needs!(root, probe);
    cycle_beside_each_other(run, repetitions(25, 250));
}

#[test]
fn creations_started_and_deleted_leave_nothing() {
    needs!(root, probe);
    cycle(create_start_delete, repetitions(100, 1000));
}

#[test]
fn creations_beside_each_other_leave_nothing() {
    needs!(root, probe);
    cycle_beside_each_other(create_start_delete, repetitions(25, 250));
}

#[test]
fn of_two_who_create_one_container_one_does() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    for round in 0..50 {
        let both = [(); 2].map(|()| {
            let mut command = bundle.command(&["create", &bundle.id]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        });
        let codes = both.map(|mut child| child.wait().unwrap().code().unwrap());
        assert_eq!(
            codes.iter().filter(|code| **code == 0).count(),
            1,
            "{round}"
        );
        assert_eq!(bundle.state()["status"], "created", "{round}");
        bundle.delete().succeeded();
    }
    assert_nothing_left(&bundle);
}
