//! `linux.resources.memory` as settings of cgroup v2.

use std::fs;

use super::limits::{number_or_max, v1_only};
use crate::cgroup::Error;
use crate::cgroup::settings::{Held, Setting, Shown, page_size};
use crate::spec::limits::Memory;
use crate::spec::units::{Bytes, Limit};

const SWAP: &str = "linux.resources.memory.swap";

pub(super) fn settings(memory: &Memory, held: Held<'_>) -> Result<Vec<Setting>, Error> {
    if memory.swappiness.is_some() {
        return Err(v1_only("linux.resources.memory.swappiness"));
    }
    if memory.disable_oom_killer {
        return Err(v1_only("linux.resources.memory.disableOOMKiller"));
    }
    let number = |file: &str| held("memory", file)?.trim().parse::<u64>().ok();
    check_use(memory, number("memory.current"))?;

    let set = |field, file: &'static str, limit: Limit<Bytes>| {
        let value = number_or_max(limit, |Bytes(n)| n);
        Setting::new("memory", field, file, value, Shown::Rounded(page_size()))
    };
    // Swap first: with less memory than is in use the kernel would begin to swap at once.
    let swap = swap_max(memory, || number("memory.max"))?;
    // Without swap accounting there is nothing to lift; and without swap nothing to forbid.
    let needless = |swap: &Limit<Bytes>| {
        held("memory", "memory.swap.max").is_none()
            && (*swap == Limit::None || *swap == Limit::At(Bytes(0)) && !host_has_swap())
    };
    let swap = swap.filter(|swap| !needless(swap));
    let all = [
        swap.map(|limit| set(SWAP, "memory.swap.max", limit)),
        memory
            .limit
            .map(|limit| set("linux.resources.memory.limit", "memory.max", limit)),
        memory
            .reservation
            .map(|soft| set("linux.resources.memory.reservation", "memory.low", soft)),
    ];
    Ok(all.into_iter().flatten().collect())
}

/// `checkBeforeUpdate`: in a group that has just been made nothing is in use.
pub(crate) fn check_use(memory: &Memory, used: Option<u64>) -> Result<(), Error> {
    let Some(used) = used.filter(|_| memory.check_before_update) else {
        return Ok(());
    };
    for (what, limit) in [("memory+swap", memory.swap), ("memory", memory.limit)] {
        if let Some(Limit::At(Bytes(limit))) = limit
            && limit <= used
        {
            return Err(Error::BelowUse { what, limit, used });
        }
    }
    Ok(())
}

/// The OCI and cgroup v1 count memory and swap together, v2 counts swap alone. A change of swap alone
/// is taken beside the memory limit in force.
fn swap_max(
    memory: &Memory,
    limit_now: impl Fn() -> Option<u64>,
) -> Result<Option<Limit<Bytes>>, Error> {
    let Some(Limit::At(Bytes(both))) = memory.swap else {
        // As on v1, where memory and swap without a limit on memory is without one on both.
        let lifted = memory.limit.filter(|limit| *limit == Limit::None);
        return Ok(memory.swap.or(lifted));
    };
    let alone = match memory.limit {
        Some(Limit::At(Bytes(alone))) => Some(alone),
        Some(Limit::None) => None,
        None => limit_now(),
    };
    match alone.map(|alone| both.checked_sub(alone)) {
        Some(Some(swap)) => Ok(Some(Limit::At(Bytes(swap)))),
        Some(None) => Err(Error::NotEnforceable {
            field: SWAP,
            why: "memory and swap together are below the memory limit in force",
        }),
        None => Err(Error::NotEnforceable {
            field: SWAP,
            why: "cannot be limited without a memory limit",
        }),
    }
}

fn host_has_swap() -> bool {
    fs::read_to_string("/proc/swaps").map_or(true, |text| text.lines().count() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Option<Limit<Bytes>> = Some(Limit::None);

    fn at(n: u64) -> Option<Limit<Bytes>> {
        Some(Limit::At(Bytes(n)))
    }

    #[test]
    fn swap_is_what_is_left_of_memory_and_swap() {
        for (limit, swap, now, wanted) in [
            (None, None, Some(7), None),
            (at(5), None, None, None),
            (NONE, None, None, NONE),
            (at(5), at(8), Some(7), at(3)),
            (at(5), at(5), None, at(0)),
            (at(5), NONE, None, NONE),
            (None, NONE, None, NONE),
            (None, at(8), Some(7), at(1)),
        ] {
            let memory = Memory {
                limit,
                swap,
                ..Memory::default()
            };
            let found = swap_max(&memory, || now).unwrap();
            assert_eq!(found, wanted, "{limit:?} {swap:?}");
        }
    }

    #[test]
    fn swap_alone_needs_a_limit_below_it() {
        let memory = Memory {
            swap: at(8),
            ..Memory::default()
        };
        for (now, said) in [
            (None, "cannot be limited without a memory limit"),
            (
                Some(9),
                "memory and swap together are below the memory limit in force",
            ),
        ] {
            let error = swap_max(&memory, || now).unwrap_err().to_string();
            assert_eq!(error, format!("{SWAP}: {said}"));
        }
    }

    #[test]
    fn a_limit_at_or_below_what_is_used_is_rejected_on_demand() {
        let mut memory = Memory {
            limit: at(8),
            swap: at(16),
            check_before_update: true,
            ..Memory::default()
        };
        let said = |memory: &Memory, used| check_use(memory, Some(used)).unwrap_err().to_string();
        assert_eq!(said(&memory, 8), "rejecting memory limit 8 <= usage 8");
        assert_eq!(
            said(&memory, 16),
            "rejecting memory+swap limit 16 <= usage 16"
        );
        assert!(check_use(&memory, Some(7)).is_ok());
        assert!(check_use(&memory, None).is_ok());
        memory.check_before_update = false;
        assert!(check_use(&memory, Some(99)).is_ok());
    }

    #[test]
    fn without_swap_accounting_only_a_limit_is_written() {
        let swaps = |swap, held: Option<&str>| {
            let memory = Memory {
                limit: at(5),
                swap,
                ..Memory::default()
            };
            let held = |_: &str, _: &str| held.map(String::from);
            let all = settings(&memory, &held).unwrap();
            all.iter().filter(|s| s.file == "memory.swap.max").count()
        };
        assert_eq!(swaps(NONE, None), 0);
        assert_eq!(swaps(NONE, Some("0")), 1);
        assert_eq!(swaps(at(8), None), 1);
    }
}
