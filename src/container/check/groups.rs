//! The control groups, and which limits they can hold.

use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::{Finding, Weight, setting};
use crate::cgroup::{Hierarchies, Hierarchy};

/// What a controller is called by v2 and by v1, and what needs it.
struct Controller {
    v2: &'static str,
    v1: &'static str,
    limits: &'static str,
}

const CONTROLLERS: [Controller; 4] = [
    controller("memory", "memory", "linux.resources.memory"),
    controller("cpu", "cpu", "linux.resources.cpu"),
    controller("pids", "pids", "linux.resources.pids"),
    controller("cpuset", "cpuset", "linux.resources.cpu.cpus and cpu.mems"),
];

const fn controller(v2: &'static str, v1: &'static str, limits: &'static str) -> Controller {
    Controller { v2, v1, limits }
}

pub(super) fn all() -> Vec<Finding> {
    let hierarchies = match Hierarchies::detect() {
        Ok(hierarchies) => hierarchies,
        Err(error) => {
            return vec![Finding::new(
                Weight::Lacking,
                "cgroups",
                format!("none: {error}"),
                "containers run without limits only, with --cgroup-manager disabled",
            )];
        }
    };
    let mut all = vec![layout(&hierarchies)];
    all.extend(read_only(&hierarchies));
    let has = |c: &Controller| holds(&hierarchies, c);
    all.extend(CONTROLLERS.iter().map(|c| limits(c, has(c))));
    all.push(devices(&hierarchies));
    all
}

fn layout(hierarchies: &Hierarchies) -> Finding {
    let (found, means) = match hierarchies {
        Hierarchies::V2(one) => (
            format!("v2 at {}", one.mount_point.display()),
            "one group limits, freezes and ends a container",
        ),
        Hierarchies::V1 {
            unified: Some(one), ..
        } => (
            format!("hybrid: v1, with v2 at {}", one.mount_point.display()),
            "v1 controllers limit; v2 freezes containers and ends them",
        ),
        Hierarchies::V1 { unified: None, .. } => (
            "v1".into(),
            "v1 controllers limit; containers are ended process by process",
        ),
    };
    Finding::new(Weight::Good, "cgroups", found, means)
}

/// Groups are made below the one of this process.
fn read_only(hierarchies: &Hierarchies) -> Option<Finding> {
    let refused: Vec<_> = hierarchies
        .all()
        .filter(|h| access(&h.own_dir(), AccessFlags::W_OK).is_err())
        .map(|h| h.mount_point.display().to_string())
        .collect();
    (!refused.is_empty()).then(|| {
        Finding::new(
            Weight::Lacking,
            "cgroups writable",
            format!("not for this user: {}", refused.join(" ")),
            "no groups can be made there: limits are refused",
        )
    })
}

fn holds(hierarchies: &Hierarchies, controller: &Controller) -> bool {
    hierarchies.all().any(|h| {
        if h.controllers.is_empty() {
            v2_controllers(h).split(' ').any(|c| c == controller.v2)
        } else {
            h.has(controller.v1)
        }
    })
}

/// What the group of this process has been given, which is what it can give on.
fn v2_controllers(hierarchy: &Hierarchy) -> String {
    let file = |dir: &Path| setting(&dir.join("cgroup.controllers").to_string_lossy());
    file(&hierarchy.own_dir())
        .or_else(|| file(&hierarchy.mount_point))
        .unwrap_or_default()
}

fn limits(controller: &Controller, there: bool) -> Finding {
    let subject = format!("controller {}", controller.v2);
    if there {
        let means = format!("{} can be limited", controller.limits);
        return Finding::new(Weight::Good, subject, "there", means);
    }
    let means = format!("containers that set {} are refused", controller.limits);
    Finding::new(Weight::Lacking, subject, "missing", means)
}

/// v2 has no controller for devices: a program of ours in the kernel decides.
fn devices(hierarchies: &Hierarchies) -> Finding {
    let subject = "controller devices";
    if hierarchies.all().any(|h| h.has("devices")) {
        let means = "devices can be refused (linux.resources.devices)";
        return Finding::new(Weight::Good, subject, "v1", means);
    }
    if matches!(hierarchies, Hierarchies::V2(_)) {
        let means = "devices can be refused by an eBPF program (linux.resources.devices)";
        return Finding::new(Weight::Good, subject, "v2: by eBPF", means);
    }
    let means = "containers that set linux.resources.devices are refused";
    Finding::new(Weight::Lacking, subject, "missing", means)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1(controllers: &[&str]) -> Hierarchies {
        let one = |name: &&str| Hierarchy {
            mount_point: Path::new("/nowhere").join(name),
            controllers: vec![name.to_string()],
            own: "".into(),
        };
        Hierarchies::V1 {
            controllers: controllers.iter().map(one).collect(),
            unified: None,
        }
    }

    #[test]
    fn a_missing_controller_names_the_field_that_is_refused() {
        let host = v1(&["memory", "cpuset"]);
        let there: Vec<_> = CONTROLLERS.iter().map(|c| holds(&host, c)).collect();
        assert_eq!(there, [true, false, false, true]);
        let finding = limits(&CONTROLLERS[2], false);
        assert_eq!(finding.weight, Weight::Lacking);
        assert!(finding.means.contains("linux.resources.pids"));
        assert_eq!(devices(&host).weight, Weight::Lacking);
        assert_eq!(devices(&v1(&["devices"])).weight, Weight::Good);
    }

    #[test]
    fn a_group_that_cannot_be_written_is_told() {
        let finding = read_only(&v1(&["memory"])).unwrap();
        assert!(finding.found.ends_with(": /nowhere/memory"), "{finding:?}");
    }
}
