//! Limits as settings of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst).

use super::{block_io, memory};
use crate::cgroup::Error;
use crate::cgroup::settings::{Held, Setting, Shown, page_size};
use crate::spec::limits::{BlockIo, ControlFile, Cpu, HugePages, Limits, Memory, Rdma};
use crate::spec::units::{Bytes, Limit, Micros};

/// What sets `limits`, as far as they are of controllers that are wanted of v2, in the order in which
/// it has to be written. All of `unified` is of v2.
pub(crate) fn settings(
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
        all.extend(cpu(&limits.cpu, held)?);
    }
    if wanted("cpuset") {
        all.extend(cpuset(&limits.cpu));
    }
    if let Some(limit) = limits.pids.filter(|_| wanted("pids")) {
        let value = number_or_max(limit, |n| n);
        let field = "linux.resources.pids.limit";
        all.push(Setting::new("pids", field, "pids.max", value, Shown::Words));
    }
    if limits.block_io != BlockIo::default() && wanted("io") {
        all.extend(block_io::settings(&limits.block_io, held)?);
    }
    if wanted("hugetlb") {
        let pages = limits.huge_pages.iter();
        all.extend(pages.flat_map(|pages| huge_pages(pages, held, "max")));
    }
    if wanted("rdma") {
        all.extend(limits.rdma.iter().map(rdma));
    }
    if wanted("net_cls") && limits.network.class_id.is_some() {
        return Err(v1_only("linux.resources.network.classID"));
    }
    if wanted("net_prio") && !limits.network.priorities.is_empty() {
        return Err(v1_only("linux.resources.network.priorities"));
    }
    // Last: where it speaks of a file that another field has set, it is the more exact word.
    all.extend(
        limits
            .unified
            .iter()
            .map(|(file, value)| unified(file, value)),
    );
    Ok(all)
}

fn cpu(cpu: &Cpu, held: Held<'_>) -> Result<Vec<Setting>, Error> {
    if cpu.realtime_runtime.is_some() {
        return Err(v1_only("linux.resources.cpu.realtimeRuntime"));
    }
    if cpu.realtime_period.is_some() {
        return Err(v1_only("linux.resources.cpu.realtimePeriod"));
    }
    let idle = cpu.idle.map(|idle| {
        let field = "linux.resources.cpu.idle";
        Setting::new("cpu", field, "cpu.idle", u8::from(idle), Shown::Words)
    });
    let weight = cpu.shares.map(|shares| {
        let field = "linux.resources.cpu.shares";
        Setting::new("cpu", field, "cpu.weight", weight(shares), Shown::Words)
    });
    // An idle group has no weight to set: it is made idle last, and woken first.
    let order = match cpu.idle {
        Some(false) => [idle, weight],
        _ => [weight, idle],
    };
    let bandwidth = bandwidth(cpu, held);
    Ok(order.into_iter().flatten().chain(bandwidth).collect())
}

fn bandwidth(cpu: &Cpu, held: Held<'_>) -> impl Iterator<Item = Setting> {
    let now = held("cpu", "cpu.max");
    let now = now.as_deref().unwrap_or("max").split_whitespace().next();
    let quota_now = now.and_then(|quota| quota.parse::<u64>().ok());

    let max = match (cpu.quota, cpu.period) {
        (None, None) => None,
        // A number alone leaves the period as it is.
        (Some(quota), None) => Some(number_or_max(quota, |Micros(us)| us)),
        (quota, Some(Micros(period))) => {
            let quota = match quota {
                Some(quota) => number_or_max(quota, |Micros(us)| us),
                None => quota_now.map_or_else(|| "max".into(), |us| us.to_string()),
            };
            Some(format!("{quota} {period}"))
        }
    };
    let max = max.map(|value| {
        let field = match cpu.quota {
            Some(_) => "linux.resources.cpu.quota",
            None => "linux.resources.cpu.period",
        };
        Setting::new("cpu", field, "cpu.max", value, Shown::Words)
    });
    let burst = cpu.burst.map(|Micros(us)| {
        let field = "linux.resources.cpu.burst";
        Setting::new("cpu", field, "cpu.max.burst", us, Shown::Words)
    });
    // The burst may not exceed the quota, neither the old one nor the new one: it goes first where
    // the old one allows.
    let allows = |Micros(us): Micros| quota_now.is_none_or(|quota| us <= quota);
    let order = match cpu.burst.is_some_and(allows) {
        true => [burst, max],
        false => [max, burst],
    };
    order.into_iter().flatten()
}

/// The same on v1.
pub(crate) fn cpuset(cpu: &Cpu) -> impl Iterator<Item = Setting> {
    let of = |field, file, list: &Option<String>| {
        let list = list.as_ref()?;
        Some(Setting::new("cpuset", field, file, list, Shown::List))
    };
    let cpus = of("linux.resources.cpu.cpus", "cpuset.cpus", &cpu.cpus);
    let mems = of("linux.resources.cpu.mems", "cpuset.mems", &cpu.mems);
    cpus.into_iter().chain(mems)
}

/// The pages in use, and those that are reserved by a mapping before they are, which a program hears
/// of as an error instead of a SIGBUS (Linux 5.7). As runc sets both. `ending` is that of the files'
/// names: `max`, and on v1 `limit_in_bytes`.
pub(crate) fn huge_pages(
    pages: &HugePages,
    held: Held<'_>,
    ending: &str,
) -> impl Iterator<Item = Setting> {
    let HugePages { page_size, limit } = pages;
    let Bytes(limit) = *limit;
    let unit = bytes_of_size(page_size);
    let set = |file: String| {
        let field = "linux.resources.hugepageLimits";
        Setting::new("hugetlb", field, file, limit, Shown::Rounded(unit))
    };
    let reserved = format!("hugetlb.{page_size}.rsvd.{ending}");
    let reserved = held("hugetlb", &reserved).map(|_| set(reserved));
    std::iter::once(set(format!("hugetlb.{page_size}.{ending}"))).chain(reserved)
}

/// Of `2MB`.
fn bytes_of_size(size: &str) -> u64 {
    crate::cgroup::settings::bytes(size.trim_end_matches('B')).unwrap_or(1)
}

/// The line is the same on v1.
pub(crate) fn rdma(rdma: &Rdma) -> Setting {
    let mut line = rdma.device.clone();
    for (name, number) in [("hca_handle", rdma.handles), ("hca_object", rdma.objects)] {
        if let Some(number) = number {
            line.extend([" ", name, "=", &number.to_string()]);
        }
    }
    let field = "linux.resources.rdma";
    Setting::new("rdma", field, "rdma.max", line, Shown::Line)
}

/// Of memory, in whole pages; the other files hold words and plain numbers.
const SIZES: [&str; 7] = [
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.min",
    "memory.swap.max",
    "memory.swap.high",
    "memory.zswap.max",
];

fn unified(file: &ControlFile, value: &str) -> Setting {
    let name = file.as_str();
    let shown = match file.controller() {
        Some("memory") if SIZES.contains(&name) => Shown::Rounded(page_size()),
        Some("hugetlb") => {
            let size = name.split('.').nth(1).unwrap_or_default();
            Shown::Rounded(bytes_of_size(size))
        }
        // With an invalid partition the kernel keeps the word and says so after it.
        Some("cpuset") if name.ends_with("partition") => Shown::Whole,
        Some("cpuset") => Shown::List,
        Some("io" | "rdma" | "misc") => Shown::Line,
        _ => Shown::Words,
    };
    Setting {
        controller: file.controller().unwrap_or_default().to_owned().into(),
        field: "linux.resources.unified",
        file: name.to_owned().into(),
        value: value.trim_end().into(),
        shown,
    }
}

pub(super) fn v1_only(field: &'static str) -> Error {
    let why = "cgroup v2 has nothing like it";
    Error::NotEnforceable { field, why }
}

pub(super) fn number_or_max<T>(limit: Limit<T>, number: impl Fn(T) -> u64) -> String {
    match limit {
        Limit::None => "max".into(),
        Limit::At(value) => number(value).to_string(),
    }
}

/// Shares (2 to 262144, by default 1024) as a weight (1 to 10000, by default 100). A quadratic in
/// the logarithm goes through all three points; runc has it since 1.3.2 and crun since 1.23, instead
/// of a straight line on which the default shares were a weight of 39.
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            #[allow(clippy::cast_precision_loss, reason = "at most 18 bits")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 10000"
            )]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            weight
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_a_weight_by_the_formula_of_today() {
        for (shares, wanted) in [
            (0, 1),
            (2, 1),
            (3, 2),
            (10, 4),
            (102, 17),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (10240, 639),
            (262_143, 10_000),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(shares), wanted, "{shares}");
        }
    }

    /// File and value of each setting, for a group that holds `held`.
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
    fn a_quota_or_a_period_alone_leaves_the_other_as_it_is() {
        let (some, none) = (Some(Limit::At(Micros(50_000))), Some(Limit::None));
        let period = Some(Micros(20_000));
        let now = &[("cpu.max", "30000 40000\n")][..];
        for (quota, period, held, wanted) in [
            (some, None, now, "cpu.max = 50000"),
            (none, None, now, "cpu.max = max"),
            (None, period, now, "cpu.max = 30000 20000"),
            (None, period, &[], "cpu.max = max 20000"),
            (none, period, now, "cpu.max = max 20000"),
            (some, period, now, "cpu.max = 50000 20000"),
        ] {
            let mut limits = Limits::default();
            (limits.cpu.quota, limits.cpu.period) = (quota, period);
            assert_eq!(lines(&limits, held), [wanted]);
        }
    }

    #[test]
    fn a_burst_goes_first_where_the_old_quota_allows_it() {
        let mut limits = Limits::default();
        limits.cpu.quota = Some(Limit::At(Micros(50_000)));
        limits.cpu.burst = Some(Micros(40_000));
        let (burst, quota) = ("cpu.max.burst = 40000", "cpu.max = 50000");
        for (now, wanted) in [
            ("max 100000", [burst, quota]),
            ("40000 100000", [burst, quota]),
            ("39999 100000", [quota, burst]),
        ] {
            assert_eq!(lines(&limits, &[("cpu.max", now)]), wanted, "{now}");
        }
    }

    #[test]
    fn an_idle_group_is_woken_before_it_is_weighed() {
        let mut limits = Limits::default();
        limits.cpu.shares = Some(1024);
        limits.cpu.idle = Some(true);
        assert_eq!(lines(&limits, &[]), ["cpu.weight = 100", "cpu.idle = 1"]);
        limits.cpu.idle = Some(false);
        assert_eq!(lines(&limits, &[]), ["cpu.idle = 0", "cpu.weight = 100"]);
    }

    #[test]
    fn huge_pages_are_limited_where_they_are_reserved_too() {
        let limits = Limits {
            huge_pages: vec![HugePages {
                page_size: "2MB".into(),
                limit: Bytes(3 << 20),
            }],
            ..Limits::default()
        };
        let (used, reserved) = ("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max");
        let both = [used, reserved].map(|file| format!("{file} = 3145728"));
        assert_eq!(lines(&limits, &[]), both[..1]);
        assert_eq!(lines(&limits, &[(reserved, "max")]), both);
    }

    #[test]
    fn only_sizes_of_memory_are_rounded() {
        for (file, value, held, is) in [
            ("memory.high", "5000", "4096", true),
            ("memory.swap.max", "5000", "4096", true),
            ("memory.oom.group", "1", "0", false),
            ("memory.zswap.writeback", "1", "0", false),
            ("pids.max", "5000", "4096", false),
        ] {
            let setting = unified(&ControlFile::new(file).unwrap(), value);
            assert_eq!(setting.shown.is(value, held), is, "{file}");
        }
    }

    #[test]
    fn what_v2_has_not_is_refused_by_its_field() {
        let refused = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            let error = settings(&limits, |_| true, &|_, _| None).unwrap_err();
            let text = error.to_string();
            text.strip_suffix(": cgroup v2 has nothing like it")
                .unwrap()
                .to_owned()
        };
        let fields = [
            refused(|l| l.memory.swappiness = Some(0)),
            refused(|l| l.memory.disable_oom_killer = true),
            refused(|l| l.cpu.realtime_runtime = Some(1)),
            refused(|l| l.cpu.realtime_period = Some(Micros(1))),
            refused(|l| l.block_io.leaf_weight = Some(10)),
            refused(|l| l.network.class_id = Some(1)),
        ];
        let wanted = [
            "memory.swappiness",
            "memory.disableOOMKiller",
            "cpu.realtimeRuntime",
            "cpu.realtimePeriod",
            "blockIO.leafWeight",
            "network.classID",
        ];
        assert_eq!(
            fields,
            wanted.map(|field| format!("linux.resources.{field}"))
        );
    }
}
