//! A container's group that systemd makes and keeps: a transient scope.
//!
//! A scope cannot be made without a process in it, so the container's own waits at a gate meanwhile.
//! systemd is told the limits that it knows, so that it does not undo them; then all are written to
//! the group by the same code that writes them where there is no systemd. What is read or done to
//! processes needs no systemd at all.

mod annotations;
mod bus;
mod properties;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::unistd::{Pid, Uid};

use super::v1::V1;
use super::{Below, Error, Group, Hierarchies, OomWatch, Room, Stats, place, v1, v2};
use crate::spec::Id;
use crate::spec::limits::{ControlFile, GroupPath, Limits};
use crate::spec::unit::{Manager, Unit};
use crate::sys::apart;
use properties::{Properties, Property, Version};

#[derive(Debug)]
pub(super) struct Systemd {
    unit: Unit,
    /// The unit's directories.
    inner: Box<dyn Group>,
    /// Until the unit is there, and ours to stop.
    draft: Option<Draft>,
}

/// Of a v2 group: whether all of it ends when the kernel ends one process for want of memory.
const OOM_GROUP: &str = "memory.oom.group";

/// What a unit will be beside its limits.
#[derive(Debug)]
struct Draft {
    id: Id,
    /// Where its group is expected, from the root of the hierarchies.
    path: String,
    wishes: Vec<Property>,
}

impl Systemd {
    pub(super) fn place(
        hierarchies: &Hierarchies,
        unit: Unit,
        id: &Id,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        // sd_booted(3)
        if !Path::new("/run/systemd/system").is_dir() {
            return Err(Error::NoSystemd);
        }
        let wishes = annotations::wishes(annotations)?;
        let above = match unit.manager {
            Manager::System => PathBuf::from("/"),
            Manager::User => bus::manager_group(unit.manager).map_err(fault("place", &unit))?,
        };
        let path = above.join(unit.path()).to_string_lossy().into_owned();
        let at = GroupPath::Absolute(path.clone());
        let inner = match hierarchies {
            Hierarchies::V2(_) => place(hierarchies, &at, id)?,
            Hierarchies::V1 {
                controllers,
                unified,
            } => Box::new(V1::place(controllers, unified.as_ref(), &at, id)?.of_unit()),
        };
        let id = id.clone();
        Ok(Self {
            unit,
            inner,
            draft: Some(Draft { id, path, wishes }),
        })
    }

    /// By what the record has.
    pub(super) fn reopen(unit: Unit, inner: Box<dyn Group>) -> Self {
        Self {
            unit,
            inner,
            draft: None,
        }
    }

    /// Has systemd make the scope around `pid`.
    fn start(&mut self, limits: &Limits, pid: Pid) -> Result<(), Error> {
        let Some(draft) = &mut self.draft else {
            return Ok(());
        };
        let path = draft.path.clone();
        let version = version()?;
        let mut properties = Properties::of_scope(&self.unit, &draft.id, pid, version);
        let mut unified = limits.unified.iter();
        if unified.any(|(file, value)| file.as_str() == OOM_GROUP && value.trim() == "1") {
            properties.end_together_for_want_of_memory();
        }
        properties.0.append(&mut draft.wishes);
        // The limits come when the group is there: which files it has decides on some of them.
        let then = || self.told(limits, version);
        match bus::start(&self.unit, &path, &properties, then) {
            Ok(Some(why)) => Err(fault("start", &self.unit)(apart::Error::Said(why))),
            started => {
                self.draft = None;
                started.map(drop).map_err(fault("start", &self.unit))
            }
        }
    }

    /// What systemd is told of the limits. Those that cannot be set are told when they are written.
    fn told(&self, limits: &Limits, version: Version) -> Properties {
        let held = |_: &str, file: &str| self.held(file);
        let settings = match version {
            Version::V1 => v1::limits::settings(limits, |_| true, &held),
            Version::V2 => v2::limits::settings(limits, |_| true, &held),
        };
        Properties::of_settings(&settings.unwrap_or_default(), &held)
    }

    /// No two hierarchies have a file of one name.
    fn held(&self, file: &str) -> Option<String> {
        let read = |dir: &PathBuf| fs::read_to_string(dir.join(file)).ok();
        self.inner.paths().iter().find_map(read)
    }

    /// systemd writes [`OOM_GROUP`] with the limits of memory, as it was told when the unit began, and
    /// takes no other word later.
    fn keep_oom_group(&self, limits: &mut Limits, before: Option<String>) {
        let Ok(file) = ControlFile::new(OOM_GROUP) else {
            return;
        };
        let before = before.as_deref().map(str::trim);
        match (limits.unified.get(&file), before) {
            (None, Some("1")) => drop(limits.unified.insert(file, "1".into())),
            (Some(now), Some(before)) if now.trim() != before => log::warn!(
                "{}: systemd undoes {OOM_GROUP} when it sets the unit's limits anew, as it does at a \
                 daemon-reload",
                self.unit.name
            ),
            _ => {}
        }
    }
}

fn version() -> Result<Version, Error> {
    Ok(match Hierarchies::detect()? {
        Hierarchies::V2(_) => Version::V2,
        Hierarchies::V1 { .. } => Version::V1,
    })
}

/// Says what was not done to the unit, and why.
fn fault(act: &'static str, unit: &Unit) -> impl FnOnce(apart::Error) -> Error {
    let unit = unit.name.clone();
    move |cause| Error::Unit { act, unit, cause }
}

impl Group for Systemd {
    fn unit(&self) -> Option<&Unit> {
        Some(&self.unit)
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.inner.paths()
    }

    fn check_unused(&self) -> Result<(), Error> {
        self.inner.check_unused()
    }

    fn make(&mut self, limits: &Limits, newcomer: Option<Pid>) -> Result<(), Error> {
        if let Some(pid) = newcomer {
            self.start(limits, pid)?;
        }
        self.inner.make(limits, newcomer)
    }

    fn update(&self, limits: &Limits) -> Result<(), Error> {
        let mut limits = limits.clone();
        let properties = self.told(&limits, version()?);
        let oom_group = self.held(OOM_GROUP);
        // First what takes itself back if the kernel refuses a part of it: systemd, which would undo
        // limits that it was not told of, has then been told nothing.
        self.inner.update(&limits)?;
        let act = "the limits are set until systemd sets its own anew: set properties of";
        bus::set(&self.unit, &properties).map_err(fault(act, &self.unit))?;
        // systemd has written them, too, and rounded. What is written last is exact.
        limits.memory.check_before_update = false;
        limits
            .unified
            .retain(|file, _| file.as_str() != "memory.reclaim");
        self.keep_oom_group(&mut limits, oom_group);
        self.inner.update(&limits)
    }

    fn delegate(&self, uid: Uid) -> Result<(), Error> {
        self.inner.delegate(uid)
    }

    /// Nobody can be born in a scope.
    fn entrance(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn room_beside(&self, first: Pid, below: &Below) -> Result<Room, Error> {
        self.inner.room_beside(first, below)
    }

    fn doors(&self) -> Result<Vec<OwnedFd>, Error> {
        Ok(Vec::new())
    }

    fn pids(&self) -> Result<Vec<Pid>, Error> {
        self.inner.pids()
    }

    fn kill(&self) -> Result<(), Error> {
        self.inner.kill()
    }

    fn freeze(&self) -> Result<(), Error> {
        self.inner.freeze()
    }

    fn thaw(&self) -> Result<(), Error> {
        self.inner.thaw()
    }

    fn is_frozen(&self) -> Result<bool, Error> {
        self.inner.is_frozen()
    }

    fn oom_kills(&self) -> Result<u64, Error> {
        self.inner.oom_kills()
    }

    fn watch_oom(&self) -> Result<Option<OomWatch<'_>>, Error> {
        self.inner.watch_oom()
    }

    fn stats(&self) -> Result<Stats, Error> {
        self.inner.stats()
    }

    fn remove(&self) -> Result<(), Error> {
        if self.draft.is_some() {
            return self.inner.remove();
        }
        let stopped = bus::stop(&self.unit);
        self.inner.remove()?;
        if let Err(cause) = stopped {
            // systemd lets go of a scope whose group is gone.
            let fault = fault("stop", &self.unit)(cause);
            log::warn!("{fault}; its group is removed");
        }
        Ok(())
    }
}
