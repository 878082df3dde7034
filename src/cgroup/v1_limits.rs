//! Limits as cgroup v1 takes them (Documentation/admin-guide/cgroup-v1/).
//!
//! The values go through the controllers of cgroups-rs, which know the files, on the path of our
//! descriptor. Not used of it: its `Cgroup`, which makes a group in every hierarchy, finds them by
//! reading the mount table each time and joins them all; its device rules, which open the file for
//! each of a dozen lines; and what it does not have: burst, idle and inheriting cpusets. Its errors
//! are taken apart for the kernel's reason, and a missing file is told from a refused value, which
//! it cannot since it opens with `O_CREAT`.

use std::error::Error as _;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use cgroups_rs::fs::{MaxValue, error};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::Error;
use super::devices::{FIELD as DEVICES, v1_lines};
use super::directory::{Directory, errno};
use crate::spec::limits::{Cpu, DeviceRule, Limits, Memory};
use crate::spec::units::{Bytes, Limit, Micros};

/// The container's groups by controller.
pub(super) struct Controllers<'a> {
    groups: Vec<(&'a [String], &'a Directory)>,
}

impl<'a> Controllers<'a> {
    pub(super) fn new(groups: impl Iterator<Item = (&'a [String], &'a Directory)>) -> Self {
        let groups = groups.collect();
        Self { groups }
    }

    pub(super) fn get(&self, controller: &str) -> Option<&'a Directory> {
        let has = |(names, _): &&(&[String], &Directory)| names.iter().any(|n| n == controller);
        self.groups.iter().find(has).map(|(_, group)| *group)
    }

    fn need(&self, controller: &'static str, field: &'static str) -> Result<&'a Directory, Error> {
        self.get(controller).ok_or(Error::NoController {
            field,
            controller,
            version: "v1",
        })
    }
}

/// Sets all limits but those on devices.
pub(super) fn apply(groups: &Controllers<'_>, limits: &Limits) -> Result<(), Error> {
    set_memory(groups, &limits.memory)?;
    set_cpu(groups, &limits.cpu)?;
    set_cpuset(groups, &limits.cpu)?;
    if let Some(limit) = limits.pids {
        let field = "linux.resources.pids.limit";
        let group = groups.need("pids", field)?;
        let value = match limit {
            Limit::None => MaxValue::Max,
            Limit::At(count) => MaxValue::Value(signed(count)),
        };
        let pids = PidController::new(at(group), PathBuf::new(), false);
        let shown = value.to_string();
        set(group, field, "pids.max", shown, pids.set_pid_max(value))?;
    }
    Ok(())
}

/// Where cgroups-rs finds the group: the descriptor, not the path it was opened by.
fn at(group: &Directory) -> PathBuf {
    format!("/proc/self/fd/{}", group.fd().as_raw_fd()).into()
}

fn set_memory(groups: &Controllers<'_>, memory: &Memory) -> Result<(), Error> {
    const LIMIT: &str = "linux.resources.memory.limit";
    const SWAP: &str = "linux.resources.memory.swap";
    let set_alone = |limit: Limit<Bytes>| {
        let group = groups.need("memory", LIMIT)?;
        let result = controller(group).set_limit(bytes(limit));
        let value = bytes(limit).to_string();
        set(group, LIMIT, "memory.limit_in_bytes", value, result)
    };
    let set_both = |swap: Limit<Bytes>| {
        let group = groups.need("memory", SWAP)?;
        let result = controller(group).set_memswap_limit(bytes(swap));
        let value = bytes(swap).to_string();
        set(group, SWAP, "memory.memsw.limit_in_bytes", value, result)
    };
    match (memory.limit, memory.swap) {
        (None, None) => {}
        (Some(limit), Some(swap)) => {
            // Memory may never exceed memory and swap: the one that grows goes first.
            let group = groups.need("memory", LIMIT)?;
            let now = group.text("memory.limit_in_bytes")?;
            let now = now.trim().parse().unwrap_or(u64::MAX);
            let grows = match swap {
                Limit::None => true,
                Limit::At(Bytes(swap)) => now < swap,
            };
            if grows {
                set_both(swap)?;
                set_alone(limit)?;
            } else {
                set_alone(limit)?;
                set_both(swap)?;
            }
        }
        (Some(limit), None) => {
            let group = groups.need("memory", LIMIT)?;
            // Memory without a limit means swap without one, as in runc.
            if limit == Limit::None && group.has("memory.memsw.limit_in_bytes") {
                set_both(Limit::None)?;
            }
            set_alone(limit)?;
        }
        (None, Some(swap)) => set_both(swap)?,
    }
    set_memory_habits(groups, memory)
}

/// What is about memory, but no hard limit.
fn set_memory_habits(groups: &Controllers<'_>, memory: &Memory) -> Result<(), Error> {
    if let Some(soft) = memory.reservation {
        let field = "linux.resources.memory.reservation";
        let group = groups.need("memory", field)?;
        let result = controller(group).set_soft_limit(bytes(soft));
        let value = bytes(soft).to_string();
        set(group, field, "memory.soft_limit_in_bytes", value, result)?;
    }
    if let Some(swappiness) = memory.swappiness {
        let field = "linux.resources.memory.swappiness";
        let group = groups.need("memory", field)?;
        let result = controller(group).set_swappiness(swappiness);
        let value = swappiness.to_string();
        set(group, field, "memory.swappiness", value, result)?;
    }
    if memory.disable_oom_killer {
        let field = "linux.resources.memory.disableOOMKiller";
        let group = groups.need("memory", field)?;
        let result = controller(group).disable_oom_killer();
        set(group, field, "memory.oom_control", "1".into(), result)?;
    }
    Ok(())
}

fn controller(group: &Directory) -> MemController {
    MemController::new(at(group), PathBuf::new(), false)
}

fn set_cpu(groups: &Controllers<'_>, cpu: &Cpu) -> Result<(), Error> {
    let of = |group: &Directory| CpuController::new(at(group), PathBuf::new(), false);
    // Real time first: a real-time process can only be admitted where it has a share of time.
    if let Some(Micros(us)) = cpu.realtime_period {
        let field = "linux.resources.cpu.realtimePeriod";
        let group = groups.need("cpu", field)?;
        let result = of(group).set_rt_period_us(us);
        set(group, field, "cpu.rt_period_us", us.to_string(), result)?;
    }
    if let Some(us) = cpu.realtime_runtime {
        let field = "linux.resources.cpu.realtimeRuntime";
        let group = groups.need("cpu", field)?;
        let result = of(group).set_rt_runtime(us);
        set(group, field, "cpu.rt_runtime_us", us.to_string(), result)?;
    }
    let set_idle = |idle: bool| {
        let field = "linux.resources.cpu.idle";
        let group = groups.need("cpu", field)?;
        let value = if idle { "1" } else { "0" };
        group.refused(
            field,
            "cpu.idle",
            value.into(),
            group.write("cpu.idle", value),
        )
    };
    // An idle group has no shares to set: it is made idle last, and woken first.
    if cpu.idle == Some(false) {
        set_idle(false)?;
    }
    if let Some(shares) = cpu.shares {
        let field = "linux.resources.cpu.shares";
        let group = groups.need("cpu", field)?;
        let result = of(group).set_shares(shares);
        set(group, field, "cpu.shares", shares.to_string(), result)?;
    }
    if cpu.idle == Some(true) {
        set_idle(true)?;
    }
    set_bandwidth(groups, cpu)
}

fn set_bandwidth(groups: &Controllers<'_>, cpu: &Cpu) -> Result<(), Error> {
    const PERIOD: &str = "linux.resources.cpu.period";
    const QUOTA: &str = "linux.resources.cpu.quota";
    const BURST: &str = "linux.resources.cpu.burst";
    let of = |group: &Directory| CpuController::new(at(group), PathBuf::new(), false);
    let set_period = |Micros(us): Micros| {
        let group = groups.need("cpu", PERIOD)?;
        let result = of(group).set_cfs_period(us);
        set(group, PERIOD, "cpu.cfs_period_us", us.to_string(), result)
    };
    // A shorter period makes the old quota a larger share, which the group above may not have: then
    // the quota goes first.
    let mut late = None;
    if let Some(period) = cpu.period {
        match set_period(period) {
            Err(Error::Limit {
                errno: Errno::EINVAL,
                ..
            }) if cpu.quota.is_some() => late = Some(period),
            other => other?,
        }
    }
    if let Some(quota) = cpu.quota {
        let group = groups.need("cpu", QUOTA)?;
        let us = match quota {
            Limit::None => -1,
            Limit::At(Micros(us)) => signed(us),
        };
        let result = of(group).set_cfs_quota(us);
        set(group, QUOTA, "cpu.cfs_quota_us", us.to_string(), result)?;
    }
    late.map_or(Ok(()), set_period)?;
    if let Some(Micros(us)) = cpu.burst {
        let (group, value) = (groups.need("cpu", BURST)?, us.to_string());
        let result = group.write("cpu.cfs_burst_us", &value);
        group.refused(BURST, "cpu.cfs_burst_us", value, result)?;
    }
    Ok(())
}

fn set_cpuset(groups: &Controllers<'_>, cpu: &Cpu) -> Result<(), Error> {
    let of = |group: &Directory| CpuSetController::new(at(group), PathBuf::new(), false);
    if let Some(cpus) = &cpu.cpus {
        let field = "linux.resources.cpu.cpus";
        let group = groups.need("cpuset", field)?;
        let result = of(group).set_cpus(cpus);
        set(group, field, "cpuset.cpus", cpus.clone(), result)?;
    }
    if let Some(mems) = &cpu.mems {
        let field = "linux.resources.cpu.mems";
        let group = groups.need("cpuset", field)?;
        let result = of(group).set_mems(mems);
        set(group, field, "cpuset.mems", mems.clone(), result)?;
    }
    Ok(())
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

/// Lets the processes of `group` use the devices that the rules allow.
pub(super) fn set_devices(group: &Directory, rules: &[DeviceRule]) -> Result<(), Error> {
    let rules = v1_lines(rules)?;
    let write = |name: &'static str, lines: &[String]| {
        let fault = |value: &str, errno| Error::Limit {
            field: DEVICES,
            value: value.into(),
            path: group.path().join(name),
            errno,
        };
        let mut file = group
            .open_file(name, OFlag::O_WRONLY)
            .map_err(|errno| fault("", errno))?;
        for line in lines {
            file.write(line.as_bytes())
                .map_err(|error| fault(line, errno(error)))?;
        }
        Ok(())
    };
    write(rules.reset, &["a".into()])?;
    write(rules.exceptions, &rules.lines)
}

/// [`Directory::refused`], for a write by cgroups-rs.
fn set(
    group: &Directory,
    field: &'static str,
    file: &'static str,
    value: String,
    result: error::Result<()>,
) -> Result<(), Error> {
    let result = result.map_err(|fault| {
        let cause = fault.source().and_then(|s| s.downcast_ref::<io::Error>());
        let raw = cause.and_then(io::Error::raw_os_error);
        match group.has(file) {
            true => Errno::from_raw(raw.unwrap_or_default()),
            false => Errno::ENOENT,
        }
    });
    group.refused(field, file, value, result)
}

fn bytes(limit: Limit<Bytes>) -> i64 {
    match limit {
        Limit::None => -1,
        Limit::At(Bytes(count)) => signed(count),
    }
}

/// What is more than the kernel's type holds it will refuse.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
