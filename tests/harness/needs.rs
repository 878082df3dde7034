//! What a test needs of the machine, and what happens where it is missing.
//!
//! A test starts with `needs!(root, cgroup1)`. What is missing is printed and the test returns;
//! under `BULKHEAD_NO_SKIP=1` it fails instead, unless the need is named in `BULKHEAD_ELSEWHERE`:
//! the list of what only another of the machines that `scripts/test` uses can give.

use nix::sys::statvfs::{FsFlags, statvfs};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io, thread};

macro_rules! needs {
    ($($need:ident),+) => {
        if !$crate::harness::are_met(&[$(stringify!($need)),+]) {
            return;
        }
    };
}
pub(crate) use needs;

pub(crate) fn are_met(needs: &[&str]) -> bool {
    let Some((need, reason)) = needs.iter().find_map(|need| Some((need, missing(need)?))) else {
        return true;
    };
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let elsewhere = env::var("BULKHEAD_ELSEWHERE").unwrap_or_default();
    let expected = elsewhere.split_whitespace().any(|name| name == *need);
    let no_skip = env::var_os("BULKHEAD_NO_SKIP").is_some_and(|value| value == "1");
    assert!(expected || !no_skip, "{test} needs {need}: {reason}");
    tell(&format!("skipped: {test} needs {need}: {reason}"));
    false
}

/// How many times slower than a host of its own this machine is: `scripts/vm` says so where it emulates.
pub(crate) fn slowness() -> u32 {
    let told = env::var("BULKHEAD_SLOWNESS").ok();
    told.and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Whether the long tests are to be as long as they are meant to be.
pub(crate) fn is_full() -> bool {
    env::var_os("BULKHEAD_FULL").is_some_and(|value| value == "1")
}

/// How often a long test repeats itself: `full` under `BULKHEAD_FULL=1`, else `short`, in either case
/// as many times fewer as the machine is slower. Says so where that is not `full`.
pub(crate) fn repetitions(short: usize, full: usize) -> usize {
    let count = if is_full() { full } else { short }.div_ceil(slowness() as usize);
    if count < full {
        let test = thread::current().name().unwrap_or("a test").to_owned();
        tell(&format!("shortened: {test}: {count} of {full}"));
    }
    count
}

/// Past the capture of `print!`, so that the summary can count it.
pub(crate) fn tell(line: &str) {
    io::stderr()
        .write_all(format!("{line}\n").as_bytes())
        .unwrap();
}

/// Why the need is not met, if it is not.
fn missing(need: &str) -> Option<&'static str> {
    let exists = |path: &str| Path::new(path).exists();
    let has = |path: &str, word: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|w| w == word))
    };
    let (met, reason) = match need {
        "root" => (in_jail(), "not root in the jail; run scripts/test"),
        "cgroup1" => (
            has_controller_mount("memory"),
            "no v1 memory controller is mounted",
        ),
        "cgroup2" => (
            has("/sys/fs/cgroup/cgroup.controllers", "memory"),
            "not a pure v2 host",
        ),
        "nsdelegate" => (
            fs::read_to_string("/proc/self/mountinfo").is_ok_and(|t| t.contains("nsdelegate")),
            "the v2 hierarchy is mounted without nsdelegate",
        ),
        "hybrid" => (
            has_controller_mount("memory") && exists("/sys/fs/cgroup/unified/cgroup.procs"),
            "not a hybrid host",
        ),
        "overlay" => (
            has("/proc/filesystems", "overlay"),
            "the kernel has no overlay",
        ),
        "probe" | "busybox" | "debian" | "engines" | "moto" => {
            (super::fixture(need).is_dir(), "run rootfs-fixtures/build")
        }
        "every_capability" => (has_every_capability(), "some are not this root's"),
        "told_exits" => (
            is_linux(6, 15),
            "before Linux 6.15 only a parent learns how a process ended",
        ),
        "systemd" => (exists("/run/systemd/system"), "systemd does not run here"),
        "qemu" => (runs("qemu-system-x86_64"), "not installed"),
        "idmap" => (
            is_linux(6, 3),
            "before Linux 6.3 the files of a tmpfs cannot be shown with other ids",
        ),
        "hugepages" => (
            !has(
                "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
                "0",
            ) && exists("/sys/kernel/mm/hugepages/hugepages-2048kB"),
            "no huge page of 2 MiB is free",
        ),
        // Its policies are the whole machine's: the jail shows them read-only.
        "apparmor" => (
            has_apparmor() && may_write("/sys/kernel/security/apparmor/.replace"),
            "not enabled in this kernel, or not the test's to change",
        ),
        "no_apparmor" => (!has_apparmor(), "it is there"),
        "selinux" => (
            may_write("/sys/fs/selinux/load"),
            "not enabled in this kernel, or not the test's to change",
        ),
        "no_selinux" => (!exists("/sys/fs/selinux/load"), "it is there"),
        "kept_affinity" => (
            is_linux(6, 2),
            "before Linux 6.2 who enters a cpuset forgets his processors",
        ),
        "numa" => (
            exists("/proc/self/numa_maps"),
            "the kernel knows no nodes of memory",
        ),
        "realtime" => (
            !exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us"),
            "real time is counted by group here, and the jail's has none",
        ),
        "iptables" => (runs("iptables"), "not installed"),
        "uidmap" => (exists("/usr/bin/newuidmap"), "not installed"),
        "runc" => (runs("runc"), "not installed"),
        "umoci" => (runs("umoci"), "not installed"),
        "docker_registry" => (runs("docker-registry"), "not installed"),
        "skopeo" => (runs("skopeo"), "not installed"),
        "openssl" => (exists("/usr/bin/openssl"), "not installed"),
        "criu_program" => (runs("criu"), "not installed"),
        "criu" => (checks("criu"), "not installed, or too old for this kernel"),
        unknown => panic!("no need is named {unknown}"),
    };
    (!met).then_some(reason)
}

/// The variable alone could be set by anyone; a root that cannot be written is the point.
fn in_jail() -> bool {
    let read_only = statvfs("/").is_ok_and(|root| root.flags().contains(FsFlags::ST_RDONLY));
    nix::unistd::geteuid().is_root() && env::var_os("BULKHEAD_JAIL").is_some() && read_only
}

fn has_every_capability() -> bool {
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let all = (2_u64 << last.trim().parse::<u32>().unwrap()) - 1;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.contains(&format!("CapBnd:\t{all:016x}\n"))
}

fn may_write(path: &str) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

fn has_apparmor() -> bool {
    let word = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    word.is_ok_and(|word| word.starts_with('Y'))
}

fn has_controller_mount(controller: &str) -> bool {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().any(|line| {
        let v1 = line.contains(" - cgroup ");
        v1 && line
            .rsplit([' ', ','])
            .take_while(|w| *w != "rw")
            .any(|w| w == controller)
    })
}

fn is_linux(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}

/// Whether the program itself finds that it can work here.
fn checks(program: &str) -> bool {
    let checked = Command::new(program).arg("check").output();
    checked.is_ok_and(|checked| checked.status.success())
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}
