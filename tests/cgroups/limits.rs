//! Limits on groups.

use std::fs;
use std::path::Path;

use bulkhead::cgroup;
use bulkhead::spec::limits::{GroupPath, HugePages, Limits};
use bulkhead::spec::units::{Bytes, Limit, Micros};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use crate::Ground;
use crate::harness::needs;

#[test]
fn limits_are_what_was_asked() {
    needs!(root, hybrid);
    let mut limits = Limits::default();
    limits.memory.limit = Some(Limit::At(Bytes(64 << 20)));
    limits.memory.swap = Some(Limit::At(Bytes(96 << 20)));
    limits.memory.reservation = Some(Limit::At(Bytes(32 << 20)));
    limits.memory.swappiness = Some(7);
    limits.cpu.shares = Some(512);
    limits.cpu.quota = Some(Limit::At(Micros(20_000)));
    limits.cpu.period = Some(Micros(50_000));
    limits.cpu.burst = Some(Micros(10_000));
    limits.cpu.cpus = Some("0".into());
    limits.pids = Some(Limit::At(17));
    let ground = Ground::made(&limits);
    for (file, wanted) in [
        ("memory.limit_in_bytes", "67108864"),
        ("memory.memsw.limit_in_bytes", "100663296"),
        ("memory.soft_limit_in_bytes", "33554432"),
        ("memory.swappiness", "7"),
        ("cpu.shares", "512"),
        ("cpu.cfs_quota_us", "20000"),
        ("cpu.cfs_period_us", "50000"),
        ("cpu.cfs_burst_us", "10000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "17"),
    ] {
        assert_eq!(ground.value(file, file), wanted, "{file}");
    }
}

/// By another's eyes than ours.
#[test]
fn an_independent_reader_finds_the_limits_too() {
    needs!(root, hybrid);
    let mut limits = Limits::default();
    limits.memory.limit = Some(Limit::At(Bytes(64 << 20)));
    limits.memory.swap = Some(Limit::At(Bytes(96 << 20)));
    limits.memory.swappiness = Some(7);
    limits.cpu.shares = Some(512);
    limits.cpu.quota = Some(Limit::At(Micros(20_000)));
    limits.cpu.period = Some(Micros(50_000));
    limits.cpu.cpus = Some("0".into());
    limits.pids = Some(Limit::At(17));
    let ground = Ground::made(&limits);
    let with = |file: &str| {
        let paths = ground.group.paths();
        paths
            .into_iter()
            .find(|path| path.join(file).exists())
            .unwrap()
    };
    let none = std::path::PathBuf::new;

    let memory = MemController::new(with("memory.limit_in_bytes"), none(), false);
    assert_eq!(memory.memory_stat().limit_in_bytes, 64 << 20);
    assert_eq!(memory.memory_stat().swappiness, 7);
    assert_eq!(memory.memswap().limit_in_bytes, 96 << 20);
    let cpu = CpuController::new(with("cpu.shares"), none(), false);
    assert_eq!(cpu.shares().unwrap(), 512);
    assert_eq!(
        (cpu.cfs_quota().unwrap(), cpu.cfs_period().unwrap()),
        (20_000, 50_000)
    );
    let cpuset = CpuSetController::new(with("cpuset.cpus"), none(), false);
    assert_eq!(cpuset.cpuset().cpus, [(0, 0)]);
    let pids = PidController::new(with("pids.max"), none(), false);
    assert_eq!(pids.get_pid_max().unwrap(), MaxValue::Value(17));
}

/// hugetlb is such a controller on some hybrid hosts, unless whoever made our group has not passed it
/// on.
#[test]
fn what_only_v2_has_is_limited_there() {
    needs!(root, hybrid);
    let pages = |size: u64| Limits {
        huge_pages: vec![HugePages {
            page_size: "2MB".into(),
            limit: Bytes(size),
        }],
        ..Limits::default()
    };
    let mut ground = Ground::named(&GroupPath::Default);
    let made = ground.group.make(&pages(5 << 20), None);
    let on_v2 = fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers").unwrap();
    if !on_v2.contains("hugetlb") && !Path::new("/sys/fs/cgroup/hugetlb").exists() {
        let said = made.unwrap_err().to_string();
        let start = "linux.resources.hugepageLimits: the hugetlb controller is not available";
        assert!(said.starts_with(start), "{said}");
        return;
    }
    made.unwrap();
    let held = |ground: &Ground| {
        ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"].map(|file| ground.value(file, file))
    };
    assert_eq!(held(&ground), ["4194304", "4194304"]);
    let reopened = cgroup::reopen(&ground.group.paths(), None).unwrap();
    reopened.update(&pages(0)).unwrap();
    assert_eq!(held(&ground), ["0", "0"]);
}

#[test]
fn a_group_is_in_every_hierarchy_that_limits_and_no_other() {
    needs!(root, hybrid);
    let ground = Ground::made(&Limits::default());
    let has = |name: &str| {
        let paths = ground.group.paths();
        paths.iter().any(|path| path.join(name).exists())
    };
    let limiting = [
        "memory.limit_in_bytes",
        "cpuset.cpus",
        "blkio.reset_stats",
        "pids.max",
    ];
    assert!(limiting.iter().all(|file| has(file)));
    assert!(!has("freezer.state"), "v2 freezes");
}

#[test]
fn more_processes_than_the_limit_cannot_be_started() {
    needs!(root);
    let limits = Limits {
        pids: Some(Limit::At(2)),
        ..Limits::default()
    };
    let mut ground = Ground::made(&limits);
    ground.run("sleep 0.1 & true; (sleep 0.1 & sleep 0.1) && echo started");
    assert!(!ground.outcome().1.contains("started"));
}

#[test]
fn a_process_killed_for_want_of_memory_is_counted() {
    needs!(root);
    let mut limits = Limits::default();
    limits.memory.limit = Some(Limit::At(Bytes(8 << 20)));
    limits.memory.swap = Some(Limit::At(Bytes(8 << 20)));
    let mut ground = Ground::made(&limits);
    assert_eq!(ground.group.oom_kills().unwrap(), 0);
    ground.run("tail /dev/zero");
    ground.outcome();
    assert!(ground.group.oom_kills().unwrap() > 0);
}

#[test]
fn on_v2_a_limit_without_its_controller_names_both() {
    needs!(root, hybrid);
    let mut limits = Limits::default();
    limits.memory.limit = Some(Limit::At(Bytes(64 << 20)));
    let mut ground = Ground::in_v2();
    let text = ground.group.make(&limits, None).unwrap_err().to_string();
    let wanted = "linux.resources.memory.limit: the memory controller is not available in cgroup \
                  v2 here";
    assert_eq!(text, wanted);
}

#[test]
fn a_limit_that_the_kernel_refuses_names_its_field_and_value() {
    needs!(root, hybrid);
    let mut limits = Limits::default();
    limits.cpu.cpus = Some("4000".into());
    let mut ground = Ground::named(&GroupPath::Default);
    let text = ground.group.make(&limits, None).unwrap_err().to_string();
    assert!(
        text.starts_with("linux.resources.cpu.cpus: write \"4000\" to "),
        "{text}"
    );
    assert!(text.contains("/cpuset.cpus: "), "{text}");
}
