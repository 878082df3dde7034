//! What the runtime does beside its child, in words: the container's groups and the hooks of its own
//! side.

use super::host::{Groups, Host};
use super::limits;
use crate::spec::Container;
use crate::spec::container::Hook;
use crate::spec::unit::{Manager, Unit};

pub(super) fn lines(container: &Container, host: &Host) -> Vec<String> {
    let mut lines: Vec<String> = host.unit.iter().map(unit).collect();
    lines.extend(groups(&host.groups));
    if !matches!(host.groups, Groups::Disabled) {
        lines.extend(limits::lines(&container.limits));
    }
    lines.extend(container.intel_rdt.iter().map(|rdt| {
        let class = &rdt.class;
        match rdt.schemata.as_slice() {
            [] => format!("put it in the resctrl class {class}"),
            lines => format!("put it in the resctrl class {class} ({})", lines.join(", ")),
        }
    }));
    lines.extend(container.net_devices.iter().map(|device| {
        let (name, inside) = (
            device.name.to_string_lossy(),
            device.inside.to_string_lossy(),
        );
        match name == inside {
            true => format!("give it the network device {name}"),
            false => format!("give it the network device {name} as {inside}"),
        }
    }));
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

fn unit(unit: &Unit) -> String {
    let whose = match unit.manager {
        Manager::System => "systemd",
        Manager::User => "the user's systemd",
    };
    let Unit { name, slice, .. } = unit;
    format!("have {whose} make the unit {name} in {slice} around the process")
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
