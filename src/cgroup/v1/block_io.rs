//! `linux.resources.blockIO` as settings of cgroup v1.

use crate::cgroup::settings::{Held, Setting, Shown};
use crate::spec::limits::{BlockIo, Throttled};
use crate::spec::units::Limit;

const WEIGHT: &str = "linux.resources.blockIO.weight";
const WEIGHTS: &str = "linux.resources.blockIO.weightDevice";

pub(super) fn settings(io: &BlockIo, held: Held<'_>) -> Vec<Setting> {
    let has = |file: &str| held("blkio", file).is_some();
    // CFQ's names, and since Linux 5.0 those of BFQ, as runc looks for them.
    let of = |cfq: &'static str, bfq: &'static str| if has(bfq) { bfq } else { cfq };
    let weight_file = of("blkio.weight", "blkio.bfq.weight");
    let weights_file = of("blkio.weight_device", "blkio.bfq.weight_device");
    let set = |field, file, value: String, shown| Setting::new("blkio", field, file, value, shown);

    let weight = io
        .weight
        .map(|w| set(WEIGHT, weight_file, w.to_string(), Shown::Words));
    let leaf = io.leaf_weight.map(|w| {
        let field = "linux.resources.blockIO.leafWeight";
        set(field, "blkio.leaf_weight", w.to_string(), Shown::Words)
    });
    let weights = io.weights.iter().flat_map(|one| {
        let line = |file, weight: Option<u16>| {
            let line = format!("{} {}", one.device, weight?);
            Some(set(WEIGHTS, file, line, Shown::Line))
        };
        let leaf = line("blkio.leaf_weight_device", one.leaf_weight);
        line(weights_file, one.weight).into_iter().chain(leaf)
    });
    let throttles = io.throttles.iter().map(|one| {
        let (field, file) = match one.what {
            Throttled::BytesRead => (
                "linux.resources.blockIO.throttleReadBpsDevice",
                "blkio.throttle.read_bps_device",
            ),
            Throttled::BytesWritten => (
                "linux.resources.blockIO.throttleWriteBpsDevice",
                "blkio.throttle.write_bps_device",
            ),
            Throttled::Reads => (
                "linux.resources.blockIO.throttleReadIOPSDevice",
                "blkio.throttle.read_iops_device",
            ),
            Throttled::Writes => (
                "linux.resources.blockIO.throttleWriteIOPSDevice",
                "blkio.throttle.write_iops_device",
            ),
        };
        let rate = match one.rate {
            Limit::None => 0,
            Limit::At(rate) => rate,
        };
        set(field, file, format!("{} {rate}", one.device), Shown::Line)
    });
    let groups = weight.into_iter().chain(leaf);
    groups.chain(weights).chain(throttles).collect()
}
