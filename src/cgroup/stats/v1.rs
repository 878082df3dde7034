//! The counts of v1 groups (Documentation/admin-guide/cgroup-v1/).

use std::collections::BTreeMap;

use super::{
    Amount, BlockIo, BlockIoCount, Cpu, CpuSet, CpuUsage, Files, HugePages, Memory, Pids, Stats,
    Throttling, huge_page_sizes, members, number, numbers, v2,
};
use crate::cgroup::Error;
use crate::cgroup::directory::Directory;
use crate::cgroup::unified::value_of;

/// One hundredth of a second, which every Linux tells processes to be its tick.
const NANOSECONDS_OF_TICK: u64 = 10_000_000;

/// `unified` gives what v1 does not have: pressure, and the counts of controllers that v1 lacks here.
pub(in crate::cgroup) fn read<'a>(
    groups: impl Iterator<Item = &'a Directory>,
    unified: Option<&Directory>,
) -> Result<Stats, Error> {
    let files = Files(groups.collect());
    let beside = unified.map(v2::read).transpose()?.unwrap_or_default();
    Ok(Stats {
        cpu: Cpu {
            psi: beside.cpu.psi,
            ..cpu(&files)?
        },
        cpuset: or(cpuset(&files)?, beside.cpuset),
        memory: Memory {
            psi: beside.memory.psi.clone(),
            ..or(memory(&files)?, beside.memory)
        },
        pids: or(pids(&files)?, beside.pids),
        blkio: BlockIo {
            psi: beside.blkio.psi.clone(),
            ..or(block_io(&files)?, beside.blkio)
        },
        hugetlb: or(huge_pages(&files)?, beside.hugetlb),
    })
}

/// A controller is in one hierarchy alone: the other one counts nothing.
fn or<T: Default + PartialEq>(one: T, other: T) -> T {
    if one == T::default() { other } else { one }
}

fn cpu(files: &Files<'_>) -> Result<Cpu, Error> {
    let ticks = files.texts("cpuacct.stat")?;
    let nanoseconds = |key| value_of(&ticks, key).unwrap_or(0) * NANOSECONDS_OF_TICK;
    let text = files.texts("cpu.stat")?;
    let count = |key| value_of(&text, key).unwrap_or(0);
    Ok(Cpu {
        usage: CpuUsage {
            total: files.number("cpuacct.usage")?,
            percpu: numbers(&files.texts("cpuacct.usage_percpu")?),
            percpu_kernel: numbers(&files.texts("cpuacct.usage_percpu_sys")?),
            percpu_user: numbers(&files.texts("cpuacct.usage_percpu_user")?),
            kernel: nanoseconds("system"),
            user: nanoseconds("user"),
        },
        throttling: Throttling {
            periods: count("nr_periods"),
            throttled_periods: count("nr_throttled"),
            throttled_time: count("throttled_time"),
        },
        psi: None,
    })
}

fn cpuset(files: &Files<'_>) -> Result<CpuSet, Error> {
    let level = files.texts("cpuset.sched_relax_domain_level")?;
    Ok(CpuSet {
        cpus: members(&files.texts("cpuset.cpus")?),
        cpu_exclusive: files.number("cpuset.cpu_exclusive")?,
        mems: members(&files.texts("cpuset.mems")?),
        mem_hardwall: files.number("cpuset.mem_hardwall")?,
        mem_exclusive: files.number("cpuset.mem_exclusive")?,
        memory_migrate: files.number("cpuset.memory_migrate")?,
        memory_spread_page: files.number("cpuset.memory_spread_page")?,
        memory_spread_slab: files.number("cpuset.memory_spread_slab")?,
        memory_pressure: files.number("cpuset.memory_pressure")?,
        sched_load_balance: files.number("cpuset.sched_load_balance")?,
        sched_relax_domain_level: level.trim().parse().unwrap_or(0),
    })
}

fn memory(files: &Files<'_>) -> Result<Memory, Error> {
    let raw = files.table("memory.stat")?;
    let amount = |kind: &str| -> Result<Amount, Error> {
        let file = |what: &str| files.number(&format!("{kind}.{what}"));
        Ok(Amount {
            limit: file("limit_in_bytes")?,
            usage: file("usage_in_bytes")?,
            max: file("max_usage_in_bytes")?,
            failcnt: file("failcnt")?,
        })
    };
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: amount("memory")?,
        swap: amount("memory.memsw")?,
        kernel: amount("memory.kmem")?,
        kernel_tcp: amount("memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

fn pids(files: &Files<'_>) -> Result<Pids, Error> {
    let limit = files.texts("pids.max")?;
    Ok(Pids {
        current: files.number("pids.current")?,
        limit: limit.trim().parse().unwrap_or(0),
    })
}

/// Who counts depends on the scheduler of the disk: the first that has counted anything is asked for
/// the rest.
fn block_io(files: &Files<'_>) -> Result<BlockIo, Error> {
    for counter in ["blkio.bfq", "blkio", "blkio.throttle"] {
        let list = |what: &str| -> Result<Vec<BlockIoCount>, Error> {
            let name = format!("{counter}.{what}_recursive");
            Ok(files.texts(&name)?.lines().filter_map(count).collect())
        };
        let io_serviced_recursive = list("io_serviced")?;
        if io_serviced_recursive.is_empty() {
            continue;
        }
        return Ok(BlockIo {
            io_service_bytes_recursive: list("io_service_bytes")?,
            io_serviced_recursive,
            io_queue_recursive: list("io_queued")?,
            io_service_time_recursive: list("io_service_time")?,
            io_wait_time_recursive: list("io_wait_time")?,
            io_merged_recursive: list("io_merged")?,
            io_time_recursive: list("time")?,
            sectors_recursive: list("sectors")?,
            psi: None,
        });
    }
    Ok(BlockIo::default())
}

/// `8:0 Read 1282048` or `8:0 6792`; a sum over all devices (`Total 3477504`) is none.
fn count(line: &str) -> Option<BlockIoCount> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let (op, value) = rest.split_once(' ').unwrap_or(("", rest));
    Some(BlockIoCount {
        major: number(major),
        minor: number(minor),
        op: op.into(),
        value: number(value),
    })
}

fn huge_pages(files: &Files<'_>) -> Result<BTreeMap<String, HugePages>, Error> {
    let mut found = BTreeMap::new();
    for size in huge_page_sizes() {
        let name = |what| format!("hugetlb.{size}.{what}");
        let Some(usage) = files.text(&name("usage_in_bytes"))? else {
            continue;
        };
        let pages = HugePages {
            usage: number(&usage),
            max: files.number(&name("max_usage_in_bytes"))?,
            failcnt: files.number(&name("failcnt"))?,
        };
        found.insert(size, pages);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_one_act_of_one_device() {
        let found = |line| count(line).map(|c| (c.major, c.minor, c.op, c.value));
        assert_eq!(found("8:16 Read 12"), Some((8, 16, "Read".into(), 12)));
        assert_eq!(found("8:0 6792"), Some((8, 0, String::new(), 6792)));
        assert_eq!(found("Total 3477504"), None);
        assert_eq!(found(""), None);
    }
}
