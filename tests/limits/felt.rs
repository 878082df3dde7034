//! What the program feels of its limits.

use crate::harness::{eventually, needs};
use crate::{Bundle, MEBIBYTE, allow_nodes, disk, group_file};
use nix::libc;
use serde_json::{Value, json};
use std::fs;
use std::os::linux::fs::MetadataExt;

#[test]
fn a_program_above_its_memory_is_killed() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["alloc-memory", "64"]);
    bundle.set(
        "/linux/resources/memory",
        json!({ "limit": 24 * MEBIBYTE, "swap": 24 * MEBIBYTE }),
    );
    assert_eq!(bundle.run().code, 128 + libc::SIGKILL);
    bundle.args(&["/probe", "alloc-memory", "8"]);
    assert_eq!(bundle.run().succeeded().answer()["ok"], 8);
}

#[test]
fn all_of_a_group_are_killed_for_one_where_that_is_asked() {
    needs!(root, cgroup2, busybox);
    for (all, code) in [("0", 7), ("1", 128 + libc::SIGKILL)] {
        let mut bundle = Bundle::busybox("dd if=/dev/zero of=/dev/null bs=64M count=1; exit 7");
        bundle.set(
            "/linux/resources/memory",
            json!({ "limit": 24 * MEBIBYTE, "swap": 24 * MEBIBYTE }),
        );
        bundle.set(
            "/linux/resources/unified",
            json!({ "memory.oom.group": all }),
        );
        let outcome = bundle.run();
        assert_eq!(outcome.code, code, "{all}");
    }
}

#[test]
fn a_fork_bomb_stops_at_the_limit() {
    needs!(root, probe);
    let mut bundle = Bundle::probe(&["fork-bomb", "200"]);
    bundle.set("/linux/resources/pids", json!({ "limit": 15 }));
    let told = &bundle.run().succeeded().answer()["ok"];
    assert_eq!(told["errno"], libc::EAGAIN, "{told}");
    assert_eq!(told["forks"], 14, "the program itself is one");
}

/// What a program with half a processor gets of one in two seconds.
fn half() -> f64 {
    let mut bundle = Bundle::probe(&["spin", "2", "+", "sleep", "60"]);
    let limit = json!({ "quota": 50000, "period": 100_000, "shares": 262_144 });
    bundle.set("/linux/resources/cpu", limit);
    let mut parent = bundle.run_in_background();
    eventually("the end of the spinning", || {
        bundle.background_output().contains("\"ok\"")
    });
    let stat = group_file(&bundle, "cpu", "cpu.stat");
    let number = |key: &str| {
        stat.lines()
            .find_map(|l| l.strip_prefix(key)?.parse::<f64>().ok())
    };
    let stopped = number("nr_throttled ").unwrap();
    let used = number("usage_usec ").map(|us| us / 1e6).unwrap_or_else(|| {
        let nanoseconds = group_file(&bundle, "cpuacct", "cpuacct.usage");
        nanoseconds.parse::<f64>().unwrap() / 1e9
    });
    bundle.kill("KILL").succeeded();
    parent.wait().unwrap();

    // The group is stopped in a period of which it has had its half, beginning with its first.
    assert!(
        used > stopped * 0.05 * 0.9,
        "{used} s used, and stopped {stopped} times"
    );
    let told: Value = serde_json::from_str(&bundle.background_output()).unwrap();
    let [cpu, wall] = ["cpu", "wall"].map(|key| told["ok"][key].as_f64().unwrap());
    cpu / wall
}

/// On a machine that is busy with other things it may come to less, but never to more.
#[test]
fn half_a_processor_is_half_a_processor() {
    needs!(root, probe);
    let mut shares = Vec::new();
    for _ in 0..5 {
        let share = half();
        assert!(share < 0.55, "{share}");
        if share > 0.45 {
            return;
        }
        shares.push(share);
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = load.split(' ').next().unwrap().parse().unwrap();
    let processors = std::thread::available_parallelism().unwrap().get();
    let busy = load > f64::from(u32::try_from(processors).unwrap());
    assert!(busy, "never half a processor, but {shares:?}");
}

/// Gives the program something of a block device at /home/disk, and tells which device: a file of
/// ours, or where that lies on none, a device itself. Some machines let nobody open those.
fn give_disk(bundle: &mut Bundle) -> (u32, u32) {
    let file = std::env::current_exe().unwrap();
    let device = fs::metadata(&file).unwrap().st_dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    if major != 0 {
        bundle.args(&["/probe", "list", "/home"]);
        bundle.mount(json!({
            "destination": "/home/disk", "source": file, "options": ["bind", "ro"] }));
        return (major, minor);
    }
    let (major, minor) = disk();
    allow_nodes(bundle);
    let numbers = [major.to_string(), minor.to_string()];
    bundle.args(&[
        "/probe",
        "mknod",
        "/home/disk",
        "b",
        &numbers[0],
        &numbers[1],
    ]);
    let rule = json!({ "allow": true, "type": "b", "major": major, "minor": minor, "access": "r" });
    bundle.set("/linux/resources/devices/-", rule);
    (major, minor)
}

#[test]
fn what_is_read_of_a_device_takes_the_time_that_its_rate_says() {
    needs!(root, probe);
    let seconds = |rate: u64| {
        let mut bundle = Bundle::probe(&[]);
        let (major, minor) = give_disk(&mut bundle);
        for word in ["+", "read-device", "/home/disk", "3"] {
            bundle.set("/process/args/-", json!(word));
        }
        let rate = json!([{ "major": major, "minor": minor, "rate": rate }]);
        let limit = json!({ "throttleReadBpsDevice": rate });
        bundle.set("/linux/resources/blockIO", limit);
        let answers = bundle.run().succeeded().answers();
        let took = answers[1]["ok"]["seconds"].as_f64();
        took.unwrap_or_else(|| panic!("{answers:?}"))
    };
    // 3 MiB at 1 MiB a second: the kernel lets some pass before it begins to count.
    let slow = seconds(MEBIBYTE);
    assert!(slow > 2.0, "{slow} s");
    let fast = seconds(100 * MEBIBYTE);
    assert!(
        fast < slow / 2.0,
        "{fast} s, and {slow} s at 1 MiB a second"
    );
}

#[test]
fn huge_pages_above_the_limit_cannot_be_mapped() {
    needs!(root, cgroup2, probe, hugepages);
    let mut bundle = Bundle::probe(&["huge-pages", "2", "+", "huge-pages", "1"]);
    let pages = json!([{ "pageSize": "2MB", "limit": 2 * MEBIBYTE }]);
    bundle.set("/linux/resources/hugepageLimits", pages);
    let answers = bundle.run().succeeded().answers();
    assert_eq!(answers[0]["errno"], libc::ENOMEM, "{answers:?}");
    assert_eq!(answers[1]["ok"], 1, "{answers:?}");
}
