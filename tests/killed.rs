//! The runtime killed at any moment: what it leaves goes with one `delete --force`, and its id can be
//! used again.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;
#[path = "rootless/user.rs"]
mod user;

use harness::{Bundle, needs, repetitions};
use std::env;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Moments that differ with each run of the tests; `BULKHEAD_SEED` repeats one.
struct Moments {
    seed: u64,
    state: u64,
}

impl Moments {
    fn new() -> Self {
        let seed = match env::var("BULKHEAD_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => {
                let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                u64::from(time.subsec_nanos())
            }
        };
        let told = format!("BULKHEAD_SEED={seed}\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap(); // past the capture
        Self { seed, state: seed }
    }

    /// The next number, by the constants of splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A moment before `end`.
    fn before(&mut self, end: Duration) -> Duration {
        let nanos = u64::try_from(end.as_nanos()).unwrap();
        Duration::from_nanos(self.next() % nanos)
    }
}

/// What `delete --force` has not removed, some time to die granted.
fn left(bundle: &Bundle) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let leftovers = bundle.leftovers();
        if leftovers.is_empty() || Instant::now() > deadline {
            return leftovers;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Kills the command `words` at random moments of its life, which `prepare` makes ready for.
fn kill_at_random(bundle: &Bundle, words: &[&str], prepare: impl Fn(&Bundle)) {
    kill_of(|_, command| command, bundle, words, prepare);
}

/// [`kill_at_random`] where `called` says whose the commands are.
fn kill_of(
    called: impl Fn(&Bundle, Command) -> Command,
    bundle: &Bundle,
    words: &[&str],
    prepare: impl Fn(&Bundle),
) {
    let call = |words: &[&str]| bundle.finish(called(bundle, bundle.command(words)));
    let id = bundle.id.as_str();
    let words = [words, &[id]].concat();
    let force = || call(&["delete", "--force", id]).succeeded();
    prepare(bundle);
    let begun = Instant::now();
    call(&words).succeeded();
    // The harness looks for the end each millisecond; a busy machine may be slower the next time.
    let whole = begun.elapsed() * 5 / 4;
    force();

    let mut moments = Moments::new();
    for _ in 0..repetitions(20, 1000) {
        prepare(bundle);
        let moment = moments.before(whole);
        let mut command = called(bundle, bundle.command(&words));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();

        force();
        let told = format!("{words:?} killed after {moment:?}; seed {}", moments.seed);
        assert_eq!(left(bundle), Vec::<String>::new(), "{told}");
        let again = call(&["create", id]);
        assert_eq!(again.code, 0, "{told}: {again:?}");
        force();
    }
}

#[test]
fn a_killed_create_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    kill_at_random(&bundle, &["create"], |_| {});
}

#[test]
fn a_killed_start_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    kill_at_random(&bundle, &["start"], |bundle| {
        bundle.create().succeeded();
    });
}

#[test]
fn a_killed_run_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["exit", "0"]);
    kill_at_random(&bundle, &["run"], |_| {});
}

#[test]
fn a_killed_detached_run_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    kill_at_random(&bundle, &["run", "--detach"], |_| {});
}

#[test]
fn a_killed_delete_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    kill_at_random(&bundle, &["delete", "--force"], |bundle| {
        bundle.create().succeeded();
        bundle.start().succeeded();
    });
}

/// A container that runs, and what `exec` is to run in it.
fn prepare_for_exec(bundle: &Bundle) {
    let process = r#"{"args": ["/probe", "sleep", "60"], "cwd": "/"}"#;
    std::fs::write(bundle.dir.join("process.json"), process).unwrap();
    bundle.create().succeeded();
    bundle.start().succeeded();
}

#[test]
fn a_killed_exec_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = Bundle::probe(&["sleep", "60"]);
    let words = ["exec", "--detach", "--process", "process.json"];
    kill_at_random(&bundle, &words, prepare_for_exec);
}

/// It hands over to a process that is born in the container.
#[test]
fn a_killed_exec_of_a_user_leaves_what_force_removes() {
    needs!(root, probe);
    let bundle = user::bundle(&["sleep", "60"]);
    let process = r#"{"args": ["/probe", "sleep", "60"], "cwd": "/"}"#;
    std::fs::write(bundle.dir.join("process.json"), process).unwrap();
    let words = ["exec", "--detach", "--process", "process.json"];
    kill_of(user::as_user, &bundle, &words, |bundle| {
        user::call(bundle, &["run", "--detach", &bundle.id]).succeeded();
    });
}
