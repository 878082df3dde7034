//! The counts of a v2 group, put where v1 has them (Documentation/admin-guide/cgroup-v2.rst).

use std::collections::BTreeMap;

use super::{
    Amount, BlockIo, BlockIoCount, Cpu, CpuSet, CpuUsage, Files, HugePages, Memory, Pids, Pressure,
    Stall, Stats, Throttling, huge_page_sizes, members, number,
};
use crate::cgroup::Error;
use crate::cgroup::directory::Directory;
use crate::cgroup::unified::value_of;

pub(in crate::cgroup) fn read(group: &Directory) -> Result<Stats, Error> {
    let files = Files(vec![group]);
    let blkio = BlockIo {
        psi: pressure(&files, "io.pressure")?,
        ..block_io(&files.texts("io.stat")?)
    };
    let pids = Pids {
        current: files.number("pids.current")?,
        // 0 is no limit there.
        limit: Some(files.number("pids.max")?)
            .filter(|limit| *limit != u64::MAX)
            .unwrap_or(0),
    };
    Ok(Stats {
        cpu: cpu(&files)?,
        cpuset: CpuSet {
            cpus: members(&files.texts("cpuset.cpus.effective")?),
            mems: members(&files.texts("cpuset.mems.effective")?),
            ..CpuSet::default()
        },
        memory: memory(&files)?,
        pids,
        blkio,
        hugetlb: huge_pages(&files)?,
    })
}

fn cpu(files: &Files<'_>) -> Result<Cpu, Error> {
    let text = files.texts("cpu.stat")?;
    let count = |key| value_of(&text, key).unwrap_or(0);
    let nanoseconds = |key| count(key).saturating_mul(1000);
    Ok(Cpu {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            kernel: nanoseconds("system_usec"),
            user: nanoseconds("user_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: count("nr_periods"),
            throttled_periods: count("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: pressure(files, "cpu.pressure")?,
    })
}

fn memory(files: &Files<'_>) -> Result<Memory, Error> {
    let raw = files.table("memory.stat")?;
    let amount = |kind: &str| -> Result<Amount, Error> {
        Ok(Amount {
            limit: files.number(&format!("{kind}.max"))?,
            usage: files.number(&format!("{kind}.current"))?,
            max: files.number(&format!("{kind}.peak"))?,
            failcnt: 0,
        })
    };
    let usage = amount("memory")?;
    let mut swap = amount("memory.swap")?;
    // Without swap accounting it is all zeros, as in runc.
    if files.text("memory.swap.max")?.is_some() {
        swap.usage = swap.usage.saturating_add(usage.usage);
        swap.limit = swap.limit.saturating_add(usage.limit);
    }
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        swap,
        psi: pressure(files, "memory.pressure")?,
        raw,
        ..Memory::default()
    })
}

/// `8:0 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0`
fn block_io(text: &str) -> BlockIo {
    let mut counts = BlockIo::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(|word| word.split_once(':'));
        let Some((major, minor)) = device else {
            continue;
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut counts.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut counts.io_service_bytes_recursive, "Write"),
                "rios" => (&mut counts.io_serviced_recursive, "Read"),
                "wios" => (&mut counts.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(BlockIoCount {
                major: number(major),
                minor: number(minor),
                op: op.into(),
                value: number(value),
            });
        }
    }
    counts
}

fn huge_pages(files: &Files<'_>) -> Result<BTreeMap<String, HugePages>, Error> {
    let mut found = BTreeMap::new();
    for size in huge_page_sizes() {
        let Some(usage) = files.text(&format!("hugetlb.{size}.current"))? else {
            continue;
        };
        let events = files.texts(&format!("hugetlb.{size}.events"))?;
        let pages = HugePages {
            usage: number(&usage),
            max: 0,
            failcnt: value_of(&events, "max").unwrap_or(0),
        };
        found.insert(size, pages);
    }
    Ok(found)
}

fn pressure(files: &Files<'_>, name: &str) -> Result<Option<Pressure>, Error> {
    Ok(files.text(name)?.map(|text| stalls(&text)))
}

/// Two lines like `some avg10=0.00 avg60=0.00 avg300=0.00 total=6024`.
fn stalls(text: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let stall = match words.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        *stall = words.fold(Stall::default(), |mut stall, word| {
            let (key, value) = word.split_once('=').unwrap_or_default();
            let share = value.parse().unwrap_or(0.0);
            match key {
                "avg10" => stall.avg10 = share,
                "avg60" => stall.avg60 = share,
                "avg300" => stall.avg300 = share,
                "total" => stall.total = number(value),
                _ => {}
            }
            stall
        });
    }
    pressure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_its_reads_and_writes() {
        let counts = block_io(
            "8:16 rbytes=1459200 wbytes=314 rios=192 wios=353 dbytes=9 dios=9\n\
             253:0 \n\
             254:1 rbytes=5 wbytes=0 rios=1\n",
        );
        let count = |major, minor, op: &str, value| BlockIoCount {
            major,
            minor,
            op: op.into(),
            value,
        };
        assert_eq!(
            counts.io_service_bytes_recursive,
            [
                count(8, 16, "Read", 1_459_200),
                count(8, 16, "Write", 314),
                count(254, 1, "Read", 5),
                count(254, 1, "Write", 0),
            ]
        );
        assert_eq!(
            counts.io_serviced_recursive,
            [
                count(8, 16, "Read", 192),
                count(8, 16, "Write", 353),
                count(254, 1, "Read", 1),
            ]
        );
    }

    #[test]
    fn pressure_is_of_some_and_of_all() {
        let text = "some avg10=1.53 avg60=0.87 avg300=0.33 total=6024\n\
                    full avg10=0.00 avg60=0.10 avg300=0.02 total=5074\n";
        let found = stalls(text);
        assert_eq!((found.some.avg10, found.some.avg300), (1.53, 0.33));
        assert_eq!((found.some.total, found.full.total), (6024, 5074));
        assert_eq!(found.full.avg60, 0.1);
    }
}
