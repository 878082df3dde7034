//! Facts of this host and of the runtime's place in it, as a plan needs them.

use std::path::{Path, PathBuf};

use super::{Error, call};
use crate::cgroup::{Group, Hierarchies, Hierarchy};
use crate::plan::host::{Groups, Hierarchy as Shown, Host};
use crate::state::in_user_namespace;
use crate::sys::{identity, mount};

/// Looks around; `group` is the one that the container will be in.
pub(super) fn probe(
    hierarchies: Option<&Hierarchies>,
    group: Option<&dyn Group>,
) -> Result<Host, Error> {
    Ok(Host {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        capabilities: identity::capabilities().map_err(call("ask for the own capabilities"))?,
        denies_setgroups: std::fs::read_to_string("/proc/self/setgroups")
            .is_ok_and(|word| word.trim() == "deny"),
        has_apparmor: std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|word| word.starts_with('Y')),
        has_selinux: has_selinux(),
        in_user_namespace: in_user_namespace(),
        appends_layers: mount::appends_layers(),
        has_kcore: Path::new("/proc/kcore").exists(),
        groups: match hierarchies {
            Some(hierarchies) => shown(hierarchies, group),
            None => Groups::Disabled,
        },
        unit: group.and_then(Group::unit).cloned(),
    })
}

/// Its filesystem is mounted, and a policy is loaded: until then every process is the `kernel`'s.
fn has_selinux() -> bool {
    const MAGIC: i64 = 0xf97c_ff8c;
    let is_mounted = nix::sys::statfs::statfs("/sys/fs/selinux")
        .is_ok_and(|about| about.filesystem_type().0 == MAGIC);
    let own = || std::fs::read("/proc/thread-self/attr/current").unwrap_or_default();
    is_mounted && own().split(|b| matches!(b, 0 | b'\n')).next() != Some(b"kernel")
}

fn shown(hierarchies: &Hierarchies, group: Option<&dyn Group>) -> Groups {
    let paths = group.map(Group::paths).unwrap_or_default();
    // Where systemd makes the groups, we move the process in.
    let is_unit = group.is_some_and(|group| group.unit().is_some());
    // The container's directory in a hierarchy, or the runtime's own, where it stays.
    let found_in = |hierarchy: &Hierarchy| {
        let is_in = |path: &&PathBuf| path.starts_with(&hierarchy.mount_point);
        paths.iter().find(is_in).cloned()
    };
    match hierarchies {
        Hierarchies::V2(one) => {
            let group = found_in(one);
            Groups::V2 {
                owned: group.is_some(),
                group: group.unwrap_or_else(|| one.own_dir()),
            }
        }
        Hierarchies::V1 { controllers, .. } => Groups::V1 {
            hierarchies: controllers.iter().map(|h| show(h, found_in(h))).collect(),
            links: controllers.iter().flat_map(links).collect(),
            has_doors: !is_unit
                && paths
                    .iter()
                    .any(|p| controllers.iter().any(|h| p.starts_with(&h.mount_point))),
        },
    }
}

/// The directory's name below /sys/fs/cgroup: that of the host.
fn name(hierarchy: &Hierarchy) -> String {
    let name = hierarchy
        .mount_point
        .file_name()
        .unwrap_or_else(|| Path::new("cgroup").as_os_str());
    name.to_string_lossy().into_owned()
}

fn show(hierarchy: &Hierarchy, group: Option<PathBuf>) -> Shown {
    let named = hierarchy.controllers.iter().any(|c| c.starts_with("name="));
    // A hierarchy without controllers is mounted with `none` beside its name (cgroups(7)).
    let none = named.then(|| "none".to_string());
    let options = none
        .into_iter()
        .chain(hierarchy.controllers.iter().cloned());
    Shown {
        name: name(hierarchy),
        options: options.collect(),
        owned: group.is_some(),
        group: group.unwrap_or_else(|| hierarchy.own_dir()),
    }
}

/// `cpu -> cpu,cpuacct`, as the host has them.
fn links(hierarchy: &Hierarchy) -> Vec<(String, String)> {
    let own = name(hierarchy);
    let others = hierarchy
        .controllers
        .iter()
        .filter(|c| **c != own && !c.starts_with("name="));
    others.map(|c| (own.clone(), c.clone())).collect()
}
