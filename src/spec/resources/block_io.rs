//! `linux.resources.blockIO`

use super::{At, Error, Limit, Objects};
use crate::spec::document::{BlockIo as Asked, ThrottleDevice};
use crate::spec::limits::{BlockIo, DeviceNumber, DeviceWeight, Throttle, Throttled};

pub(super) fn convert(asked: &Asked, at: At<'_>) -> Result<BlockIo, Error> {
    Ok(BlockIo {
        weight: weight(asked.weight, at.key("weight"))?,
        leaf_weight: weight(asked.leaf_weight, at.key("leafWeight"))?,
        weights: weights(asked, at.key("weightDevice"))?,
        throttles: throttles(asked, at)?,
    })
}

/// The range is the OCI's, and 0 is unset.
fn weight(weight: Option<u16>, at: At<'_>) -> Result<Option<u16>, Error> {
    match weight.filter(|&weight| weight != 0) {
        Some(weight) if !(10..=1000).contains(&weight) => {
            Err(at.fault(format_args!("{weight} is not from 10 to 1000")))
        }
        weight => Ok(weight),
    }
}

fn weights(asked: &Asked, at: At<'_>) -> Result<Vec<DeviceWeight>, Error> {
    let mut weights = Vec::new();
    for (index, one) in asked.weight_device.iter().flatten().enumerate() {
        let at = at.index(index);
        if one.weight.or(one.leaf_weight).is_none() {
            return Err(at.fault("neither weight nor leafWeight"));
        }
        let one = DeviceWeight {
            device: device(one.major, one.minor, at)?,
            weight: weight(one.weight, at.key("weight"))?,
            leaf_weight: weight(one.leaf_weight, at.key("leafWeight"))?,
        };
        if one.weight.or(one.leaf_weight).is_some() {
            weights.push(one);
        }
    }
    Ok(weights)
}

fn throttles(asked: &Asked, at: At<'_>) -> Result<Vec<Throttle>, Error> {
    let lists: [(Throttled, &str, &Objects<ThrottleDevice>); 4] = [
        (
            Throttled::BytesRead,
            "throttleReadBpsDevice",
            &asked.throttle_read_bps_device,
        ),
        (
            Throttled::BytesWritten,
            "throttleWriteBpsDevice",
            &asked.throttle_write_bps_device,
        ),
        (
            Throttled::Reads,
            "throttleReadIOPSDevice",
            &asked.throttle_read_iops_device,
        ),
        (
            Throttled::Writes,
            "throttleWriteIOPSDevice",
            &asked.throttle_write_iops_device,
        ),
    ];
    let mut throttles = Vec::new();
    for (what, key, list) in lists {
        let at = at.key(key);
        for (index, one) in list.iter().flatten().enumerate() {
            throttles.push(Throttle {
                device: device(one.major, one.minor, at.index(index))?,
                what,
                // 0 lifts the throttle, as in cgroup v1 and runc.
                rate: match one.rate {
                    0 => Limit::None,
                    rate => Limit::At(rate),
                },
            });
        }
    }
    Ok(throttles)
}

fn device(major: i64, minor: i64, at: At<'_>) -> Result<DeviceNumber, Error> {
    let number = |key, number: i64| {
        let fault = |_| {
            at.key(key)
                .fault(format_args!("{number} is no device number"))
        };
        u32::try_from(number).map_err(fault)
    };
    Ok(DeviceNumber {
        major: number("major", major)?,
        minor: number("minor", minor)?,
    })
}
