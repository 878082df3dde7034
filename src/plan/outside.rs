//! What the runtime does beside its child, in words: the container's groups, their limits and the
//! hooks of its own side.

use super::host::{Groups, Host};
use crate::spec::Container;
use crate::spec::container::Hook;
use crate::spec::limits::{Access, Cpu, DeviceKind, DeviceRule, Limits, Memory};
use crate::spec::units::{Bytes, Limit, Micros};

pub(super) fn lines(container: &Container, host: &Host) -> Vec<String> {
    let mut lines = groups(&host.groups);
    if !matches!(host.groups, Groups::Disabled) {
        lines.extend(limits(&container.limits));
    }
    let hooks = &container.hooks;
    lines.extend(hook_lines(
        "prestart",
        &hooks.prestart,
        "when the mounts are made",
    ));
    lines.extend(hook_lines(
        "createRuntime",
        &hooks.create_runtime,
        "when the mounts are made",
    ));
    lines.extend(hook_lines(
        "poststart",
        &hooks.poststart,
        "when the program runs",
    ));
    lines.extend(hook_lines(
        "poststop",
        &hooks.poststop,
        "when the container is deleted",
    ));
    lines
}

fn hook_lines<'a>(
    point: &'a str,
    hooks: &'a [Hook],
    when: &'a str,
) -> impl Iterator<Item = String> + 'a {
    hooks.iter().enumerate().map(move |(index, hook)| {
        format!(
            "run the {point} hook {index}: {} {when}",
            hook.path.display()
        )
    })
}

fn groups(groups: &Groups) -> Vec<String> {
    let line = |path: &std::path::Path| format!("make the group {}", path.display());
    match groups {
        Groups::Disabled => Vec::new(),
        Groups::V2 { group, owned: true } => vec![line(group)],
        Groups::V2 { .. } => Vec::new(),
        Groups::V1 { hierarchies, .. } => {
            let owned = hierarchies.iter().filter(|hierarchy| hierarchy.owned);
            owned.map(|hierarchy| line(&hierarchy.group)).collect()
        }
    }
}

fn limits(limits: &Limits) -> Vec<String> {
    let mut lines = memory(&limits.memory);
    lines.extend(cpu(&limits.cpu));
    lines.extend(
        limits
            .pids
            .map(|most| format!("limit pids to {}", amount(most, |n| n.to_string()))),
    );
    lines.extend(limits.devices.iter().map(device));
    lines
}

fn amount<T>(limit: Limit<T>, show: impl FnOnce(T) -> String) -> String {
    match limit {
        Limit::None => "any".into(),
        Limit::At(value) => show(value),
    }
}

fn memory(memory: &Memory) -> Vec<String> {
    let bytes = |limit| amount(limit, |Bytes(n)| format!("{n} bytes"));
    let mut lines = Vec::new();
    lines.extend(
        memory
            .limit
            .map(|limit| format!("limit memory to {}", bytes(limit))),
    );
    lines.extend(
        memory
            .reservation
            .map(|limit| format!("reserve memory of {}", bytes(limit))),
    );
    lines.extend(
        memory
            .swap
            .map(|limit| format!("limit memory and swap to {}", bytes(limit))),
    );
    lines.extend(memory.swappiness.map(|n| format!("set the swappiness {n}")));
    if memory.disable_oom_killer {
        lines.push("let processes wait for memory, and none be killed".into());
    }
    lines
}

fn cpu(cpu: &Cpu) -> Vec<String> {
    let micros = |Micros(n)| format!("{n} µs");
    let mut lines = Vec::new();
    lines.extend(cpu.shares.map(|n| format!("give {n} shares of the cpu")));
    lines.extend(
        cpu.quota
            .map(|quota| format!("limit cpu time to {} a period", amount(quota, micros))),
    );
    lines.extend(
        cpu.period
            .map(|period| format!("count cpu time in periods of {}", micros(period))),
    );
    lines.extend(
        cpu.burst
            .map(|burst| format!("let cpu time burst by {}", micros(burst))),
    );
    lines.extend(
        cpu.cpus
            .as_ref()
            .map(|list| format!("run on the cpus {list}")),
    );
    lines.extend(
        cpu.mems
            .as_ref()
            .map(|list| format!("take memory of the nodes {list}")),
    );
    lines.extend(
        cpu.idle
            .map(|idle| format!("set cpu idle {}", u8::from(idle))),
    );
    lines.extend(
        cpu.realtime_runtime
            .map(|n| format!("give {n} µs of real time a period")),
    );
    lines.extend(
        cpu.realtime_period
            .map(|p| format!("count real time in periods of {}", micros(p))),
    );
    lines
}

fn device(rule: &DeviceRule) -> String {
    let word = if rule.allow { "allow" } else { "deny" };
    let kind = match rule.kind {
        DeviceKind::All => "all devices",
        DeviceKind::Char => "character devices",
        DeviceKind::Block => "block devices",
    };
    let number = |n: Option<u32>| n.map_or("*".to_string(), |n| n.to_string());
    let Access { read, write, mknod } = rule.access;
    let access: String = [(read, 'r'), (write, 'w'), (mknod, 'm')]
        .into_iter()
        .filter_map(|(on, letter)| on.then_some(letter))
        .collect();
    format!(
        "{word} {kind} {}:{} {access}",
        number(rule.major),
        number(rule.minor)
    )
}
