//! What a unit is told of its limits (systemd.resource-control(5), org.freedesktop.systemd1(5)).
//!
//! It is no substitute for writing the limits ourselves: systemd rounds some and knows not all. It is
//! told so that it does not undo what it knows when it sets its units anew, as it does at every
//! daemon-reload.

use std::borrow::Cow;

use nix::unistd::Pid;
use zbus::zvariant::Value;

use crate::cgroup::settings::{Held, Setting, bytes, numbers};
use crate::spec::Id;
use crate::spec::unit::Unit;

#[derive(Debug)]
pub(super) struct Property {
    pub(super) name: Cow<'static, str>,
    pub(super) value: Value<'static>,
    /// The version of systemd that has brought it. An older one is not told: it does not undo what it
    /// does not know (but see [`OOM_POLICY`]).
    pub(super) since: u32,
}

#[derive(Debug, Default)]
pub(super) struct Properties(pub(super) Vec<Property>);

/// Which cgroups the host limits by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

pub(super) const OOM_POLICY: &str = "OOMPolicy";
const OOM_POLICY_SINCE: u32 = 253;

/// No limit, in every property that is a number.
const INFINITY: u64 = u64::MAX;

/// The kernel's default, in microseconds.
const PERIOD: u64 = 100_000;

impl Properties {
    /// In place of one by that name.
    fn put(&mut self, since: u32, name: &'static str, value: impl Into<Value<'static>>) {
        self.0.retain(|one| one.name != name);
        self.0.push(Property {
            name: name.into(),
            value: value.into(),
            since,
        });
    }

    /// What a container's scope is, whatever its limits. `Delegate`: what lies below the scope is ours.
    /// `CollectMode`: one that fails does not stay to be looked at, and its name is free again.
    pub(super) fn of_scope(unit: &Unit, id: &Id, pid: Pid, version: Version) -> Self {
        let mut list = Self::default();
        list.put(0, "Description", format!("bulkhead container {id}"));
        list.put(0, "Slice", unit.slice.clone());
        list.put(0, "PIDs", vec![pid.as_raw().cast_unsigned()]);
        list.put(0, "Delegate", true);
        list.put(0, "DefaultDependencies", false);
        list.put(0, "CPUAccounting", true);
        list.put(0, "MemoryAccounting", true);
        list.put(0, "TasksAccounting", true);
        match version {
            Version::V1 => list.put(0, "BlockIOAccounting", true),
            Version::V2 => list.put(230, "IOAccounting", true),
        }
        list.put(236, "CollectMode", "inactive-or-failed");
        list
    }

    /// systemd's word for `memory.oom.group`, which it takes only when a unit begins. An older one has no
    /// such word for a scope, and writes 0 at every daemon-reload.
    pub(super) fn end_together_for_want_of_memory(&mut self) {
        self.put(OOM_POLICY_SINCE, OOM_POLICY, "kill");
    }

    /// What systemd knows of these settings, which are made on a group that holds `held`. Files of v1
    /// and v2 have different names, or the same meaning.
    pub(super) fn of_settings(settings: &[Setting], held: Held<'_>) -> Self {
        let mut list = Self::default();
        for setting in settings {
            let value = setting.value.trim();
            match &*setting.file {
                "memory.max" => list.amount(231, "MemoryMax", value),
                "memory.high" => list.amount(231, "MemoryHigh", value),
                "memory.low" => list.amount(231, "MemoryLow", value),
                "memory.min" => list.amount(240, "MemoryMin", value),
                "memory.swap.max" => list.amount(232, "MemorySwapMax", value),
                "memory.zswap.max" => list.amount(253, "MemoryZSwapMax", value),
                "memory.limit_in_bytes" => list.amount(0, "MemoryLimit", value),
                "pids.max" => list.amount(0, "TasksMax", value),
                "cpu.weight" => list.amount(232, "CPUWeight", value),
                // The weight 0 is the word `idle`.
                "cpu.idle" if value == "1" => list.put(252, "CPUWeight", 0u64),
                "cpu.idle" if list.lacks("CPUWeight") => list.put(232, "CPUWeight", 100u64),
                "cpu.shares" => list.amount(0, "CPUShares", value),
                "cpuset.cpus" => list.list("AllowedCPUs", value),
                "cpuset.mems" => list.list("AllowedMemoryNodes", value),
                "io.weight" => list.weight("IOWeight", value, |w| w),
                "io.bfq.weight" => list.weight("IOWeight", value, before_bfq),
                "blkio.weight" | "blkio.bfq.weight" => list.weight("BlockIOWeight", value, |w| w),
                _ => {}
            }
        }
        if let Some((quota, period)) = bandwidth(settings, held) {
            list.put(242, "CPUQuotaPeriodUSec", period);
            let a_second = quota.map_or(INFINITY, |quota| a_second(quota, period));
            list.put(0, "CPUQuotaPerSecUSec", a_second);
        }
        list
    }

    fn lacks(&self, name: &str) -> bool {
        self.0.iter().all(|one| one.name != name)
    }

    /// A value that the kernel will refuse is told by the kernel.
    fn amount(&mut self, since: u32, name: &'static str, value: &str) {
        if let Some(number) = bytes(value) {
            self.put(since, name, number);
        }
    }

    fn list(&mut self, name: &'static str, value: &str) {
        if let Some(mask) = mask(value) {
            self.put(244, name, mask);
        }
    }

    /// That of the group; weights on single devices systemd leaves alone if it is not told of any.
    fn weight(&mut self, name: &'static str, value: &str, scale: impl Fn(u64) -> u64) {
        let number = value.strip_prefix("default ").unwrap_or(value);
        if let Ok(weight) = number.parse() {
            self.put(0, name, scale(weight));
        }
    }
}

/// Quota (`None` for none) and period that will be in force, if one of them is set.
fn bandwidth(settings: &[Setting], held: Held<'_>) -> Option<(Option<u64>, u64)> {
    let set = |file: &str| {
        let last = settings.iter().rev().find(|one| one.file == file);
        last.map(|one| one.value.clone())
    };
    let (quota, period) = if let Some(max) = set("cpu.max") {
        let word = |text: &str, n| text.split_whitespace().nth(n).map(String::from);
        let now = || word(&held("cpu", "cpu.max")?, 1);
        (word(&max, 0), word(&max, 1).or_else(now))
    } else {
        let files = ["cpu.cfs_quota_us", "cpu.cfs_period_us"];
        let [quota, period] = files.map(set);
        if quota.is_none() && period.is_none() {
            return None;
        }
        let [quota_file, period_file] = files;
        (
            quota.or_else(|| held("cpu", quota_file)),
            period.or_else(|| held("cpu", period_file)),
        )
    };
    let number = |text: Option<String>| text?.trim().parse::<u64>().ok();
    Some((number(quota), number(period).unwrap_or(PERIOD)))
}

/// A quota of a period as one of a second. systemd keeps it in whole percents of a cpu, and rounds
/// down: it is rounded up, so that it is never less than asked.
fn a_second(quota: u64, period: u64) -> u64 {
    const PERCENT: u64 = 10_000;
    let exact = u128::from(quota) * 1_000_000 / u128::from(period.max(1));
    let exact = u64::try_from(exact).unwrap_or(INFINITY);
    exact.div_ceil(PERCENT).saturating_mul(PERCENT)
}

/// The weight of which systemd makes this one for BFQ (cgroup.h: BFQ_WEIGHT): above 100 it squeezes
/// 100 to 10000 into 100 to 1000.
fn before_bfq(weight: u64) -> u64 {
    match weight.checked_sub(100) {
        Some(over) => 100 + over.saturating_mul(11),
        None => weight,
    }
}

/// `0-2,8` as bits, eight to a byte, the first number in the lowest bit of the first byte.
fn mask(list: &str) -> Option<Vec<u8>> {
    let numbers = numbers(list)?;
    let last = *numbers.last()? as usize;
    let mut mask = vec![0; last / 8 + 1];
    for n in numbers {
        mask[n as usize / 8] |= 1 << (n % 8);
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::settings::Shown;

    /// Names and values, for settings on a group that holds `held`.
    fn told(
        settings: &[(&'static str, &str)],
        held: &[(&str, &str)],
    ) -> Vec<(String, Value<'static>)> {
        let settings: Vec<Setting> = settings
            .iter()
            .map(|(file, value)| Setting::new("", "", *file, value, Shown::Words))
            .collect();
        let held = |_: &str, file: &str| {
            let (_, value) = held.iter().find(|(name, _)| *name == file)?;
            Some((*value).into())
        };
        let list = Properties::of_settings(&settings, &held);
        let pair = |one: Property| (one.name.into_owned(), one.value);
        list.0.into_iter().map(pair).collect()
    }

    fn pairs(list: &[(&str, u64)]) -> Vec<(String, Value<'static>)> {
        let pair = |(name, value): &(&str, u64)| ((*name).into(), (*value).into());
        list.iter().map(pair).collect()
    }

    #[test]
    fn what_systemd_does_not_know_it_is_not_told() {
        assert_eq!(told(&[], &[]), []);
        let settings = [
            ("hugetlb.2MB.max", "0"),
            ("cpu.max.burst", "5"),
            ("io.max", "8:0 rbps=5"),
        ];
        assert_eq!(told(&settings, &[]), []);
    }

    #[test]
    fn files_have_a_property_each() {
        for (file, value, name, number) in [
            ("memory.max", "100", "MemoryMax", 100),
            ("memory.high", "64K", "MemoryHigh", 65536),
            ("memory.low", "max", "MemoryLow", INFINITY),
            ("memory.swap.max", "0", "MemorySwapMax", 0),
            ("memory.limit_in_bytes", "-1", "MemoryLimit", INFINITY),
            ("pids.max", "7", "TasksMax", 7),
            ("cpu.weight", "174", "CPUWeight", 174),
            ("cpu.shares", "2048", "CPUShares", 2048),
            ("io.weight", "default 50", "IOWeight", 50),
            ("io.weight", "50", "IOWeight", 50),
            ("blkio.bfq.weight", "500", "BlockIOWeight", 500),
        ] {
            assert_eq!(
                told(&[(file, value)], &[]),
                pairs(&[(name, number)]),
                "{file}"
            );
        }
        assert_eq!(told(&[("io.weight", "8:0 50")], &[]), []);
    }

    #[test]
    fn the_last_word_on_a_file_counts() {
        let settings = [("memory.max", "1"), ("pids.max", "2"), ("memory.max", "3")];
        let wanted = [("TasksMax", 2), ("MemoryMax", 3)];
        assert_eq!(told(&settings, &[]), pairs(&wanted));
    }

    #[test]
    fn a_weight_for_bfq_comes_back_from_systemd() {
        for weight in [1, 99, 100, 101, 500, 1000] {
            let told = before_bfq(weight);
            let made = if told <= 100 {
                told
            } else {
                100 + (told - 100) * 900 / 9900
            };
            assert_eq!(made, weight);
        }
    }

    #[test]
    fn a_quota_is_told_by_the_second_in_whole_percents() {
        for (quota, period, wanted) in [
            (50_000, 100_000, 500_000),
            (1000, 100_000, 10_000),
            (1001, 100_000, 20_000),
            (33_333, 100_000, 340_000),
            (5000, 10_000, 500_000),
            (u64::MAX, 1000, INFINITY),
        ] {
            assert_eq!(a_second(quota, period), wanted, "{quota} of {period}");
        }
    }

    #[test]
    fn a_quota_or_a_period_alone_is_told_with_the_other_in_force() {
        const V2: &[(&str, &str)] = &[("cpu.max", "30000 50000\n")];
        const V1: &[(&str, &str)] = &[
            ("cpu.cfs_quota_us", "30000\n"),
            ("cpu.cfs_period_us", "50000\n"),
        ];
        for (file, value, held, quota, period) in [
            ("cpu.max", "10000", V2, 200_000, 50_000),
            ("cpu.max", "10000", &[], 100_000, 100_000),
            ("cpu.max", "max 20000", V2, INFINITY, 20_000),
            ("cpu.cfs_quota_us", "10000", V1, 200_000, 50_000),
            ("cpu.cfs_quota_us", "-1", V1, INFINITY, 50_000),
            ("cpu.cfs_period_us", "100000", V1, 300_000, 100_000),
        ] {
            let wanted = [
                ("CPUQuotaPeriodUSec", period),
                ("CPUQuotaPerSecUSec", quota),
            ];
            assert_eq!(
                told(&[(file, value)], held),
                pairs(&wanted),
                "{file} {value}"
            );
        }
    }

    #[test]
    fn an_idle_group_has_the_weight_0() {
        let weight = |n| pairs(&[("CPUWeight", n)]);
        assert_eq!(
            told(&[("cpu.weight", "50"), ("cpu.idle", "1")], &[]),
            weight(0)
        );
        assert_eq!(
            told(&[("cpu.idle", "0"), ("cpu.weight", "50")], &[]),
            weight(50)
        );
        assert_eq!(told(&[("cpu.idle", "0")], &[]), weight(100));
    }

    #[test]
    fn a_list_of_cpus_is_a_mask_that_begins_with_cpu_0() {
        for (list, bits) in [
            ("0", Some(vec![1])),
            ("0-2,4", Some(vec![0b1_0111])),
            ("9,0-3", Some(vec![0b1111, 0b10])),
            ("16", Some(vec![0, 0, 1])),
            ("", None),
            ("1-", None),
        ] {
            assert_eq!(mask(list), bits, "{list}");
        }
    }
}
