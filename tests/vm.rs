//! What a guest of `scripts/vm` does comes out of it, and nothing stays behind.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{needs, scratch};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn vm(args: &[&str]) -> Command {
    let mut command = Command::new(repository().join("scripts/vm"));
    command.args(args).stdin(Stdio::null());
    command
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shell(options: &[&str], script: &str) -> Output {
    let command = [options, &["--", "sh", "-c", script]].concat();
    vm(&command).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The machine that this `scripts/vm` has started, once it is there.
fn machine_of(script: &Child) -> Pid {
    let children = format!("/proc/{0}/task/{0}/children", script.id());
    let mut found = None;
    eventually("a machine is started", || {
        let pids = fs::read_to_string(&children).unwrap();
        let runs_qemu = |pid: &&str| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.starts_with("qemu"))
        };
        found = pids.split_whitespace().find(runs_qemu).map(String::from);
        found.is_some()
    });
    Pid::from_raw(found.unwrap().parse().unwrap())
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What lies in the folder of the machines, but for the signs of another one being made.
fn kept_files() -> Vec<PathBuf> {
    let place = harness::fixture("../vm");
    let entries = fs::read_dir(place).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.path()).collect();
    names.retain(|path| path.extension().is_none_or(|end| end != "new"));
    names.sort();
    names
}

#[test]
fn the_exit_code_and_both_outputs_pass() {
    needs!(root, qemu);
    let told = shell(&[], "echo to the one; echo to the other >&2; exit 7");
    assert_eq!(told.status.code(), Some(7), "{told:?}");
    assert_eq!(text(&told.stdout), "to the one\n");
    assert!(text(&told.stderr).ends_with("to the other\n"), "{told:?}");
}

#[test]
fn all_of_a_large_output_passes_whatever_the_command_leaves() {
    needs!(root, qemu);
    let told = shell(&[], "sleep 1000 & head -c 3000000 /dev/zero; echo end");
    assert!(told.status.success(), "{:?}", text(&told.stderr));
    assert_eq!(told.stdout.len(), 3_000_004);
    assert!(told.stdout.ends_with(b"end\n"));
}

#[test]
fn a_guest_has_its_own_kernel_whole_groups_and_what_was_added() {
    needs!(root, qemu);
    let added = scratch("added");
    fs::write(added.join("file"), "from outside").unwrap();
    let path = added.to_str().unwrap();
    let script = format!(
        "cat {path}/file && echo && uname -r && cat /sys/fs/cgroup/command/cgroup.controllers; \
         echo 1 >/etc/written; echo 1 >{path}/written; cat /proc/self/cgroup"
    );
    let told = shell(&["--add", path], &script);
    let lines: Vec<&str> = text(&told.stdout).lines().collect();
    assert_eq!(lines[0], "from outside", "{told:?}");
    assert!(lines[1].ends_with("-cloud-amd64"), "{told:?}");
    for controller in ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"] {
        assert!(lines[2].split(' ').any(|one| one == controller), "{told:?}");
    }
    assert_eq!(lines[3], "0::/command", "{told:?}");
    let refused = text(&told.stderr).matches("Read-only file system").count();
    assert_eq!(refused, 2, "{told:?}");
    assert_eq!(fs::read_dir(added).unwrap().count(), 1);
}

#[test]
fn a_panic_of_the_guests_kernel_is_told() {
    needs!(root, qemu);
    let told = shell(&[], "echo before; echo c >/proc/sysrq-trigger");
    assert_eq!(told.status.code(), Some(125), "{told:?}");
    assert_eq!(text(&told.stdout), "before\n");
    let panic = "vm: the guest's kernel has panicked: sysrq triggered crash";
    assert!(text(&told.stderr).contains(panic), "{told:?}");
}

#[test]
fn a_command_that_takes_too_long_is_told_and_ended() {
    needs!(root, qemu);
    let script = vm(&["--timeout", "3", "--", "sleep", "1000"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let machine = machine_of(&script);
    let told = script.wait_with_output().unwrap();
    assert_eq!(told.status.code(), Some(124), "{told:?}");
    let fault = "vm: the command has not ended in 3 s (--timeout)";
    assert!(text(&told.stderr).contains(fault), "{told:?}");
    assert!(kill(machine, None).is_err(), "the machine still runs");
}

#[test]
fn nothing_is_left_however_the_script_is_ended() {
    needs!(root, qemu);
    let tmp = scratch("tmp");
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = (kept_files(), mounts());
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut command = vm(&["--add", "/etc/passwd", "--", "sleep", "1000"]);
        let mut script = command.env("TMPDIR", &tmp).spawn().unwrap();
        let machine = machine_of(&script);
        kill(Pid::from_raw(script.id().cast_signed()), signal).unwrap();
        script.wait().unwrap();
        eventually("the machine ends with its script", || {
            kill(machine, None).is_err()
        });
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0, "{signal}");
        assert_eq!((kept_files(), mounts()), before, "{signal}");
    }
}

#[test]
fn what_cannot_be_had_is_named() {
    let told = vm(&["--kernel", "other", "--", "true"]).output().unwrap();
    assert_eq!(told.status.code(), Some(2));
    assert!(text(&told.stderr).starts_with("vm: --kernel other is not an option"));
    let told = vm(&["--add", "/not/there", "--", "true"]).output().unwrap();
    assert!(text(&told.stderr).starts_with("vm: --add /not/there: not there"));
    let told = vm(&[]).output().unwrap();
    assert!(text(&told.stderr).starts_with("vm: no command is given"));
}
