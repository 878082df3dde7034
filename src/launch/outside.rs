//! What only the parent can do for its child: namespaces that hold for children alone, id maps.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::{Error, Launched};
use crate::plan::step::Kind;
use crate::plan::{Birth, Grants};
use crate::spec::container::{Rlimit, TimeOffsets};
use crate::sys::path::{self, HERE, Resolve};
use crate::sys::{clone, exec, identity, schedule};

/// What to go back to after the clone.
#[derive(Debug, Default)]
pub(super) struct Lived {
    joined: Vec<(Kind, OwnedFd)>,
    /// Whether to become undumpable again.
    dumpable: bool,
    /// On which processors.
    affinity: Option<Vec<u64>>,
}

fn own(path: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    path::open(HERE, path, libc::O_RDONLY, Resolve::Host)
}

/// Where the own namespace of a kind is found.
fn own_path(kind: Kind) -> &'static std::ffi::CStr {
    match kind {
        Kind::Pid => c"/proc/self/ns/pid",
        Kind::Network => c"/proc/self/ns/net",
        Kind::Ipc => c"/proc/self/ns/ipc",
        Kind::Uts => c"/proc/self/ns/uts",
        Kind::Time => c"/proc/self/ns/time",
        Kind::Cgroup => c"/proc/self/ns/cgroup",
        Kind::Mount => c"/proc/self/ns/mnt",
        Kind::User => c"/proc/self/ns/user",
    }
}

/// Chooses the namespaces that the next child is born in and does not make.
pub(super) fn enter(birth: &Birth) -> Result<Lived, Error> {
    let mut lived = Lived::default();
    // A child is born as its parent is.
    if birth.dumpable {
        identity::set_dumpable().map_err(|errno| Error::Prepare {
            act: "become dumpable",
            errno,
        })?;
        lived.dumpable = true;
    }
    for join in &birth.joins {
        let act = "join a namespace for the clone";
        let fault = |errno| Error::Prepare { act, errno };
        let own = own(own_path(join.kind)).map_err(fault)?;
        lived.joined.push((join.kind, own));
        clone::join(join.namespace.as_fd(), join.kind.bit()).map_err(fault)?;
    }
    if let Some(cpus) = &birth.affinity {
        let fault = |errno| Error::Affinity {
            cpus: cpus.to_string(),
            errno,
        };
        lived.affinity = Some(schedule::affinity().map_err(fault)?);
        schedule::set_affinity(0, cpus.words()).map_err(fault)?;
    }
    if let Some(clocks) = &birth.clocks {
        let fault = |errno| Error::Prepare {
            act: "make a time namespace",
            errno,
        };
        let own = own(own_path(Kind::Time)).map_err(fault)?;
        lived.joined.push((Kind::Time, own));
        clone::unshare(Kind::Time.bit()).map_err(fault)?;
        let fault = |errno| Error::Prepare {
            act: "write linux.timeOffsets",
            errno,
        };
        write_clocks(*clocks).map_err(fault)?;
    }
    Ok(lived)
}

fn write_clocks(clocks: TimeOffsets) -> Result<(), Errno> {
    clocks.lines().try_for_each(|line| {
        let path = c"/proc/self/timens_offsets";
        let file = path::open(HERE, path, libc::O_WRONLY, Resolve::Host)?;
        path::write_once(file.as_fd(), line.to_bytes())
    })
}

fn write(path: &std::ffi::CStr, text: &str) -> Result<(), Errno> {
    let file = path::open(HERE, path, libc::O_WRONLY, Resolve::Host)?;
    path::write_once(file.as_fd(), text.as_bytes())
}

/// Goes back to where the runtime lives.
pub(super) fn leave(lived: Lived) -> Result<(), Error> {
    for (kind, own) in lived.joined {
        clone::join(own.as_fd(), kind.bit()).map_err(|errno| Error::Prepare {
            act: "go back to the own namespace",
            errno,
        })?;
    }
    if let Some(cpus) = lived.affinity {
        schedule::set_affinity(0, &cpus).map_err(|errno| Error::Prepare {
            act: "go back to the own processors",
            errno,
        })?;
    }
    if lived.dumpable {
        identity::set_undumpable().map_err(|errno| Error::Prepare {
            act: "become undumpable",
            errno,
        })?;
    }
    Ok(())
}

/// A file without a name, for what a child reads.
pub(super) fn memory_file() -> Result<File, Errno> {
    exec::memory_file(c"bulkhead-state").map(File::from)
}

pub(super) fn write_of(pid: Pid, name: &str, text: &str) -> Result<(), Errno> {
    let path = std::ffi::CString::new(format!("/proc/{pid}/{name}")).map_err(|_| Errno::EINVAL)?;
    write(&path, text)
}

impl Launched {
    /// Gives what `Birth::grants` names.
    pub fn grant(&self, grants: &Grants) -> Result<(), Error> {
        self.set_rlimits(&grants.rlimits)?;
        let pid = self.pid.as_raw();
        let fault = |field, what: &dyn ToString| {
            let what = what.to_string();
            move |errno| Error::Grant { field, what, errno }
        };
        if let Some(scheduler) = &grants.scheduler {
            schedule::set_scheduler(pid, &scheduler.attributes)
                .map_err(fault("scheduler", scheduler))?;
        }
        if let Some(priority) = &grants.io_priority {
            schedule::set_io_priority(pid, priority.value)
                .map_err(fault("ioPriority", priority))?;
        }
        Ok(())
    }

    fn set_rlimits(&self, limits: &[Rlimit]) -> Result<(), Error> {
        limits.iter().try_for_each(|limit| {
            let pid = self.pid.as_raw();
            identity::set_rlimit(pid, limit.resource, limit.soft, limit.hard).map_err(|errno| {
                Error::Rlimit {
                    name: limit.name,
                    errno,
                }
            })
        })
    }

    pub fn set_oom_score(&self, score: i32) -> Result<(), Error> {
        write_of(self.pid, "oom_score_adj", &score.to_string()).map_err(|errno| Error::Prepare {
            act: "write process.oomScoreAdj",
            errno,
        })
    }
}
