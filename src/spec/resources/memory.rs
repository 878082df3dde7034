//! `linux.resources.memory`

use oci_spec::runtime as oci;

use super::{At, Bytes, Error, Limit, Memory};

#[allow(
    deprecated,
    reason = "kernel is deprecated by the OCI; a document that sets it is warned"
)]
pub(super) fn convert(memory: &oci::LinuxMemory, at: At<'_>) -> Result<Memory, Error> {
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
        (Some(Limit::At(Bytes(swap))), Some(Limit::At(Bytes(limit)))) if swap < limit => {
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
