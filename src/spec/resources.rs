//! `linux.resources` and `linux.cgroupsPath` to [`Limits`] and [`GroupPath`].

use oci_spec::runtime as oci;

use super::document::{DeviceRule as Rule, Objects, Pids, Resources};
use super::error::{At, Error};
use super::limits::{Access, Cpu, DeviceKind, DeviceRule, GroupPath, Limits, Memory};
use super::units::{Bytes, InRoot, Limit, Micros};

pub(super) fn convert(resources: Option<Resources>, at: At<'_>) -> Result<Limits, Error> {
    let Some(resources) = resources else {
        return Ok(Limits::default());
    };
    refuse_unsupported(&resources, at)?;

    let memory = resources.memory.as_deref();
    let cpu = resources.cpu.as_deref();
    Ok(Limits {
        memory: memory.map_or(Ok(Memory::default()), |memory| {
            convert_memory(memory, at.key("memory"))
        })?,
        cpu: cpu.map_or(Ok(Cpu::default()), |cpu| convert_cpu(cpu, at.key("cpu")))?,
        pids: convert_pids(resources.pids.as_deref()),
        devices: convert_devices(resources.devices, at.key("devices"))?,
    })
}

fn refuse_unsupported(resources: &Resources, at: At<'_>) -> Result<(), Error> {
    let block_io = resources.block_io.as_deref();
    let network = resources.network.as_deref();

    at.key("blockIO")
        .refuse_if(block_io.is_some_and(sets_block_io))?;
    at.key("hugepageLimits").refuse_if(
        resources
            .hugepage_limits
            .as_ref()
            .is_some_and(|list| !list.is_empty()),
    )?;
    at.key("network").refuse_if(network.is_some_and(|network| {
        network.class_id().unwrap_or(0) != 0
            || network
                .priorities()
                .as_ref()
                .is_some_and(|list| !list.is_empty())
    }))?;
    at.key("rdma")
        .refuse_if(resources.rdma.as_ref().is_some_and(|map| !map.is_empty()))?;
    at.key("unified").refuse_if(
        resources
            .unified
            .as_ref()
            .is_some_and(|map| !map.is_empty()),
    )
}

fn sets_block_io(block_io: &oci::LinuxBlockIo) -> bool {
    let throttles = [
        block_io.throttle_read_bps_device(),
        block_io.throttle_write_bps_device(),
        block_io.throttle_read_iops_device(),
        block_io.throttle_write_iops_device(),
    ];
    block_io.weight().unwrap_or(0) != 0
        || block_io.leaf_weight().unwrap_or(0) != 0
        || block_io.weight_device().iter().flatten().next().is_some()
        || throttles
            .iter()
            .any(|list| list.iter().flatten().next().is_some())
}

#[allow(
    deprecated,
    reason = "kernel is deprecated by the OCI; a document that sets it is warned"
)]
fn convert_memory(memory: &oci::LinuxMemory, at: At<'_>) -> Result<Memory, Error> {
    for (key, value) in [
        ("kernel", memory.kernel()),
        ("kernelTCP", memory.kernel_tcp()),
    ] {
        // Gone from the kernel since 5.4 and 5.16; runc ignores them with the same words.
        if value.unwrap_or(0) != 0 {
            log::warn!(
                "{}: ignored, as the kernel has no such limit",
                at.key(key).whole()
            );
        }
    }
    let size = |key, value: Option<i64>| match value.unwrap_or(0) {
        0 => Ok(None),
        -1 => Ok(Some(Limit::None)),
        value => match u64::try_from(value) {
            Ok(value) => Ok(Some(Limit::At(Bytes(value)))),
            Err(_) => Err(at
                .key(key)
                .fault(format_args!("{value} is no size; -1 is no limit"))),
        },
    };
    let limit = size("limit", memory.limit())?;
    let swap = size("swap", memory.swap())?;
    match (swap, limit) {
        (Some(Limit::At(swap)), Some(Limit::At(limit))) if swap < limit => {
            let (swap, limit) = (swap.0, limit.0);
            let reason =
                format_args!("{swap} is memory and swap together, and below the limit {limit}");
            return Err(at.key("swap").fault(reason));
        }
        // The limit that it has is known to the kernel.
        (Some(Limit::At(_)), None) if at.is_of_update() => {}
        (Some(Limit::At(_)), None | Some(Limit::None)) => {
            return Err(at
                .key("swap")
                .fault("cannot be limited without a memory limit"));
        }
        _ => {}
    }
    // -1 in the unsigned type of the document is unset (runc).
    let swappiness = memory.swappiness().filter(|&value| value != u64::MAX);
    if let Some(value) = swappiness.filter(|&value| value > 100) {
        return Err(at
            .key("swappiness")
            .fault(format_args!("{value} is not from 0 to 100")));
    }
    Ok(Memory {
        limit,
        reservation: size("reservation", memory.reservation())?,
        swap,
        swappiness,
        disable_oom_killer: memory.disable_oom_killer().unwrap_or(false),
        check_before_update: memory.check_before_update().unwrap_or(false),
    })
}

fn convert_cpu(cpu: &oci::LinuxCpu, at: At<'_>) -> Result<Cpu, Error> {
    let idle = match cpu.idle() {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(other) => {
            return Err(at
                .key("idle")
                .fault(format_args!("{other} is neither 0 nor 1")));
        }
    };
    let quota = convert_quota(cpu.quota().unwrap_or(0), at.key("quota"))?;
    let period = in_range(
        cpu.period(),
        1000,
        1_000_000,
        " microseconds",
        at.key("period"),
    )?;
    let burst = cpu.burst().map(Micros);
    if let (Some(Limit::At(quota)), Some(burst)) = (quota, burst)
        && burst > quota
    {
        let (burst, quota) = (burst.0, quota.0);
        return Err(at
            .key("burst")
            .fault(format_args!("{burst} is above the quota {quota}")));
    }
    Ok(Cpu {
        shares: in_range(cpu.shares(), 2, 262_144, "", at.key("shares"))?,
        quota,
        period: period.map(Micros),
        burst,
        cpus: convert_set(cpu.cpus().as_ref(), at.key("cpus"))?,
        mems: convert_set(cpu.mems().as_ref(), at.key("mems"))?,
        idle,
        realtime_runtime: cpu.realtime_runtime().filter(|&value| value != 0),
        realtime_period: cpu
            .realtime_period()
            .filter(|&value| value != 0)
            .map(Micros),
    })
}

/// 0 is unset.
fn in_range(
    value: Option<u64>,
    least: u64,
    most: u64,
    unit: &str,
    at: At<'_>,
) -> Result<Option<u64>, Error> {
    match value.filter(|&value| value != 0) {
        Some(value) if value < least => Err(at.fault(format_args!(
            "{value} is below {least}{unit}, the least the kernel takes"
        ))),
        Some(value) if value > most => Err(at.fault(format_args!(
            "{value} is above {most}{unit}, the most the kernel takes"
        ))),
        value => Ok(value),
    }
}

/// Any negative quota is no limit to the kernel and to runc.
fn convert_quota(quota: i64, at: At<'_>) -> Result<Option<Limit<Micros>>, Error> {
    match u64::try_from(quota) {
        Err(_) => Ok(Some(Limit::None)),
        Ok(0) => Ok(None),
        Ok(quota) if quota < 1000 => Err(at.fault(format_args!(
            "{quota} is below 1000 microseconds, the least the kernel takes"
        ))),
        Ok(quota) => Ok(Some(Limit::At(Micros(quota)))),
    }
}

/// The list format of cpuset(7): `0-3,7`, with a stride `0-15:1/2`.
fn convert_set(set: Option<&String>, at: At<'_>) -> Result<Option<String>, Error> {
    let Some(set) = set.filter(|set| !set.is_empty()) else {
        return Ok(None);
    };
    if let Some(other) = set
        .chars()
        .find(|c| !c.is_ascii_digit() && !",-:/ ".contains(*c))
    {
        return Err(at.fault(format_args!(
            "{set:?} is no list like 0-3,7: it has a {other:?}"
        )));
    }
    Ok(Some(set.clone()))
}

/// 0 is unset, as in runc 1.2; it is a limit from version 1.3 of the OCI on.
fn convert_pids(pids: Option<&Pids>) -> Option<Limit<u64>> {
    let limit = pids?.limit.filter(|&limit| limit != 0)?;
    Some(u64::try_from(limit).map_or(Limit::None, Limit::At))
}

fn convert_devices(list: Objects<Rule>, at: At<'_>) -> Result<Vec<DeviceRule>, Error> {
    let list = list.unwrap_or_default();
    let mut rules = Vec::with_capacity(list.len());
    for (index, rule) in list.iter().enumerate() {
        let at = at.index(index);
        let kind = match rule.kind.as_deref() {
            None | Some("" | "a") => DeviceKind::All,
            Some("c") => DeviceKind::Char,
            Some("b") => DeviceKind::Block,
            Some(other) => {
                return Err(at
                    .key("type")
                    .fault(format_args!("{other:?} is not a, b or c")));
            }
        };
        rules.push(DeviceRule {
            allow: rule.allow,
            kind,
            major: convert_number(rule.major, at.key("major"))?,
            minor: convert_number(rule.minor, at.key("minor"))?,
            access: convert_access(rule.access.as_deref(), at.key("access"))?,
        });
    }
    Ok(rules)
}

/// -1 is any number, as nothing is (runc writes `*` for both).
fn convert_number(number: Option<i64>, at: At<'_>) -> Result<Option<u32>, Error> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| at.fault(format_args!("{number} is no device number"))),
    }
}

fn convert_access(letters: Option<&str>, at: At<'_>) -> Result<Access, Error> {
    let letters = letters.unwrap_or_default();
    if letters.is_empty() {
        return Err(at.fault("device access cannot be empty"));
    }
    if let Some(other) = letters.chars().find(|letter| !"rwm".contains(*letter)) {
        return Err(at.fault(format_args!("{other:?} is not r, w or m")));
    }
    Ok(Access {
        read: letters.contains('r'),
        write: letters.contains('w'),
        mknod: letters.contains('m'),
    })
}

/// `..` stops at the root of the hierarchy, as a name: no path leads out of it.
pub(super) fn convert_path(path: Option<String>, at: At<'_>) -> Result<GroupPath, Error> {
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return Ok(GroupPath::Default);
    };
    let clean = InRoot::new(&path).map_err(|reason| at.fault(reason))?;
    if clean.is_root() {
        return Err(at.fault(format_args!("{path:?} names no group of its own")));
    }
    let clean = clean.to_string();
    Ok(if path.starts_with('/') {
        GroupPath::Absolute(clean)
    } else {
        GroupPath::Relative(clean[1..].to_owned())
    })
}
