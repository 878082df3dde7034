//! Which of a container's groups each of its limits is set on.

use super::limits;
use crate::cgroup::devices::DeviceGuard;
use crate::cgroup::directory::Directory;
use crate::cgroup::settings::{Need, Setting, needs};
use crate::cgroup::{Error, Hierarchy, v2};
use crate::spec::limits::Limits;

/// The groups of a container that are there, by controller.
pub(super) struct Groups<'a> {
    pub(super) v1: Vec<(&'a [String], &'a Directory)>,
    pub(super) unified: Option<&'a Directory>,
    /// Controllers that no v1 hierarchy has, and that of v2 does.
    pub(super) on_v2: &'a str,
}

impl<'a> Groups<'a> {
    fn get(&self, controller: &str) -> Option<&'a Directory> {
        let has = |(names, _): &&(&[String], &Directory)| names.iter().any(|n| n == controller);
        self.v1.iter().find(has).map(|(_, group)| *group)
    }

    /// What sets the limits, each with its group.
    pub(super) fn settings(&self, limits: &Limits) -> Result<Vec<(&'a Directory, Setting)>, Error> {
        let held = |controller: &str, file: &str| self.get(controller)?.read(file).ok();
        let on_v1 = |controller: &str| !is_on_v2(self.on_v2, controller);
        let mut all = Vec::new();
        for setting in limits::settings(limits, on_v1, &held)? {
            let Some(group) = self.get(&setting.controller) else {
                return Err(Error::NoController {
                    field: setting.field,
                    controller: setting.controller.into(),
                    version: "v1",
                });
            };
            all.push((group, setting));
        }
        let Some(group) = self.unified else {
            return Ok(all);
        };
        let held = |_: &str, file: &str| group.read(file).ok();
        let on_v2 = |controller: &str| is_on_v2(self.on_v2, controller);
        let v2 = v2::limits::settings(limits, on_v2, &held)?;
        all.extend(v2.into_iter().map(|setting| (group, setting)));
        Ok(all)
    }

    pub(super) fn device_guard(&self) -> Result<DeviceGuard<&'a Directory>, Error> {
        DeviceGuard::choose(self.get("devices"), self.unified)
    }
}

/// What the limits need of the v2 hierarchy, if there is one.
pub(super) fn needs_of_v2(
    limits: &Limits,
    has_unified: bool,
    on_v2: &str,
) -> Result<Vec<Need>, Error> {
    if !has_unified && !limits.unified.is_empty() {
        return Err(Error::NotEnforceable {
            field: "linux.resources.unified",
            why: "there is no cgroup v2 here",
        });
    }
    let wanted = |controller: &str| is_on_v2(on_v2, controller);
    let settings = v2::limits::settings(limits, wanted, &|_, _| None)?;
    Ok(needs(&settings))
}

/// A controller is in one hierarchy only: those that the root of v2 lists are in none of v1.
pub(super) fn on_v2(unified: Option<&Hierarchy>) -> Result<String, Error> {
    let root = unified
        .map(|h| Directory::open(&h.mount_point))
        .transpose()?;
    match root.flatten() {
        Some(root) => root.text("cgroup.controllers"),
        None => Ok(String::new()),
    }
}

fn is_on_v2(on_v2: &str, controller: &str) -> bool {
    let name = if controller == "blkio" {
        "io"
    } else {
        controller
    };
    on_v2.split_whitespace().any(|c| c == name)
}
