//! Groups that systemd makes: seen by it, by the kernel and by the program inside.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod hybrid;
mod limits;
mod names;
mod users;

use harness::{Bundle, Outcome, eventually, needs, repetitions};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

const MEBIBYTE: u64 = 1 << 20;

/// A container with a scope of systemd's for a group.
struct Scope {
    bundle: Bundle,
}

impl Scope {
    /// What the program does is the probe's to do.
    fn of(args: &[&str]) -> Self {
        let bundle = Bundle::probe(args);
        Self { bundle }
    }

    fn create(&self) -> Outcome {
        let words = ["--systemd-cgroup", "create", &self.bundle.id];
        self.bundle.call(&words)
    }

    fn delete(&self) -> Outcome {
        self.bundle.call(&["delete", "--force", &self.bundle.id])
    }

    /// The unit's name where no path is given.
    fn unit(&self) -> String {
        format!("bulkhead-{}.scope", self.bundle.id)
    }

    fn shows(&self, property: &str) -> String {
        show(&self.unit(), property)
    }

    fn group(&self) -> PathBuf {
        Path::new("/sys/fs/cgroup/system.slice").join(self.unit())
    }
}

/// What `systemctl show` says.
fn show(unit: &str, property: &str) -> String {
    output_of(Command::new("systemctl").args(["show", "--value", "-p", property, unit]))
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn systemctl(words: &[&str]) {
    output_of(Command::new("systemctl").args(words));
}

#[test]
fn a_container_is_a_scope_and_gone_with_it() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&["report"]);
    let namespaces = &scope.bundle.config["linux"]["namespaces"];
    assert!(
        namespaces
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["type"] != "cgroup")
    );
    scope
        .bundle
        .set("/linux/namespaces/-", json!({ "type": "cgroup" }));
    scope.bundle.args(&["/probe", "read", "/proc/self/cgroup"]);
    let created = scope.create().succeeded();

    assert_eq!(scope.shows("ActiveState"), "active");
    assert_eq!(scope.shows("Slice"), "system.slice");
    assert_eq!(scope.shows("Delegate"), "yes");
    let description = format!("bulkhead container {}", scope.bundle.id);
    assert_eq!(scope.shows("Description"), description);
    let group = scope.group();
    assert_eq!(
        Path::new("/sys/fs/cgroup").join(&scope.shows("ControlGroup")[1..]),
        group
    );
    assert_eq!(scope.bundle.group(""), group);

    // The namespace's root is the scope: it was made in there.
    scope.bundle.start().succeeded();
    eventually("the program ends", || {
        scope.bundle.state()["status"] == "stopped"
    });
    let answer = created.stdout_now();
    assert!(answer.contains(r#""ok":"0::/\n""#), "{answer}");

    scope.bundle.delete().succeeded();
    assert_eq!(scope.shows("LoadState"), "not-found");
    assert!(!group.exists());
}

#[test]
fn commands_find_the_unit_by_the_record() {
    needs!(root, systemd, probe);
    let scope = Scope::of(&["sleep", "600"]);
    scope.create().succeeded();
    scope.bundle.start().succeeded();
    let id = scope.bundle.id.as_str();

    scope.bundle.call(&["pause", id]).succeeded();
    assert_eq!(scope.bundle.state()["status"], "paused");
    scope.bundle.call(&["resume", id]).succeeded();
    assert_eq!(scope.bundle.state()["status"], "running");
    let words = ["exec", id, "/probe", "read", "/proc/self/cgroup"];
    let guest = scope.bundle.call(&words).succeeded().answer();
    assert_eq!(guest["ok"], format!("0::/system.slice/{}\n", scope.unit()));
    let pids = scope.bundle.call(&["ps", "-f", "json", id]).succeeded();
    assert_eq!(
        pids.stdout.trim(),
        format!("[{}]", scope.bundle.state()["pid"])
    );

    scope.bundle.kill("KILL").succeeded();
    scope.bundle.wait_for_status("stopped");
    scope.bundle.delete().succeeded();
    assert_eq!(scope.shows("LoadState"), "not-found");
}

#[test]
fn a_container_in_the_foreground_leaves_no_unit() {
    needs!(root, systemd, probe);
    let scope = Scope::of(&["exit", "7"]);
    let run = ["--systemd-cgroup", "run", &scope.bundle.id];
    assert_eq!(scope.bundle.call(&run).code, 7);
    assert_eq!(scope.shows("LoadState"), "not-found");
}

#[test]
fn groups_that_the_program_made_go_with_the_unit() {
    needs!(root, systemd, probe);
    let mut scope = Scope::of(&[]);
    scope
        .bundle
        .set("/linux/namespaces/-", json!({ "type": "cgroup" }));
    let mount = json!({ "destination": "/home", "type": "cgroup", "source": "cgroup" });
    scope.bundle.mount(mount);
    let acts = [
        "mkdir",
        "/home/a",
        "+",
        "mkdir",
        "/home/a/b",
        "+",
        "sleep",
        "600",
    ];
    scope.bundle.args(&[&["/probe"][..], &acts].concat());
    scope.create().succeeded();
    scope.bundle.start().succeeded();
    eventually("the program makes a group", || {
        scope.group().join("a/b").exists()
    });
    systemctl(&["daemon-reload"]);
    assert!(scope.group().join("a/b").exists());
    scope.delete().succeeded();
    assert_eq!(scope.shows("LoadState"), "not-found");
    assert!(!scope.group().exists());
}

#[test]
fn a_killed_create_leaves_what_force_removes() {
    needs!(root, systemd, probe);
    let scope = Scope::of(&["sleep", "600"]);
    let begun = Instant::now();
    scope.create().succeeded();
    let whole = begun.elapsed();
    scope.delete().succeeded();

    let count = u32::try_from(repetitions(100, 1000)).unwrap();
    for n in 0..count {
        let moment = whole * n / count;
        let mut command = scope
            .bundle
            .command(&["--systemd-cgroup", "create", &scope.bundle.id]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        scope.delete().succeeded();
        let told = format!("killed after {moment:?}");
        // What systemd has been asked for it may do a moment later, and finds nobody to do it with.
        eventually(&told, || scope.shows("LoadState") == "not-found");
        eventually(&told, || scope.bundle.leftovers().is_empty());
    }
    scope.create().succeeded();
}

#[test]
fn a_unit_of_somebody_else_is_left_alone() {
    needs!(root, systemd, probe);
    let scope = Scope::of(&["sleep", "600"]);
    let unit = scope.unit();
    for (slice, said) in [
        ("--slice=other.slice", "is there already, and another's"),
        ("--slice=system.slice", "container's cgroup is not empty"),
    ] {
        let name = format!("--unit={unit}");
        let mut other = Command::new("systemd-run");
        other.args(["--quiet", "--scope", slice, &name, "sleep", "600"]);
        let mut other = other.spawn().unwrap();
        eventually("the other unit", || scope.shows("ActiveState") == "active");

        let outcome = scope.create();
        scope.delete().succeeded();
        let state = scope.shows("ActiveState");
        systemctl(&["stop", &unit]);
        other.wait().unwrap();
        outcome.failed_with(said);
        assert_eq!(state, "active");
    }
}

#[test]
fn a_unit_that_has_failed_is_in_nobodys_way() {
    needs!(root, systemd, probe);
    let scope = Scope::of(&["sleep", "600"]);
    let name = format!("--unit={}", scope.unit());
    let mut other = Command::new("systemd-run");
    other.args([
        "--quiet",
        "--scope",
        &name,
        "-p",
        "RuntimeMaxSec=1",
        "sleep",
        "600",
    ]);
    assert!(!other.status().unwrap().success());
    eventually("it fails", || scope.shows("ActiveState") == "failed");
    scope.create().succeeded();
    assert_eq!(scope.shows("ActiveState"), "active");
}
