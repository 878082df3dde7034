//! From the finished tree to the program that is executed.

use std::ffi::{CStr, CString};

use super::step::{Candidates, Gate, Hook, OtherGroups, Step, Terminal};
use super::words::Names;
use super::{Ending, Error, Grants, Part, Planner, home, seccomp};
use crate::spec::container::{Namespace, Personality, Process};
use crate::sys::exec::Words;
use crate::sys::identity::CapabilitySets;

/// The bit of CAP_SYS_ADMIN, which loading a filter without no_new_privs needs (seccomp(2)).
const SYS_ADMIN: u64 = 1 << 21;

/// runc's default, for documents that name none.
pub(super) const UMASK: u32 = 0o022;

impl Planner<'_> {
    /// What the container is called, and what its kernel values are.
    pub(super) fn identity(&mut self) {
        if let Some(name) = &self.container.hostname {
            self.push(Step::Hostname(name.clone()));
        }
        if let Some(name) = &self.container.domainname {
            self.push(Step::Domainname(name.clone()));
        }
        for sysctl in &self.container.sysctls {
            let c = |text: String| CString::new(text).expect("checked: no NUL");
            self.push(Step::Sysctl {
                key: sysctl.key.clone(),
                path: c(format!("sys/{}", sysctl.file())),
                value: c(sysctl.value.clone()),
            });
        }
        self.personality();
    }

    /// In the container's tree: its devpts has the terminal.
    pub(super) fn terminal(&mut self, console: bool) {
        let Some(process) = &self.container.process else {
            return;
        };
        if let Some(terminal) = process.terminal {
            self.push(Step::Terminal(Terminal {
                owner: process.user.uid,
                size: terminal.size,
                console,
            }));
        }
    }

    pub(super) fn personality(&mut self) {
        if let Some(personality) = self.container.personality {
            self.push(Step::Personality(match personality {
                Personality::Linux => 0,
                Personality::Linux32 => 8,
            }));
        }
    }

    pub(super) fn keyring(&mut self) {
        if !self.wishes.no_new_keyring {
            let name = CString::new(format!("_ses.{}", self.wishes.id)).expect("ids hold no NUL");
            self.label_keys(Step::NewKeyring(name));
        }
    }

    /// The last part: nothing of the host's power is left when the program starts.
    pub(super) fn process(&mut self, part: Part) -> Result<(), Error> {
        let process = self.container.process.as_ref().ok_or(Error::NoProcess)?;
        let filter = self
            .container
            .seccomp
            .as_ref()
            .map(seccomp::compile)
            .transpose()?;
        let user = &process.user;

        if user.uid != 0 {
            self.push(Step::OwnPipes { uid: user.uid });
        }
        self.rights(process);
        if let Some(policy) = &self.container.memory_policy {
            self.push(Step::MemoryPolicy(policy.clone()));
        }
        self.confine();
        // Nothing of the host's may be open when paths of the image are resolved: its working directory,
        // its program, its hooks.
        self.push(Step::CloseFrom(3 + self.wishes.preserve_fds));
        self.become_user(process, filter.is_some() && !process.no_new_privileges);

        // Changing the user has cleared the parent death signal (prctl(2)). A child on its own hears
        // of a runtime that dies before the record is whole by the end of the channel.
        self.push(match self.wishes.ending {
            Ending::WithRuntime => Step::DieWithRuntime,
            Ending::OnItsOwn => Step::OutliveRuntime,
        });
        self.push(Step::Gate(Gate::Recorded));
        if self.wishes.await_start {
            self.push(Step::AwaitStart);
        }
        if part == Part::First {
            self.start_hooks(filter.as_ref());
        }
        // From here on the filter decides which calls are left: nothing but execve follows, and a
        // fault is told through shared memory.
        if let Some(filter) = filter {
            self.push(Step::Seccomp(filter));
        }
        self.push(Step::Execute {
            args: Words::new(process.args.clone()),
            env: Words::new(self.environment(process)),
        });
        Ok(())
    }

    /// In a user namespace nobody can raise a hard limit, or get ahead of others: the host's root does it
    /// from outside (prlimit(2), sched_setattr(2), ioprio_set(2)). Without one, while the child is root.
    fn rights(&mut self, process: &Process) {
        if self.has_user_namespace() && self.host.uid == 0 {
            self.birth.grants = Grants {
                rlimits: process.rlimits.clone(),
                scheduler: process.scheduler.clone(),
                io_priority: process.io_priority,
            };
            return;
        }
        self.steps
            .extend(process.rlimits.iter().map(|limit| Step::Rlimit {
                name: limit.name,
                resource: limit.resource,
                soft: limit.soft,
                hard: limit.hard,
            }));
        self.steps
            .extend(process.scheduler.clone().map(Step::Scheduler));
        self.steps.extend(process.io_priority.map(Step::IoPriority));
    }

    /// From root to the user of the program, with its rights and in its directory.
    fn become_user(&mut self, process: &Process, needs_admin: bool) {
        let user = &process.user;
        let path = process.cwd.as_c_str().to_owned();
        self.push(Step::EnterWorkingDir {
            path: path.clone(),
            again: false,
        });
        self.push(Step::Bound(process.capabilities.bounding));
        self.push(Step::BecomeUser {
            uid: user.uid,
            gid: user.gid,
            groups: self.groups(process),
        });
        self.push(Step::EnterWorkingDir { path, again: true });
        self.capabilities(process, needs_admin);
        self.push(Step::Umask(user.umask.unwrap_or(UMASK)));
        self.push(Step::FindProgram(candidates(process)));
        if process.no_new_privileges {
            self.push(Step::NoNewPrivileges);
        }
    }

    /// They are the image's programs and run as confined as the container's own.
    fn start_hooks(&mut self, filter: Option<&seccomp::Program>) {
        for (index, hook) in self.container.hooks.start_container.iter().enumerate() {
            self.push(Step::Hook(Hook {
                filter: filter.cloned(),
                ..Hook::new("startContainer", index, hook)
            }));
        }
    }

    /// A user with his own group alone gives up `setgroups`; so may have done who made a namespace that a
    /// user joins.
    fn groups(&self, process: &Process) -> OtherGroups {
        let user = &self.container.namespaces.user;
        let is_user = self.host.uid != 0;
        let has_own = self.container.id_maps.have_only_group(self.host.gid);
        let denied = self.host.denies_setgroups || is_user && *user == Namespace::New && has_own;
        match &process.user.additional_gids[..] {
            [] if denied => OtherGroups::Stay,
            [] if is_user && matches!(user, Namespace::Join(_)) => OtherGroups::NoneIfAllowed,
            groups => OtherGroups::Are(groups.to_vec()),
        }
    }

    /// What cannot be granted is left out with a warning, as config.md says it should be.
    ///
    /// What the program has after execve follows from the bounding, inheritable and ambient sets
    /// alone (capabilities(7)), so a CAP_SYS_ADMIN that is kept for loading the filter ends there.
    fn capabilities(&mut self, process: &Process, needs_admin: bool) {
        let asked = &process.capabilities;
        let grantable = match self.container.namespaces.user {
            Namespace::Share => self.host.capabilities.permitted,
            _ => u64::MAX,
        };
        let wanted =
            asked.bounding | asked.permitted | asked.effective | asked.inheritable | asked.ambient;
        if wanted & !grantable != 0 {
            log::warn!(
                "container {}: process.capabilities: the runtime lacks {}, left out",
                self.wishes.id,
                Names(wanted & !grantable)
            );
        }
        let extra = if needs_admin { SYS_ADMIN } else { 0 };
        let permitted = (asked.permitted | extra) & grantable;
        let sets = CapabilitySets {
            permitted,
            effective: (asked.effective | extra) & permitted,
            inheritable: asked.inheritable & grantable,
        };
        let ambient = asked.ambient & sets.permitted & sets.inheritable;
        self.push(Step::Capabilities { sets, ambient });
    }

    /// The document's environment, and HOME where it has none, as runc adds it.
    fn environment(&self, process: &Process) -> Vec<CString> {
        let mut env = process.env.clone();
        if variable(&env, b"HOME").is_none() {
            let home = home::home(&self.container.root.path, process.user.uid);
            env.push(CString::new(format!("HOME={home}")).expect("checked: no NUL"));
        }
        env
    }
}

/// The value of a variable; the last one counts, as it does for a shell.
fn variable<'a>(env: &'a [CString], name: &[u8]) -> Option<&'a [u8]> {
    env.iter()
        .rev()
        .find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
}

/// Where `args[0]` may lie: PATH is that of the process, and is searched inside the root.
fn candidates(process: &Process) -> Candidates {
    let name = process.args[0].clone();
    let candidates = if name.to_bytes().contains(&b'/') {
        vec![name.clone()]
    } else {
        let path = variable(&process.env, b"PATH").unwrap_or_default();
        path.split(|b| *b == b':')
            .filter(|dir| !dir.is_empty())
            .map(|dir| join(dir, &name))
            .collect()
    };
    Candidates { name, candidates }
}

fn join(dir: &[u8], name: &CStr) -> CString {
    let mut path = dir.to_vec();
    path.push(b'/');
    path.extend_from_slice(name.to_bytes());
    CString::new(path).expect("made of strings without NUL")
}
