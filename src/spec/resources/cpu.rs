//! `linux.resources.cpu`

use oci_spec::runtime as oci;

use super::{At, Cpu, Error, Limit, Micros};

pub(super) fn convert(cpu: &oci::LinuxCpu, at: At<'_>) -> Result<Cpu, Error> {
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
