//! Limits as settings of cgroup v1 (Documentation/admin-guide/cgroup-v1/).
//!
//! They are written and read back as those of v2 are. The controllers of cgroups-rs, which know the
//! same files, were of no use for that: they open with `O_CREAT`, so that a missing file is a refusal,
//! keep the kernel's reason behind two boxes, and have no burst, idle or inherited cpuset.

use super::{block_io, memory};
use crate::cgroup::Error;
use crate::cgroup::directory::Directory;
use crate::cgroup::settings::{Held, Setting, Shown};
use crate::cgroup::v2::limits::{cpuset, huge_pages, rdma};
use crate::spec::limits::{BlockIo, Cpu, Limits, Memory, Network};
use crate::spec::units::{Limit, Micros};

/// What sets `limits`, as far as they are of controllers that are wanted of v1, in the order in which
/// it has to be written.
pub(in crate::cgroup) fn settings(
    limits: &Limits,
    wanted: impl Fn(&str) -> bool,
    held: Held<'_>,
) -> Result<Vec<Setting>, Error> {
    let mut all = Vec::new();
    // What is not set costs no look at the group.
    if limits.memory != Memory::default() && wanted("memory") {
        all.extend(memory::settings(&limits.memory, held)?);
    }
    if limits.cpu != Cpu::default() && wanted("cpu") {
        all.extend(cpu(&limits.cpu, held));
    }
    if wanted("cpuset") {
        all.extend(cpuset(&limits.cpu));
    }
    if let Some(limit) = limits.pids.filter(|_| wanted("pids")) {
        let value = match limit {
            Limit::None => "max".into(),
            Limit::At(count) => count.to_string(),
        };
        let field = "linux.resources.pids.limit";
        all.push(Setting::new("pids", field, "pids.max", value, Shown::Words));
    }
    if limits.block_io != BlockIo::default() && wanted("blkio") {
        all.extend(block_io::settings(&limits.block_io, held));
    }
    if wanted("hugetlb") {
        let pages = limits.huge_pages.iter();
        all.extend(pages.flat_map(|pages| huge_pages(pages, held, "limit_in_bytes")));
    }
    if wanted("rdma") {
        all.extend(limits.rdma.iter().map(rdma));
    }
    all.extend(network(&limits.network));
    Ok(all)
}

fn cpu(cpu: &Cpu, held: Held<'_>) -> Vec<Setting> {
    let set = |field, file: &'static str, value: String| {
        Setting::new("cpu", field, file, value, Shown::Words)
    };
    let period = cpu.realtime_period.map(|Micros(us)| {
        let field = "linux.resources.cpu.realtimePeriod";
        set(field, "cpu.rt_period_us", us.to_string())
    });
    let runtime = cpu.realtime_runtime.map(|us| {
        let field = "linux.resources.cpu.realtimeRuntime";
        set(field, "cpu.rt_runtime_us", us.to_string())
    });
    let idle = cpu.idle.map(|idle| {
        let value = u8::from(idle).to_string();
        set("linux.resources.cpu.idle", "cpu.idle", value)
    });
    let shares = cpu.shares.map(|shares| {
        let field = "linux.resources.cpu.shares";
        set(field, "cpu.shares", shares.to_string())
    });
    // An idle group has no shares to set: it is made idle last, and woken first.
    let [first, second] = match cpu.idle {
        Some(false) => [idle, shares],
        _ => [shares, idle],
    };
    // Real time first: a real-time process can only be admitted where it has a share of time.
    let all = [period, runtime, first, second].into_iter().flatten();
    all.chain(bandwidth(cpu, held)).collect()
}

/// Quota, period and burst, each of which bounds another: the kernel refuses a burst above the quota,
/// and a share of time (quota by period) above that of the group above.
fn bandwidth(cpu: &Cpu, held: Held<'_>) -> Vec<Setting> {
    let set = |field, file: &'static str, value: String| {
        Setting::new("cpu", field, file, value, Shown::Words)
    };
    let now = |file: &str| held("cpu", file)?.trim().parse::<i64>().ok();
    let quota_now = now("cpu.cfs_quota_us").and_then(|us| u64::try_from(us).ok());
    let period_now = now("cpu.cfs_period_us").and_then(|us| u64::try_from(us).ok());

    let period = cpu.period.map(|Micros(us)| {
        let field = "linux.resources.cpu.period";
        set(field, "cpu.cfs_period_us", us.to_string())
    });
    let quota = cpu.quota.map(|quota| {
        let us = match quota {
            Limit::None => "-1".into(),
            Limit::At(Micros(us)) => us.to_string(),
        };
        set("linux.resources.cpu.quota", "cpu.cfs_quota_us", us)
    });
    let burst = cpu.burst.map(|Micros(us)| {
        let field = "linux.resources.cpu.burst";
        set(field, "cpu.cfs_burst_us", us.to_string())
    });
    // A shorter period makes the old quota a larger share: then the quota goes first, unless the old
    // quota is none.
    let shorter = match (cpu.period, period_now) {
        (Some(Micros(new)), Some(now)) => new < now,
        _ => false,
    };
    let share = match shorter && quota_now.is_some() {
        true => [quota, period],
        false => [period, quota],
    };
    let allows = |Micros(us): Micros| quota_now.is_none_or(|quota| us <= quota);
    let mut all: Vec<Setting> = share.into_iter().flatten().collect();
    if let Some(burst) = burst {
        let at = if cpu.burst.is_some_and(allows) {
            0
        } else {
            all.len()
        };
        all.insert(at, burst);
    }
    all
}

fn network(network: &Network) -> impl Iterator<Item = Setting> {
    let class = network.class_id.map(|class| {
        let field = "linux.resources.network.classID";
        Setting::new("net_cls", field, "net_cls.classid", class, Shown::Words)
    });
    let priorities = network.priorities.iter().map(|one| {
        let (field, line) = (
            "linux.resources.network.priorities",
            format!("{} {}", one.interface, one.priority),
        );
        Setting::new("net_prio", field, "net_prio.ifpriomap", line, Shown::Line)
    });
    class.into_iter().chain(priorities)
}

/// A new v1 cpuset is empty and admits nobody: it begins with what the group above has.
pub(super) fn inherit_cpuset(above: &Directory, below: &Directory) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if below.text(file)?.trim().is_empty() {
            let inherited = above.text(file)?;
            below
                .write(file, inherited.trim())
                .map_err(Error::call("write", below.path().join(file)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::units::Bytes;

    /// File and value of each setting, for groups that hold `held`.
    fn lines(limits: &Limits, held: &[(&str, &str)]) -> Vec<String> {
        let held = |_: &str, file: &str| {
            let (_, value) = held.iter().find(|(name, _)| *name == file)?;
            Some((*value).into())
        };
        let all = settings(limits, |_| true, &held).unwrap();
        let lines = all.iter().map(|s| format!("{} = {}", s.file, s.value));
        lines.collect()
    }

    #[test]
    fn memory_and_swap_grow_in_one_order_and_shrink_in_the_other() {
        const MIB: u64 = 1 << 20;
        let (alone, both) = (
            "memory.limit_in_bytes = 67108864",
            "memory.memsw.limit_in_bytes = 134217728",
        );
        let mut limits = Limits::default();
        limits.memory.limit = Some(Limit::At(Bytes(64 * MIB)));
        limits.memory.swap = Some(Limit::At(Bytes(128 * MIB)));
        for (now, wanted) in [("33554432", [both, alone]), ("268435456", [alone, both])] {
            let held = [
                ("memory.limit_in_bytes", now),
                ("memory.memsw.limit_in_bytes", now),
            ];
            assert_eq!(lines(&limits, &held), wanted, "{now}");
        }
    }

    #[test]
    fn memory_without_a_limit_takes_that_of_swap_with_it() {
        let mut limits = Limits::default();
        limits.memory.limit = Some(Limit::None);
        let held = [("memory.memsw.limit_in_bytes", "7")];
        let both = [
            "memory.memsw.limit_in_bytes = -1",
            "memory.limit_in_bytes = -1",
        ];
        assert_eq!(lines(&limits, &held), both);
        assert_eq!(lines(&limits, &[]), both[1..]);
    }

    #[test]
    fn bandwidth_is_changed_in_an_order_that_the_kernel_takes() {
        let mut limits = Limits::default();
        limits.cpu.quota = Some(Limit::At(Micros(20_000)));
        limits.cpu.period = Some(Micros(50_000));
        limits.cpu.burst = Some(Micros(10_000));
        let quota = "cpu.cfs_quota_us = 20000";
        let period = "cpu.cfs_period_us = 50000";
        let burst = "cpu.cfs_burst_us = 10000";
        for (quota_now, period_now, wanted) in [
            ("-1", "100000", [burst, period, quota]),
            ("90000", "100000", [burst, quota, period]),
            ("5000", "10000", [period, quota, burst]),
        ] {
            let held = [
                ("cpu.cfs_quota_us", quota_now),
                ("cpu.cfs_period_us", period_now),
            ];
            assert_eq!(lines(&limits, &held), wanted, "{quota_now} {period_now}");
        }
    }

    #[test]
    fn a_weight_goes_to_bfq_where_cfq_is_gone() {
        let mut limits = Limits::default();
        limits.block_io.weight = Some(300);
        assert_eq!(lines(&limits, &[]), ["blkio.weight = 300"]);
        let held = [("blkio.bfq.weight", "100")];
        assert_eq!(lines(&limits, &held), ["blkio.bfq.weight = 300"]);
    }

    #[test]
    fn controllers_of_v2_are_left_to_it() {
        let mut limits = Limits::default();
        limits.memory.swappiness = Some(1);
        limits.pids = Some(Limit::At(7));
        let all = settings(&limits, |controller| controller != "memory", &|_, _| None).unwrap();
        let files: Vec<&str> = all.iter().map(|s| &*s.file).collect();
        assert_eq!(files, ["pids.max"]);
    }
}
