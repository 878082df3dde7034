//! The control groups, and which limits they can hold.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::{Finding, Weight, setting, words};
use crate::cgroup::{DeviceGuard, Hierarchies, place, try_device_program};
use crate::spec::Id;
use crate::spec::limits::GroupPath;

/// What is left where no container can have a group.
const WITHOUT_GROUPS: &str = "containers run with --cgroup-manager disabled only, without limits";

/// What a controller is called by v2 and by v1, and what needs it.
struct Controller {
    v2: &'static str,
    v1: &'static str,
    limits: &'static str,
}

const CONTROLLERS: [Controller; 6] = [
    controller("memory", "memory", "linux.resources.memory"),
    controller("cpu", "cpu", "linux.resources.cpu"),
    controller("pids", "pids", "linux.resources.pids"),
    controller("cpuset", "cpuset", "linux.resources.cpu.cpus and cpu.mems"),
    controller("io", "blkio", "linux.resources.blockIO"),
    controller("hugetlb", "hugetlb", "linux.resources.hugepageLimits"),
];

const fn controller(v2: &'static str, v1: &'static str, limits: &'static str) -> Controller {
    Controller { v2, v1, limits }
}

pub(super) fn all() -> Vec<Finding> {
    let hierarchies = match Hierarchies::detect() {
        Ok(hierarchies) => hierarchies,
        Err(error) => {
            return vec![Finding::new(
                Weight::Fatal,
                "cgroups",
                format!("none: {error}"),
                WITHOUT_GROUPS,
            )];
        }
    };
    let mut all = vec![layout(&hierarchies), writable(&hierarchies)];
    let has = |c: &Controller| holds(&hierarchies, c);
    all.extend(CONTROLLERS.iter().map(|c| limits(c, has(c))));
    all.push(devices(&hierarchies, try_device_program));
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
            "v1 controllers limit; containers are ended process by process, and those with \
             --systemd-cgroup are refused",
        ),
    };
    // Only where systemd runs is it asked to make groups.
    let has_systemd = Path::new("/run/systemd/system").is_dir();
    let weight = match hierarchies {
        Hierarchies::V1 { unified: None, .. } if has_systemd => Weight::Lacking,
        _ => Weight::Good,
    };
    Finding::new(weight, "cgroups", found, means)
}

/// Where the groups of a container go in whose document says nothing of them.
fn places(hierarchies: &Hierarchies) -> Result<Vec<PathBuf>, crate::cgroup::Error> {
    let id = Id::new("bulkhead-check").expect("letters and a dash");
    let group = place(hierarchies, &GroupPath::Default, &id)?;
    let above = |group: PathBuf| group.parent().map(PathBuf::from);
    Ok(group.paths().into_iter().filter_map(above).collect())
}

fn writable(hierarchies: &Hierarchies) -> Finding {
    let refused = match places(hierarchies) {
        Ok(places) => places
            .into_iter()
            .filter_map(|dir| Some((access(&dir, AccessFlags::W_OK).err()?, dir)))
            .map(|(errno, dir)| format!("{} ({})", dir.display(), words(errno)))
            .collect(),
        Err(error) => vec![error.to_string()],
    };
    let subject = "cgroups writable";
    if refused.is_empty() {
        let means = "containers can have groups of their own";
        return Finding::new(Weight::Good, subject, "for this user", means);
    }
    let found = format!("not for this user: {}", refused.join(", "));
    Finding::new(Weight::Fatal, subject, found, WITHOUT_GROUPS)
}

/// On a hybrid host v2 limits what no v1 hierarchy does.
fn holds(hierarchies: &Hierarchies, controller: &Controller) -> bool {
    hierarchies.all().any(|h| h.has(controller.v1))
        || v2_controllers(hierarchies)
            .split_whitespace()
            .any(|c| c == controller.v2)
}

/// What the group above the containers' has been given, which is what it can give on.
fn v2_controllers(hierarchies: &Hierarchies) -> String {
    let file = |dir: &Path| setting(&dir.join("cgroup.controllers").to_string_lossy());
    let places = places(hierarchies).unwrap_or_default();
    places.first().and_then(|dir| file(dir)).unwrap_or_default()
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

/// Every container is guarded, also one without rules of its own.
fn devices<E: Display>(
    hierarchies: &Hierarchies,
    try_program: impl FnOnce() -> Result<(), E>,
) -> Finding {
    let (weight, found) = match hierarchies.device_guard() {
        Ok(DeviceGuard::Controller(_)) => (Weight::Good, "v1".to_string()),
        Ok(DeviceGuard::Program(_)) => match try_program() {
            Ok(()) => (Weight::Good, "v2: by eBPF".to_string()),
            Err(error) => (Weight::Fatal, format!("v2, but no eBPF: {error}")),
        },
        Err(_) => (Weight::Fatal, "neither v1 nor v2".to_string()),
    };
    let means = match weight {
        Weight::Fatal => WITHOUT_GROUPS,
        _ => "devices can be refused (linux.resources.devices)",
    };
    Finding::new(weight, "controller devices", found, means)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Hierarchy;

    fn one(at: &Path, controllers: &[&str]) -> Hierarchy {
        Hierarchy {
            mount_point: at.into(),
            controllers: controllers.iter().map(|c| (*c).into()).collect(),
            own: "".into(),
        }
    }

    fn v1(at: &Path, controllers: &[&str], unified: bool) -> Hierarchies {
        let each = controllers.iter().map(|c| one(&at.join(c), &[*c]));
        Hierarchies::V1 {
            controllers: each.collect(),
            unified: unified.then(|| one(&at.join("unified"), &[])),
        }
    }

    fn nowhere(controllers: &[&str], unified: bool) -> Hierarchies {
        v1(Path::new("/nowhere"), controllers, unified)
    }

    #[test]
    fn a_missing_controller_names_the_field_that_is_refused() {
        for unified in [false, true] {
            let host = nowhere(&["memory", "cpuset"], unified);
            let there: Vec<_> = CONTROLLERS.iter().map(|c| holds(&host, c)).collect();
            assert_eq!(there, [true, false, false, true, false, false]);
        }
        let finding = limits(&CONTROLLERS[2], false);
        assert_eq!(finding.weight, Weight::Lacking);
        assert!(finding.means.contains("linux.resources.pids"));
    }

    #[test]
    fn of_v2_those_count_that_the_group_above_can_give() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("own")).unwrap();
        std::fs::write(dir.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        std::fs::write(dir.path().join("own/cgroup.controllers"), "\n").unwrap();
        let host = Hierarchies::V2(Hierarchy {
            own: "own".into(),
            ..one(dir.path(), &[])
        });
        let there: Vec<_> = CONTROLLERS.iter().map(|c| holds(&host, c)).collect();
        assert_eq!(there, [false, true, true, false, false, false]);
    }

    #[test]
    fn devices_that_nothing_guards_are_fatal() {
        let denied: fn() -> Result<(), &'static str> = || Err("permission denied");
        let loaded: fn() -> Result<(), &'static str> = || Ok(());
        for (controllers, unified, program, weight, found) in [
            (&["devices"][..], true, denied, Weight::Good, "v1"),
            (&["devices"], false, denied, Weight::Good, "v1"),
            (&["memory"], true, loaded, Weight::Good, "v2: by eBPF"),
            (
                &["memory"],
                true,
                denied,
                Weight::Fatal,
                "v2, but no eBPF: permission denied",
            ),
            (
                &["memory"],
                false,
                loaded,
                Weight::Fatal,
                "neither v1 nor v2",
            ),
        ] {
            let finding = devices(&nowhere(controllers, unified), program);
            assert_eq!((finding.weight, &*finding.found), (weight, found));
        }
    }

    #[test]
    fn only_a_group_that_a_container_needs_has_to_be_writable() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("memory")).unwrap();
        let finding = writable(&v1(dir.path(), &["memory", "perf_event"], false));
        assert_eq!(finding.weight, Weight::Good, "{finding:?}");
        let finding = writable(&v1(dir.path(), &["memory", "pids"], false));
        assert_eq!(finding.weight, Weight::Fatal, "{finding:?}");
        let end = "/pids (no such file or directory)";
        assert!(finding.found.ends_with(end), "{finding:?}");
    }
}
