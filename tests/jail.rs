//! What happens in `scripts/jail` stays there. Each test is in a jail already and starts another:
//! what the inner one must leave alone is the outer one's, where it could be changed.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod harness;

use harness::{needs, scratch};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

const GROUPS: &str = "/sys/fs/cgroup";

fn jail(args: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/jail"));
    command.args(args).stdin(Stdio::null());
    command
}

fn sh(script: &str) -> Command {
    jail(&["--", "sh", "-c", script])
}

#[track_caller]
fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Lays a writable copy over the outer jail's /etc.
fn make_etc_writable() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let copy = scratch("etc");
        let script = r#"cp -a /etc/. "$0" && mount --bind "$0" /etc"#;
        let made = Command::new("sh")
            .args(["-c", script])
            .arg(&copy)
            .status()
            .unwrap();
        assert!(made.success());
    });
}

/// The folders of all jails' groups that are there now.
fn jail_groups() -> Vec<PathBuf> {
    let below = |dir: PathBuf| {
        fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
    };
    let named = |path: &PathBuf| path.to_string_lossy().contains("/bulkhead-jail-");
    let two_deep = below(GROUPS.into()).flat_map(below);
    below(GROUPS.into()).chain(two_deep).filter(named).collect()
}

/// Whether a process runs that has this word among its arguments.
fn is_running(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.into_iter().any(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|argument| argument == word.as_bytes())
    })
}

#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn etc_removed_inside_is_still_there_outside() {
    needs!(root);
    make_etc_writable();
    fs::write("/etc/witness", "here").unwrap();
    let before = fs::read_dir("/etc").unwrap().count();
    let removed = sh("rm -rf /etc; echo changed > /etc/witness")
        .output()
        .unwrap();
    assert!(!removed.status.success());
    assert_eq!(fs::read_to_string("/etc/witness").unwrap(), "here");
    assert_eq!(fs::read_dir("/etc").unwrap().count(), before);
}

#[test]
fn a_firewall_rule_made_inside_is_not_there_outside() {
    needs!(root, iptables);
    let inside = sh("iptables -A INPUT -s 192.0.2.1 -j DROP && iptables -S")
        .output()
        .unwrap();
    assert!(text(inside).contains("192.0.2.1"));
    let outside = Command::new("iptables").arg("-S").output().unwrap();
    assert!(!text(outside).contains("192.0.2.1"));
}

#[test]
fn a_group_made_inside_lies_below_the_jails_own_and_goes_with_it() {
    needs!(root);
    let script = "for d in /sys/fs/cgroup/ /sys/fs/cgroup/*/; do test -e $d/cgroup.procs && \
                  mkdir $d/made-inside; done; read wait_for_the_test";
    let mut child = sh(script);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    let made = || {
        jail_groups()
            .iter()
            .filter(|group| group.join("made-inside").is_dir())
            .count()
    };
    eventually("a group is made in each hierarchy", || made() > 0);
    let hierarchies = fs::read_dir(GROUPS)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    for root in hierarchies.chain([GROUPS.into()]) {
        assert!(!root.join("made-inside").exists());
    }
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(made(), 0);
}

#[test]
fn processes_left_behind_are_killed() {
    needs!(root);
    let script = "setsid sleep 86401 & sleep 0.1; exit 0";
    assert!(sh(script).status().unwrap().success());
    assert!(!is_running("86401"));
}

#[test]
fn a_killed_jail_takes_its_processes_along_and_the_next_one_sweeps() {
    needs!(root);
    // A process that a v1 group has frozen does not die of SIGKILL before it is thawed.
    let freeze = "f=/sys/fs/cgroup/freezer; sleep 86402 & sleep 86403 & \
                  if test -d $f; then mkdir $f/cold && echo $! > $f/cold/cgroup.procs && \
                  echo FROZEN > $f/cold/freezer.state; fi; wait";
    let mut child = sh(freeze).spawn().unwrap();
    let frozen = || {
        let state = |group: PathBuf| fs::read_to_string(group.join("cold/freezer.state"));
        jail_groups()
            .into_iter()
            .any(|g| state(g).is_ok_and(|s| s.trim() == "FROZEN"))
    };
    let v1 = Path::new(GROUPS).join("freezer").is_dir();
    eventually("a frozen process", || {
        is_running("86403") && (frozen() || !v1)
    });
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    child.wait().unwrap();
    eventually("the processes are dead", || !is_running("86402"));
    // The next jail, or one after it: what another is sweeping is left to that one, and that one may
    // be killed by its own test.
    eventually("the frozen process is dead", || {
        sh("true").status().unwrap().success() && !is_running("86403")
    });
    assert!(!frozen());
}

#[test]
fn the_commands_exit_is_the_jails() {
    needs!(root);
    let cases: [(&str, Option<i32>, Option<i32>); 5] = [
        ("exit 0", Some(0), None),
        ("exit 3", Some(3), None),
        ("exit 255", Some(255), None),
        ("kill -9 $$", None, Some(9)),
        ("kill -TERM $$", None, Some(15)),
    ];
    for (script, code, signal) in cases {
        let status = sh(script).status().unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal), "{script}");
    }
    assert_eq!(
        jail(&["--", "/no/such/program"]).status().unwrap().code(),
        Some(127)
    );
    assert_eq!(
        jail(&["--", "/etc/passwd"]).status().unwrap().code(),
        Some(126)
    );
}

#[test]
fn a_signal_to_the_jail_reaches_the_command() {
    needs!(root);
    let script = "trap 'exit 9' TERM; sleep 86404 & wait";
    let mut child = sh(script).spawn().unwrap();
    eventually("the command runs", || is_running("86404"));
    kill(
        Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn only_the_folder_given_can_be_written() {
    needs!(root);
    let given = scratch("given");
    let other = scratch("other");
    let (given_path, other_path) = (given.to_str().unwrap(), other.to_str().unwrap());
    let script =
        format!("echo 1 > {given_path}/file; mkdir -p {other_path}; echo 1 > {other_path}/file");
    let status = jail(&["--writable", given_path, "sh", "-c", &script])
        .status()
        .unwrap();
    assert!(
        status.success(),
        "/tmp inside is a tmpfs where both can be written"
    );
    assert!(given.join("file").exists());
    assert!(!other.join("file").exists());
}

#[test]
fn the_current_folder_stays_visible_where_tmp_is_fresh() {
    needs!(root);
    let here = scratch("here");
    fs::write(here.join("file"), "seen").unwrap();
    let mut command = sh("cat file; echo 1 > other");
    let output = command.current_dir(&here).output().unwrap();
    assert_eq!(output.stdout, b"seen");
    assert!(!output.status.success(), "it is read-only");
    assert!(!here.join("other").exists());
}

#[test]
fn the_scratch_folder_is_empty_and_writable_and_goes_with_the_jail() {
    needs!(root);
    let script = r#"test "$TMPDIR" = "$BULKHEAD_SCRATCH" && ls -A "$TMPDIR" && echo 1 > "$TMPDIR/86405" && ls -A "$TMPDIR""#;
    assert_eq!(text(sh(script).output().unwrap()), "86405\n");
    let scratch = std::env::var("BULKHEAD_SCRATCH").unwrap();
    assert!(!Path::new(&scratch).join("86405").exists());
}

#[test]
fn every_namespace_but_user_and_time_is_the_jails_own() {
    needs!(root);
    let list = "readlink /proc/self/ns/*";
    let inside = text(sh(list).output().unwrap());
    let outside = text(Command::new("sh").args(["-c", list]).output().unwrap());
    let shared: Vec<&str> = inside.lines().filter(|ns| outside.contains(*ns)).collect();
    assert!(
        shared
            .iter()
            .all(|ns| ns.starts_with("user:") || ns.starts_with("time:")),
        "{shared:?}"
    );
    assert!(!shared.is_empty());
}
