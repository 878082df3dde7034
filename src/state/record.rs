//! What one command leaves for the next.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::spec::Id;
use crate::spec::container::Hook;
use crate::spec::intel_rdt::RdtGroups;
use crate::spec::seccomp::Agent;
use crate::spec::unit::Unit;
use crate::sys::process;
use crate::sys::time::Time;

/// The layout of [`Record`] that this program writes and reads.
pub const VERSION: u32 = 1;

/// `ROOT/ID/state.json`. The layout is our own, but `id`, `created` and `init_process_pid` keep the
/// names that tools around runc look for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`]; a record of another one is not read.
    pub version: u32,
    #[serde(with = "id_as_text")]
    pub id: Id,
    pub phase: Phase,
    /// The container's first process, as the host counts.
    #[serde(rename = "init_process_pid")]
    pub pid: Option<i32>,
    /// Its start in clock ticks since boot: pids are given out again, the pair is not.
    #[serde(rename = "init_process_start")]
    pub start_time: Option<u64>,
    /// The process that holds the pipes of a detached `run` and records its end.
    pub monitor: Option<Identity>,
    /// Absolute.
    pub bundle: PathBuf,
    /// Absolute.
    pub rootfs: PathBuf,
    pub created: Time,
    pub oci_version: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The container's own groups, one in each hierarchy, absolute.
    #[serde(default)]
    pub group_paths: Vec<PathBuf>,
    /// The unit of systemd that they are: a command need not be told of the driver again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Its groups in the resctrl filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt_groups: Option<RdtGroups>,
    #[serde(default)]
    pub hooks: LaterHooks,
    /// Who is to answer calls of the container's processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// Its processes keep the session keyring of their caller.
    #[serde(default)]
    pub keeps_keyring: bool,
    /// What is behind the standard descriptors of the first process, as CRIU names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
    /// Its first process is to end with the runtime.
    #[serde(default)]
    pub ends_with_runtime: bool,
    /// Where the image store is that has the bundle, which was made for this container and goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_store: Option<PathBuf>,
    /// It is deleted when it has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_transient: bool,
    /// How the container ended, once somebody saw it.
    pub exit: Option<Exit>,
    /// The user who created it.
    pub owner: u32,
    /// What the steps after the gate of `start` are about, and the number of the first: `start`
    /// tells of a fault without the plan.
    #[serde(default)]
    pub late_steps: Vec<String>,
    #[serde(default)]
    pub late_from: usize,
}

/// How far a container has come. `Running` is the last thing written while it lives: whether it
/// still does is asked of the kernel ([`Record::is_alive`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being made, or left half made by a creator that was killed.
    Creating,
    Created,
    /// Let go by `start`, not yet known to have executed its program.
    Starting,
    Running,
    Stopped,
}

/// One process among all that ever had its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
}

impl Identity {
    /// Of the process that has the number now; `None` when there is none.
    pub fn of(pid: i32) -> io::Result<Option<Self>> {
        Ok(process::start_time(pid)?.map(|start_time| Self { pid, start_time }))
    }

    /// Whether this very process runs. A zombie does not.
    pub fn is_alive(self) -> io::Result<bool> {
        let stat = process::stat(self.pid)?;
        Ok(stat.is_some_and(|s| s.start_time == self.start_time && !s.is_dead()))
    }
}

/// The hooks that run after `create` has ended; `startContainer` is in the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaterHooks {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub end: End,
    /// The kernel killed a process of it for want of memory.
    pub oom: bool,
    pub at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    Code(u8),
    Signal(u8),
}

impl End {
    /// What `run` exits with: the process's code, or 128 and the signal.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

impl Record {
    /// The container's first process, once there is one.
    pub fn init(&self) -> Option<Identity> {
        Some(Identity {
            pid: self.pid?,
            start_time: self.start_time?,
        })
    }

    /// Whether both tell of one container: an id may be used again when its container is deleted.
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.id == other.id && self.created == other.created && self.init() == other.init()
    }

    /// Whether the container's first process still runs.
    pub fn is_alive(&self) -> io::Result<bool> {
        self.init().map_or(Ok(false), Identity::is_alive)
    }
}

mod id_as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::spec::Id;

    pub(super) fn serialize<S: Serializer>(id: &Id, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let text = String::deserialize(deserializer)?;
        Id::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let own = Identity::of(i32::try_from(std::process::id()).unwrap())
            .unwrap()
            .unwrap();
        assert!(own.is_alive().unwrap());
        let earlier = Identity {
            start_time: own.start_time - 1,
            ..own
        };
        assert!(!earlier.is_alive().unwrap());
    }

    #[test]
    fn an_end_by_signal_is_128_and_the_signal() {
        assert_eq!(End::Code(3).exit_code(), 3);
        assert_eq!(End::Signal(9).exit_code(), 137);
    }
}
