//! `linux.resources.blockIO` as settings of cgroup v2.

use super::limits::{number_or_max, v1_only};
use crate::cgroup::Error;
use crate::cgroup::settings::{Held, Setting, Shown};
use crate::spec::limits::{BlockIo, DeviceNumber, Throttled};

const WEIGHT: &str = "linux.resources.blockIO.weight";
const WEIGHTS: &str = "linux.resources.blockIO.weightDevice";

pub(super) fn settings(io: &BlockIo, held: Held<'_>) -> Result<Vec<Setting>, Error> {
    if io.leaf_weight.is_some() {
        return Err(v1_only("linux.resources.blockIO.leafWeight"));
    }
    if io.weights.iter().any(|one| one.leaf_weight.is_some()) {
        return Err(v1_only(WEIGHTS));
    }
    // As runc: BFQ's own file where the kernel has BFQ, and else that of io.cost.
    let bfq = held("io", "io.bfq.weight").is_some();
    let set = |field, line: String| {
        let file = if bfq { "io.bfq.weight" } else { "io.weight" };
        Setting::new("io", field, file, line, Shown::Line)
    };
    let scaled = |weight: u16| if bfq { weight } else { io_weight(weight) };
    let weight = io.weight.map(|w| set(WEIGHT, scaled(w).to_string()));
    let weights = io.weights.iter().filter_map(|one| {
        let line = format!("{} {}", one.device, scaled(one.weight?));
        Some(set(WEIGHTS, line))
    });
    Ok(weight
        .into_iter()
        .chain(weights)
        .chain(throttles(io))
        .collect())
}

/// The four rates of a device stand on one line.
fn throttles(io: &BlockIo) -> Vec<Setting> {
    let mut lines: Vec<(DeviceNumber, Setting)> = Vec::new();
    for one in &io.throttles {
        let (field, key) = match one.what {
            Throttled::BytesRead => ("linux.resources.blockIO.throttleReadBpsDevice", "rbps"),
            Throttled::BytesWritten => ("linux.resources.blockIO.throttleWriteBpsDevice", "wbps"),
            Throttled::Reads => ("linux.resources.blockIO.throttleReadIOPSDevice", "riops"),
            Throttled::Writes => ("linux.resources.blockIO.throttleWriteIOPSDevice", "wiops"),
        };
        let rate = format!(" {key}={}", number_or_max(one.rate, |n| n));
        match lines.iter_mut().find(|(device, _)| *device == one.device) {
            Some((_, setting)) => setting.value.push_str(&rate),
            None => {
                let line = one.device.to_string() + &rate;
                lines.push((
                    one.device,
                    Setting::new("io", field, "io.max", line, Shown::Line),
                ));
            }
        }
    }
    lines.into_iter().map(|(_, setting)| setting).collect()
}

/// 10 to 1000 on a straight line to 1 to 10000, as runc and crun have it.
fn io_weight(weight: u16) -> u16 {
    let over = u32::from(weight.saturating_sub(10));
    u16::try_from(1 + over * 9999 / 990).unwrap_or(10_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::limits::{DeviceWeight, Throttle};
    use crate::spec::units::Limit;

    #[test]
    fn a_weight_of_v1_is_scaled_to_that_of_v2() {
        for (weight, scaled) in [(10, 1), (100, 910), (500, 4950), (1000, 10_000)] {
            assert_eq!(io_weight(weight), scaled, "{weight}");
        }
    }

    #[test]
    fn the_rates_of_a_device_stand_on_one_line() {
        let one = |minor, what, rate| Throttle {
            device: DeviceNumber { major: 8, minor },
            what,
            rate,
        };
        let io = BlockIo {
            throttles: vec![
                one(0, Throttled::BytesRead, Limit::At(9)),
                one(16, Throttled::Writes, Limit::At(7)),
                one(0, Throttled::Reads, Limit::None),
            ],
            ..BlockIo::default()
        };
        let all = settings(&io, &|_, _| None).unwrap();
        let lines: Vec<&str> = all.iter().map(|s| &*s.value).collect();
        assert_eq!(lines, ["8:0 rbps=9 riops=max", "8:16 wiops=7"]);
        assert!(all.iter().all(|s| s.file == "io.max"));
    }

    #[test]
    fn a_weight_goes_to_bfq_where_the_kernel_has_it() {
        let io = BlockIo {
            weight: Some(100),
            weights: vec![DeviceWeight {
                device: DeviceNumber { major: 8, minor: 0 },
                weight: Some(1000),
                leaf_weight: None,
            }],
            ..BlockIo::default()
        };
        let found = |bfq: bool| {
            let all = settings(&io, &|_, _| bfq.then(String::new)).unwrap();
            let lines = all.iter().map(|s| format!("{} = {}", s.file, s.value));
            lines.collect::<Vec<_>>()
        };
        assert_eq!(
            found(true),
            ["io.bfq.weight = 100", "io.bfq.weight = 8:0 1000"]
        );
        assert_eq!(found(false), ["io.weight = 910", "io.weight = 8:0 10000"]);
    }
}
