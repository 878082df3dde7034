//! What the kernel counts of a container's use: the types have the names and the shape that `runc
//! events` prints, which callers decode. There a count of zero is left out, as here.

mod v1;
mod v2;

use std::collections::BTreeMap;

use nix::errno::Errno;
use serde::Serialize;

use super::Error;
use super::directory::Directory;
pub(super) use v1::read as read_v1;
pub(super) use v2::read as read_v2;

/// What the kernel does not count here is zero or empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    pub cpu: Cpu,
    pub cpuset: CpuSet,
    pub memory: Memory,
    pub pids: Pids,
    pub blkio: BlockIo,
    /// By the size of the page: `2MB`.
    pub hugetlb: BTreeMap<String, HugePages>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// In nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// In nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// The flags are cgroup v1's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: Amount,
    /// Memory and swap together, as v1 counts.
    pub swap: Amount,
    pub kernel: Amount,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Amount,
    /// All of `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// In bytes; no limit is the greatest number that the kernel has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most that was ever used.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockIoCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockIoCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlockIoCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlockIoCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlockIoCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlockIoCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlockIoCount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlockIoCount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// What one device did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockIoCount {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write` and the like; may be empty on v1.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// In bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HugePages {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Time that was lost waiting for a resource, by some of the tasks or by all at once
/// (Documentation/accounting/psi.rst).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    pub some: Stall,
    pub full: Stall,
}

/// Per cent of the last seconds, and microseconds in all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stall {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The files of a container's groups: a name is in one of them, or in none.
struct Files<'a>(Vec<&'a Directory>);

impl Files<'_> {
    /// `None`: the kernel or this container has no such file, or it is gone.
    fn text(&self, name: &str) -> Result<Option<String>, Error> {
        for group in &self.0 {
            match group.read(name) {
                Ok(text) => return Ok(Some(text)),
                // The last one is said of pressure that is not accounted (`psi=0`).
                Err(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP) => {}
                Err(errno) => return Err(Error::call("read", group.path().join(name))(errno)),
            }
        }
        Ok(None)
    }

    fn texts(&self, name: &str) -> Result<String, Error> {
        self.text(name).map(Option::unwrap_or_default)
    }

    /// 0 where it is missing.
    fn number(&self, name: &str) -> Result<u64, Error> {
        Ok(self.text(name)?.map_or(0, |text| number(&text)))
    }

    /// A file of `key number` lines.
    fn table(&self, name: &str) -> Result<BTreeMap<String, u64>, Error> {
        Ok(table(&self.texts(name)?))
    }
}

/// `max` is no limit; what is no number counts nothing.
fn number(text: &str) -> u64 {
    match text.trim() {
        "max" => u64::MAX,
        text => text.parse().unwrap_or(0),
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().map(number).collect()
}

fn table(text: &str) -> BTreeMap<String, u64> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(key, value)| (key.into(), number(value)))
        .collect()
}

/// A list of processors or memory nodes: `0-2,5` (cpuset(7)).
fn members(list: &str) -> Vec<u16> {
    let mut members = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse()) {
            members.extend(first..=last);
        }
    }
    members
}

/// The sizes of huge pages that this kernel has, as the names of files have them: `2MB`.
fn huge_page_sizes() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages");
    let names = entries.into_iter().flatten().flatten();
    let kilobytes = names.filter_map(|entry| {
        let name = entry.file_name();
        let size = name.to_str()?.strip_prefix("hugepages-")?;
        size.strip_suffix("kB")?.parse::<u64>().ok()
    });
    kilobytes.map(huge_page_size).collect()
}

/// As the kernel shortens it (mm/hugetlb_cgroup.c, mem_fmt).
fn huge_page_size(kilobytes: u64) -> String {
    match kilobytes {
        n if n >= 1 << 20 => format!("{}GB", n >> 20),
        n if n >= 1 << 10 => format!("{}MB", n >> 10),
        n => format!("{n}KB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_each_of_its_members() {
        for (list, wanted) in [
            ("0\n", &[0][..]),
            ("0-2,5\n", &[0, 1, 2, 5]),
            ("", &[]),
            ("\n", &[]),
            ("3-1", &[]),
        ] {
            assert_eq!(members(list), wanted, "{list:?}");
        }
    }

    #[test]
    fn a_huge_page_has_the_name_that_its_files_have() {
        for (kilobytes, name) in [
            (64, "64KB"),
            (2048, "2MB"),
            (1 << 20, "1GB"),
            (16 << 20, "16GB"),
        ] {
            assert_eq!(huge_page_size(kilobytes), name);
        }
    }

    #[test]
    fn zeros_and_what_is_empty_are_left_out_where_runc_does() {
        let mut stats = Stats::default();
        stats.memory.usage.limit = 7;
        stats.blkio.io_serviced_recursive.push(BlockIoCount {
            major: 8,
            op: "Read".into(),
            ..BlockIoCount::default()
        });
        let wanted = r#"{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"memory":{"usage":{"limit":7,"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},"pids":{},"blkio":{"ioServicedRecursive":[{"major":8,"op":"Read"}]},"hugetlb":{}}"#;
        assert_eq!(serde_json::to_string(&stats).unwrap(), wanted);
    }
}
