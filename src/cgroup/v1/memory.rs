//! `linux.resources.memory` as settings of cgroup v1.

use crate::cgroup::Error;
use crate::cgroup::settings::{Held, Setting, Shown, page_size};
use crate::cgroup::v2::memory::check_use;
use crate::spec::limits::Memory;
use crate::spec::units::{Bytes, Limit};

pub(super) fn settings(memory: &Memory, held: Held<'_>) -> Result<Vec<Setting>, Error> {
    let number = |file: &str| held("memory", file)?.trim().parse::<u64>().ok();
    check_use(memory, number("memory.usage_in_bytes"))?;

    let set = |field, file: &'static str, limit: Limit<Bytes>| {
        let value = match limit {
            Limit::None => "-1".into(),
            Limit::At(Bytes(n)) => n.to_string(),
        };
        Setting::new("memory", field, file, value, Shown::Rounded(page_size()))
    };
    let has_swap = number("memory.memsw.limit_in_bytes").is_some();
    let swap = match (memory.swap, memory.limit) {
        // Memory without a limit means swap without one, as in runc.
        (None, Some(Limit::None)) if has_swap => Some(Limit::None),
        // Without swap accounting there is nothing to lift.
        (Some(Limit::None), _) if !has_swap => None,
        (swap, _) => swap,
    };
    let both = swap.map(|swap| {
        let field = "linux.resources.memory.swap";
        set(field, "memory.memsw.limit_in_bytes", swap)
    });
    let alone = memory.limit.map(|limit| {
        let field = "linux.resources.memory.limit";
        set(field, "memory.limit_in_bytes", limit)
    });
    // Memory may never exceed memory and swap: the one that grows goes first.
    let now = number("memory.limit_in_bytes").unwrap_or(u64::MAX);
    let grows = match swap {
        Some(Limit::At(Bytes(swap))) => now < swap,
        Some(Limit::None) | None => true,
    };
    let [first, second] = match grows {
        true => [both, alone],
        false => [alone, both],
    };
    Ok([first, second]
        .into_iter()
        .flatten()
        .chain(habits(memory))
        .collect())
}

/// What is about memory, but no hard limit.
fn habits(memory: &Memory) -> impl Iterator<Item = Setting> {
    let reservation = memory.reservation.map(|soft| {
        let field = "linux.resources.memory.reservation";
        let value = match soft {
            Limit::None => "-1".into(),
            Limit::At(Bytes(n)) => n.to_string(),
        };
        let shown = Shown::Rounded(page_size());
        Setting::new("memory", field, "memory.soft_limit_in_bytes", value, shown)
    });
    let swappiness = memory.swappiness.map(|value| {
        let field = "linux.resources.memory.swappiness";
        Setting::new("memory", field, "memory.swappiness", value, Shown::Words)
    });
    // Shown among other lines.
    let no_killer = memory.disable_oom_killer.then(|| {
        let field = "linux.resources.memory.disableOOMKiller";
        Setting::new(
            "memory",
            field,
            "memory.oom_control",
            "1",
            Shown::Value("oom_kill_disable"),
        )
    });
    reservation.into_iter().chain(swappiness).chain(no_killer)
}
