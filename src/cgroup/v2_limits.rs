//! Limits as cgroup v2 takes them (Documentation/admin-guide/cgroup-v2.rst).

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::Error;
use super::device_program::compile;
use super::directory::Directory;
use crate::spec::limits::{Cpu, DeviceRule, Limits, Memory};
use crate::spec::units::{Bytes, Limit, Micros};
use crate::sys::bpf;

const VERSION: &str = "v2";

/// A controller that the limits need, and the first field that needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) controller: &'static str,
    pub(super) field: &'static str,
}

impl Need {
    pub(super) fn is_missing(self) -> Error {
        Error::NoController {
            field: self.field,
            controller: self.controller,
            version: VERSION,
        }
    }
}

/// The controllers that have to be enabled for these limits.
pub(super) fn needs(limits: &Limits) -> Vec<Need> {
    let Limits {
        memory, cpu, pids, ..
    } = limits;
    let fields = [
        (
            "memory",
            "linux.resources.memory.limit",
            memory.limit.is_some(),
        ),
        (
            "memory",
            "linux.resources.memory.reservation",
            memory.reservation.is_some(),
        ),
        (
            "memory",
            "linux.resources.memory.swap",
            memory.swap.is_some(),
        ),
        ("cpu", "linux.resources.cpu.shares", cpu.shares.is_some()),
        ("cpu", "linux.resources.cpu.quota", cpu.quota.is_some()),
        ("cpu", "linux.resources.cpu.period", cpu.period.is_some()),
        ("cpu", "linux.resources.cpu.burst", cpu.burst.is_some()),
        ("cpu", "linux.resources.cpu.idle", cpu.idle.is_some()),
        ("cpuset", "linux.resources.cpu.cpus", cpu.cpus.is_some()),
        ("cpuset", "linux.resources.cpu.mems", cpu.mems.is_some()),
        ("pids", "linux.resources.pids.limit", pids.is_some()),
    ];
    let mut needs: Vec<Need> = Vec::new();
    for (controller, field, is_set) in fields {
        if is_set && !needs.iter().any(|n| n.controller == controller) {
            needs.push(Need { controller, field });
        }
    }
    needs
}

/// Sets all limits on `group`, whose controllers are enabled.
pub(super) fn apply(group: &Directory, limits: &Limits) -> Result<(), Error> {
    set_memory(group, &limits.memory)?;
    set_cpu(group, &limits.cpu)?;
    set_cpuset(group, &limits.cpu)?;
    if let Some(limit) = limits.pids {
        let value = max_or(limit, |n| n);
        group.set("linux.resources.pids.limit", "pids.max", &value)?;
    }
    Ok(())
}

fn set_memory(group: &Directory, memory: &Memory) -> Result<(), Error> {
    if memory.swappiness.is_some() {
        return Err(v1_only("linux.resources.memory.swappiness"));
    }
    if memory.disable_oom_killer {
        return Err(v1_only("linux.resources.memory.disableOOMKiller"));
    }
    if let (true, Some(Limit::At(Bytes(limit)))) = (memory.check_before_update, memory.limit) {
        let used = group.text("memory.current")?.trim().parse().unwrap_or(0);
        if limit < used {
            return Err(Error::BelowUse { limit, used });
        }
    }
    // Swap first: with less memory than is in use the kernel would begin to swap at once.
    if let Some(swap) = swap_max(memory) {
        let field = "linux.resources.memory.swap";
        let value = max_or(swap, |b: Bytes| b.0);
        match group.write("memory.swap.max", &value) {
            // Without swap accounting there is nothing to lift; and without swap nothing to forbid.
            Err(Errno::ENOENT) if swap == Limit::None => {}
            Err(Errno::ENOENT) if swap == Limit::At(Bytes(0)) && !host_has_swap() => {}
            other => group.refused(field, "memory.swap.max", value, other)?,
        }
    }
    if let Some(limit) = memory.limit {
        let value = max_or(limit, |b| b.0);
        group.set("linux.resources.memory.limit", "memory.max", &value)?;
    }
    if let Some(soft) = memory.reservation {
        let value = max_or(soft, |b| b.0);
        group.set("linux.resources.memory.reservation", "memory.low", &value)?;
    }
    Ok(())
}

/// The OCI and cgroup v1 count memory and swap together, v2 counts swap alone.
fn swap_max(memory: &Memory) -> Option<Limit<Bytes>> {
    match (memory.swap, memory.limit) {
        // As on v1, where memory and swap without a limit on memory is without one on both.
        (None, Some(Limit::None)) => Some(Limit::None),
        (Some(Limit::At(Bytes(both))), Some(Limit::At(Bytes(alone)))) => {
            Some(Limit::At(Bytes(both.saturating_sub(alone))))
        }
        (swap, _) => swap,
    }
}

fn host_has_swap() -> bool {
    fs::read_to_string("/proc/swaps").map_or(true, |text| text.lines().count() > 1)
}

fn set_cpu(group: &Directory, cpu: &Cpu) -> Result<(), Error> {
    for (is_set, field) in [
        (
            cpu.realtime_runtime.is_some(),
            "linux.resources.cpu.realtimeRuntime",
        ),
        (
            cpu.realtime_period.is_some(),
            "linux.resources.cpu.realtimePeriod",
        ),
    ] {
        if is_set {
            return Err(v1_only(field));
        }
    }
    // An idle group has no weight to set: it is made idle last, and woken first.
    let set_idle = |idle: bool| {
        let value = if idle { "1" } else { "0" };
        group.set("linux.resources.cpu.idle", "cpu.idle", value)
    };
    if cpu.idle == Some(false) {
        set_idle(false)?;
    }
    if let Some(shares) = cpu.shares {
        let value = weight(shares).to_string();
        group.set("linux.resources.cpu.shares", "cpu.weight", &value)?;
    }
    if cpu.idle == Some(true) {
        set_idle(true)?;
    }
    set_bandwidth(group, cpu)
}

fn set_bandwidth(group: &Directory, cpu: &Cpu) -> Result<(), Error> {
    let burst = cpu.burst.map(|Micros(us)| us.to_string());
    let set_burst = |value: &String| group.write("cpu.max.burst", value);
    // The burst may not exceed the quota, neither the old one nor the new one: it is written before
    // the quota where the old one allows, else after it.
    let early = burst.as_ref().map(set_burst);
    if cpu.quota.is_some() || cpu.period.is_some() {
        let field = match cpu.quota {
            Some(_) => "linux.resources.cpu.quota",
            None => "linux.resources.cpu.period",
        };
        group.set(field, "cpu.max", &cpu_max(cpu))?;
    }
    match (early, burst) {
        (Some(Err(first)), Some(value)) => {
            let result = match first {
                Errno::EINVAL => set_burst(&value),
                other => Err(other),
            };
            group.refused("linux.resources.cpu.burst", "cpu.max.burst", value, result)
        }
        _ => Ok(()),
    }
}

/// `QUOTA PERIOD`. The kernel's default period is 100 ms.
fn cpu_max(cpu: &Cpu) -> String {
    let quota = max_or(cpu.quota.unwrap_or(Limit::None), |Micros(us)| us);
    let Micros(period) = cpu.period.unwrap_or(Micros(100_000));
    format!("{quota} {period}")
}

fn set_cpuset(group: &Directory, cpu: &Cpu) -> Result<(), Error> {
    if let Some(cpus) = &cpu.cpus {
        group.set("linux.resources.cpu.cpus", "cpuset.cpus", cpus)?;
    }
    if let Some(mems) = &cpu.mems {
        group.set("linux.resources.cpu.mems", "cpuset.mems", mems)?;
    }
    Ok(())
}

/// Lets the rules decide about every device that the processes of `group` open or make.
pub(super) fn set_devices(group: &Directory, rules: &[DeviceRule]) -> Result<(), Error> {
    let program = load_devices(rules)?;
    bpf::attach_device_program(group.fd(), program.as_fd()).map_err(|errno| Error::DeviceProgram {
        act: "attach",
        errno,
    })
}

/// Has the kernel check the program for the rules.
pub(super) fn load_devices(rules: &[DeviceRule]) -> Result<OwnedFd, Error> {
    bpf::load_device_program(&compile(rules))
        .map_err(|errno| Error::DeviceProgram { act: "load", errno })
}

fn v1_only(field: &'static str) -> Error {
    let why = "cgroup v2 has nothing like it";
    Error::NotEnforceable { field, why }
}

fn max_or<T>(limit: Limit<T>, number: impl Fn(T) -> u64) -> String {
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

    #[test]
    fn swap_is_what_is_left_of_memory_and_swap() {
        let at = |n| Some(Limit::At(Bytes(n)));
        let none = Some(Limit::None);
        for (limit, swap, wanted) in [
            (None, None, None),
            (at(5), None, None),
            (none, None, none),
            (at(5), at(8), at(3)),
            (at(5), at(5), at(0)),
            (at(5), none, none),
            (None, none, none),
        ] {
            let memory = Memory {
                limit,
                swap,
                ..Memory::default()
            };
            assert_eq!(swap_max(&memory), wanted, "{limit:?} {swap:?}");
        }
    }

    #[test]
    fn a_quota_or_a_period_alone_leaves_the_other_at_its_default() {
        for (quota, period, wanted) in [
            (Some(Limit::At(Micros(50_000))), None, "50000 100000"),
            (Some(Limit::None), Some(Micros(20_000)), "max 20000"),
            (None, Some(Micros(20_000)), "max 20000"),
            (
                Some(Limit::At(Micros(1000))),
                Some(Micros(2000)),
                "1000 2000",
            ),
        ] {
            let cpu = Cpu {
                quota,
                period,
                ..Cpu::default()
            };
            assert_eq!(cpu_max(&cpu), wanted);
        }
    }

    #[test]
    fn each_controller_is_needed_once_by_the_first_field_that_is_set() {
        let mut limits = Limits::default();
        assert_eq!(needs(&limits), []);
        limits.memory.swap = Some(Limit::None);
        limits.memory.reservation = Some(Limit::None);
        limits.cpu.mems = Some("0".into());
        let fields: Vec<&str> = needs(&limits).iter().map(|n| n.field).collect();
        let wanted = [
            "linux.resources.memory.reservation",
            "linux.resources.cpu.mems",
        ];
        assert_eq!(fields, wanted);
        assert_eq!(
            needs(&limits)[0].is_missing().to_string(),
            "linux.resources.memory.reservation: the memory controller is not available in cgroup \
             v2 here"
        );
    }
}
