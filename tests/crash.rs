//! The runtime killed at any moment: what it leaves, `delete --force` removes.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{Bundle, needs, repetitions};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

/// How long a command takes when nobody disturbs it.
fn duration(bundle: &Bundle, args: &[&str]) -> Duration {
    let start = Instant::now();
    bundle.call(args).succeeded();
    start.elapsed()
}

/// Starts a command and kills it after `delay`.
fn kill_after(bundle: &Bundle, args: &[&str], delay: Duration) {
    let mut command = bundle.command(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// After one `delete --force` nothing is left, and the id can be used again.
#[track_caller]
fn assert_clean(bundle: &Bundle, told: &str) {
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    let deadline = Instant::now() + Duration::from_secs(2);
    while !bundle.leftovers().is_empty() {
        assert!(
            Instant::now() < deadline,
            "{told}: {:#?}",
            bundle.leftovers()
        );
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn create_killed_at_any_point_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let create = ["create", bundle.id.as_str()];
    let whole = duration(&bundle, &create);
    assert_clean(&bundle, "not killed");
    let points = repetitions(40, 400);
    for point in 0..points {
        let delay = whole * u32::try_from(point).unwrap() / u32::try_from(points).unwrap();
        kill_after(&bundle, &create, delay);
        assert_clean(
            &bundle,
            &format!("create killed after {delay:?} of {whole:?}"),
        );
    }
    bundle.create().succeeded();
    bundle.start().succeeded();
}

#[test]
fn run_killed_at_any_point_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["exit", "0"]);
    let run = ["run", bundle.id.as_str()];
    let whole = duration(&bundle, &run);
    let points = repetitions(40, 400);
    for point in 0..points {
        let delay = whole * u32::try_from(point).unwrap() / u32::try_from(points).unwrap();
        kill_after(&bundle, &run, delay);
        assert_clean(&bundle, &format!("run killed after {delay:?} of {whole:?}"));
    }
    bundle.run().succeeded();
}

#[test]
fn start_and_delete_killed_at_any_point_leave_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let id = bundle.id.as_str();
    for verb in ["start", "delete"] {
        let args = if verb == "start" {
            vec![verb, id]
        } else {
            vec![verb, "--force", id]
        };
        bundle.create().succeeded();
        let whole = duration(&bundle, &args);
        assert_clean(&bundle, "not killed");
        let points = repetitions(20, 200);
        for point in 0..points {
            bundle.create().succeeded();
            let delay = whole * u32::try_from(point).unwrap() / u32::try_from(points).unwrap();
            kill_after(&bundle, &args, delay);
            assert_clean(
                &bundle,
                &format!("{verb} killed after {delay:?} of {whole:?}"),
            );
        }
    }
}
