//! The limits of a container in words.

use crate::spec::limits::{
    Access, BlockIo, Cpu, DeviceKind, DeviceRule, HugePages, Limits, Memory, Network, Rdma,
    Throttled,
};
use crate::spec::units::{Bytes, Limit, Micros};

pub(super) fn lines(limits: &Limits) -> Vec<String> {
    let mut lines = memory(&limits.memory);
    lines.extend(cpu(&limits.cpu));
    lines.extend(
        limits
            .pids
            .map(|most| format!("limit pids to {}", amount(most, |n| n.to_string()))),
    );
    lines.extend(block_io(&limits.block_io));
    lines.extend(limits.huge_pages.iter().map(|pages| {
        let HugePages { page_size, limit } = pages;
        format!("limit huge pages of {page_size} to {} bytes", limit.0)
    }));
    lines.extend(network(&limits.network));
    lines.extend(limits.rdma.iter().flat_map(rdma));
    let unified = limits.unified.iter();
    lines.extend(unified.map(|(file, value)| format!("write {value:?} to {}", file.as_str())));
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

fn block_io(io: &BlockIo) -> Vec<String> {
    let own = |leaf: Option<u16>| leaf.map(|n| format!("give its own processes the weight {n}"));
    let mut lines = Vec::new();
    lines.extend(
        io.weight
            .map(|n| format!("give block devices the weight {n}")),
    );
    lines.extend(own(io.leaf_weight));
    for one in &io.weights {
        let at = |line: String| format!("{line} on {}", one.device);
        let weight = one.weight.map(|n| format!("give the weight {n}"));
        lines.extend(weight.into_iter().chain(own(one.leaf_weight)).map(at));
    }
    lines.extend(io.throttles.iter().map(|one| {
        let what = match one.what {
            Throttled::BytesRead => "bytes read",
            Throttled::BytesWritten => "bytes written",
            Throttled::Reads => "reads",
            Throttled::Writes => "writes",
        };
        let most = amount(one.rate, |n| n.to_string());
        format!("limit {what} on {} to {most} a second", one.device)
    }));
    lines
}

fn network(network: &Network) -> impl Iterator<Item = String> {
    let class = network.class_id.map(|class| {
        let (major, minor) = (class >> 16, class & 0xffff);
        format!("mark packets with the class {major:x}:{minor:x}")
    });
    let priorities = network.priorities.iter().map(|one| {
        let (name, priority) = (&one.interface, one.priority);
        format!("send on {name} with the priority {priority}")
    });
    class.into_iter().chain(priorities)
}

fn rdma(rdma: &Rdma) -> impl Iterator<Item = String> {
    let of = |what, most: Option<u32>| {
        most.map(|most| format!("limit {what} of {} to {most}", rdma.device))
    };
    let handles = of("handles", rdma.handles);
    handles.into_iter().chain(of("objects", rdma.objects))
}
