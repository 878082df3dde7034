//! Groups on the real hierarchies of the jail: made, entered, limited, frozen, killed, removed.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../harness/mod.rs"]
mod harness;

mod limits;

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bulkhead::cgroup::{self, Error, Group, Hierarchies};
use bulkhead::spec::Id;
use bulkhead::spec::limits::{Access, DeviceKind, DeviceRule, GroupPath, Limits};
use bulkhead::spec::units::{Bytes, Limit};
use harness::{eventually, needs};
use nix::unistd::Pid;
use serde_json::json;

/// A group that the test ends, whatever happens.
struct Ground {
    group: Box<dyn Group>,
    children: Vec<Child>,
}

impl Ground {
    /// Named, not made.
    fn named(path: &GroupPath) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = Id::new(&format!("bulkhead-test-{}-{number}", std::process::id())).unwrap();
        Self {
            group: cgroup::place(&Hierarchies::detect().unwrap(), path, &id).unwrap(),
            children: Vec::new(),
        }
    }

    /// As on a v2 host, where the v2 hierarchy of a hybrid one stands for all.
    fn in_v2() -> Self {
        let mut ground = Self::named(&GroupPath::Default);
        let v2 = Hierarchies::detect().unwrap().all().next().unwrap().clone();
        assert!(v2.controllers.is_empty());
        let id = Id::new(&format!("{}-v2", ground.id())).unwrap();
        let v2 = Hierarchies::V2(v2);
        ground.group = cgroup::place(&v2, &GroupPath::Default, &id).unwrap();
        ground
    }

    fn id(&self) -> String {
        let path = &self.group.paths()[0];
        path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// Another container's claim to the same group.
    fn second(&self) -> Box<dyn Group> {
        let id = Id::new(&self.id()).unwrap();
        let hierarchies = Hierarchies::detect().unwrap();
        cgroup::place(&hierarchies, &GroupPath::Default, &id).unwrap()
    }

    fn made(limits: &Limits) -> Self {
        let mut ground = Self::named(&GroupPath::Default);
        ground.group.make(limits, None).unwrap();
        ground
    }

    /// Starts a command inside: the shell waits until it has been admitted everywhere.
    fn run(&mut self, script: &str) -> Pid {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("read go; {script}"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        // What CLONE_INTO_CGROUP does for a container.
        let v2 = self.group.entrance().unwrap();
        fs::write(procs(v2), pid.to_string()).unwrap();
        for door in self.group.doors().unwrap() {
            let mut door = fs::File::from(door);
            door.write_all(pid.to_string().as_bytes()).unwrap();
        }
        drop(child.stdin.take());
        self.children.push(child);
        pid
    }

    fn outcome(&mut self) -> (Option<i32>, String) {
        let output = self.children.pop().unwrap().wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }

    /// What the control file says, in whichever hierarchy has it; under its v1 or its v2 name.
    fn value(&self, v1: &str, v2: &str) -> String {
        let paths = self.group.paths();
        let read = |name| {
            paths
                .iter()
                .find_map(|p| fs::read_to_string(p.join(name)).ok())
        };
        read(v2).or_else(|| read(v1)).unwrap().trim().to_owned()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.group.kill().unwrap();
        for child in &mut self.children {
            child.wait().unwrap();
        }
        self.group.remove().unwrap();
        for path in self.group.paths() {
            assert!(!path.exists(), "{} is left", path.display());
        }
    }
}

fn procs(group: std::os::fd::BorrowedFd<'_>) -> PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/cgroup.procs", group.as_raw_fd()).into()
}

fn state_of(pid: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

const RW: Access = Access {
    read: true,
    write: true,
    mknod: false,
};

fn device(allow: bool, kind: DeviceKind, numbers: Option<(u32, u32)>) -> DeviceRule {
    DeviceRule {
        allow,
        kind,
        major: numbers.map(|n| n.0),
        minor: numbers.map(|n| n.1),
        access: RW,
    }
}

#[test]
fn a_group_is_made_entered_killed_and_removed() {
    needs!(root);
    let mut ground = Ground::made(&Limits::default());
    let pid = ground.run("sleep 100 & sleep 100");
    eventually("the second sleep", || {
        ground.group.pids().unwrap().len() >= 2
    });
    assert!(ground.group.pids().unwrap().contains(&pid));
    ground.group.kill().unwrap();
    eventually("the end", || ground.group.pids().unwrap().is_empty());
}

/// 240 is for local use: without a driver the answer is ENXIO, but only to who may ask.
const OPEN_DEVICES: &str = "dir=$(mktemp -d); mknod $dir/local c 240 0 || exit 3
    (: <$dir/local) 2>&1 | grep -oE 'not permitted|No such device'
    (: <>/dev/null) && echo null; rm -r $dir";

fn with_a_device_allowed() -> Limits {
    Limits {
        devices: vec![
            device(false, DeviceKind::All, None),
            device(true, DeviceKind::Char, Some((240, 0))),
        ],
        ..Limits::default()
    }
}

#[test]
fn a_device_that_is_not_allowed_cannot_be_opened() {
    needs!(root);
    for (limits, wanted) in [
        (Limits::default(), "not permitted\nnull\n"),
        (with_a_device_allowed(), "No such device\nnull\n"),
    ] {
        let mut ground = Ground::made(&limits);
        ground.run(OPEN_DEVICES);
        assert_eq!(ground.outcome().1, wanted);
    }
}

#[test]
fn on_v2_a_program_decides_on_devices() {
    needs!(root, hybrid);
    for (limits, wanted) in [
        (Limits::default(), "not permitted\nnull\n"),
        (with_a_device_allowed(), "No such device\nnull\n"),
    ] {
        let mut ground = Ground::in_v2();
        ground.group.make(&limits, None).unwrap();
        ground.run(OPEN_DEVICES);
        assert_eq!(ground.outcome().1, wanted);
    }
}

#[test]
fn a_frozen_process_stands_still_and_can_be_killed() {
    needs!(root);
    let mut ground = Ground::made(&Limits::default());
    ground.run("while :; do :; done");
    assert!(!ground.group.is_frozen().unwrap());
    ground.group.freeze().unwrap();
    assert!(ground.group.is_frozen().unwrap());
    let used = || ground.value("cpuacct.usage", "cpu.stat");
    let before = used();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(used(), before);
    ground.group.thaw().unwrap();
    assert!(!ground.group.is_frozen().unwrap());
    eventually("running again", || used() != before);

    ground.group.freeze().unwrap();
    ground.group.kill().unwrap();
    eventually("the end", || ground.group.pids().unwrap().is_empty());
}

#[test]
fn a_later_command_finds_the_group_by_its_paths() {
    needs!(root);
    let mut limits = Limits::default();
    limits.memory.limit = Some(Limit::At(Bytes(8 << 20)));
    limits.memory.swap = Some(Limit::At(Bytes(8 << 20)));
    let mut ground = Ground::made(&limits);
    ground.run("tail /dev/zero");
    ground.outcome();
    let pid = ground.run("sleep 100");
    let again = cgroup::reopen(&ground.group.paths(), None).unwrap();
    assert!(again.pids().unwrap().contains(&pid));
    assert!(again.oom_kills().unwrap() > 0);
    again.freeze().unwrap();
    assert!(ground.group.is_frozen().unwrap());
    again.kill().unwrap();
    for child in &mut ground.children {
        child.wait().unwrap();
    }
    again.remove().unwrap();

    let gone = cgroup::reopen(&ground.group.paths(), None).unwrap();
    assert_eq!(gone.pids().unwrap(), []);
    assert!(!gone.is_frozen().unwrap());
    assert_eq!(gone.oom_kills().unwrap(), 0);
    gone.kill().unwrap();
    gone.remove().unwrap();
}

#[test]
fn groups_that_the_container_made_below_are_removed() {
    needs!(root);
    let mut ground = Ground::made(&Limits::default());
    for path in ground.group.paths().iter().filter(|p| p.exists()) {
        fs::create_dir_all(path.join("a/b/c")).unwrap();
        fs::create_dir(path.join("a/d")).unwrap();
    }
    let pid = ground.run("exec sleep 100");
    let below = ground.group.paths()[0].join("a/b/c/cgroup.procs");
    fs::write(below, pid.to_string()).unwrap();
    assert_eq!(ground.group.pids().unwrap(), [pid]);
}

/// Deeper than a path may be long: what a container can make with names relative to itself.
#[test]
fn groups_nested_deeper_than_a_path_are_removed() {
    needs!(root);
    let mut ground = Ground::made(&Limits::default());
    let top = ground.group.paths()[0].clone();
    let script = format!(
        "cd {}; d=$(printf %0200d); for i in $(seq 40); do mkdir $d && cd -P ./$d || exit 1; done; echo deep",
        top.display()
    );
    ground.run(&script);
    assert_eq!(ground.outcome().1, "deep\n");
}

#[test]
fn a_group_with_processes_is_refused_and_left_alone() {
    needs!(root);
    let mut first = Ground::made(&Limits::default());
    let pid = first.run("exec sleep 100");
    let mut second = first.second();
    for error in [
        second.check_unused().unwrap_err(),
        second.make(&Limits::default(), None).unwrap_err(),
    ] {
        let text = error.to_string();
        let wanted = "container's cgroup is not empty: 1 process(es) found";
        assert!(text.starts_with(wanted), "{text}");
    }
    second.kill().unwrap();
    second.remove().unwrap();
    assert_ne!(state_of(pid), 'Z');
    assert_eq!(first.group.pids().unwrap(), [pid]);
}

#[test]
fn an_empty_group_is_taken_over_unless_it_is_frozen() {
    needs!(root);
    let first = Ground::made(&Limits::default());
    let mut second = first.second();
    second.check_unused().unwrap();
    first.group.freeze().unwrap();
    let text = second
        .make(&Limits::default(), None)
        .unwrap_err()
        .to_string();
    let wanted = "container's cgroup unexpectedly frozen";
    assert!(text.starts_with(wanted), "{text}");
    first.group.thaw().unwrap();
    second.make(&Limits::default(), None).unwrap();
}

#[test]
fn a_path_that_is_no_group_is_not_touched() {
    needs!(root);
    let dir = harness::scratch("not-a-group");
    let inner = dir.join("group");
    fs::create_dir(&inner).unwrap();
    let error = cgroup::reopen(std::slice::from_ref(&inner), None).unwrap_err();
    assert!(matches!(error, Error::NotAGroup { .. }), "{error}");
    assert!(inner.exists());
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn parts_of_a_path_are_made_on_the_way() {
    needs!(root);
    let mut limits = Limits::default();
    limits.cpu.cpus = Some("0".into());
    let path = format!("/bulkhead-test-{}/a/b", std::process::id());
    let top = Path::new(&path)
        .components()
        .nth(1)
        .unwrap()
        .as_os_str()
        .to_owned();
    let mut ground = Ground::named(&GroupPath::Absolute(path));
    ground.group.make(&limits, None).unwrap();
    ground.run("echo inside");
    assert_eq!(ground.outcome().1, "inside\n");
    let paths = ground.group.paths();
    drop(ground);
    for path in paths {
        let above = path.parent().unwrap().parent().unwrap();
        assert_eq!(above.file_name().unwrap(), top);
        for dir in [path.parent().unwrap(), above] {
            let result = fs::remove_dir(dir);
            let fine = result
                .as_ref()
                .is_err_and(|e| e.kind() == ErrorKind::NotFound);
            assert!(result.is_ok() || fine, "{}", dir.display());
        }
    }
}

/// On v1 the runtime's own group may be the root of a hierarchy, with its release_agent.
#[test]
fn a_hierarchy_without_a_group_of_the_container_cannot_be_written_to() {
    needs!(root, hybrid, busybox);
    for namespace in [true, false] {
        let mut bundle = harness::Bundle::busybox(
            "cd /sys/fs/cgroup; for f in */cgroup.procs; do
            ( : >>$f ) 2>/dev/null && echo ${f%/*}; done; true",
        );
        bundle.mount(json!({
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "rw"],
        }));
        if namespace {
            bundle.set("/linux/namespaces/-", json!({ "type": "cgroup" }));
        }
        let outcome = bundle.run().succeeded();
        let own: Vec<&str> = outcome.stdout.lines().collect();
        assert!(own.contains(&"memory"), "{own:?}");
        for other in ["freezer", "systemd"] {
            assert!(!own.contains(&other), "{other} in {own:?}");
        }
    }
}
