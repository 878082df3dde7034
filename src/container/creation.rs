//! What `create` and `run` have in common: a container that comes to be, step by step, and can be
//! undone at each.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::{Pid, Uid};

use super::draft::Draft;
use super::hooks::{self, HookState};
use super::network;
use super::readiness::Readiness;
use super::revival::Restored;
use super::{Context, Error, Status, agent, call, oom};
use crate::cgroup::{self, Group, resctrl};
use crate::launch::{self, Equipment, Launched};
use crate::plan::Gate;
use crate::plan::step::Step;
use crate::spec::Id;
use crate::state::{Identity, Phase, Record, Slot};
use crate::sys::channel;

/// The socket in a container's directory at which `start` knocks.
pub(super) const GATE: &str = "gate";

/// A container that is being made. Until [`Creation::commit`] all of it can be taken back.
#[derive(Debug)]
pub(super) struct Creation {
    pub(super) draft: Draft,
    pub(super) slot: Slot,
    pub(super) record: Record,
    launched: Option<Launched>,
    /// What CRIU has made, where it is CRIU that was launched.
    pub(super) restored: Option<Restored>,
    /// Where the master of the terminal comes from.
    console: Option<OwnedFd>,
    readiness: Option<Readiness>,
    /// What of the host's network it has been given.
    devices: Option<network::Move>,
}

impl Creation {
    /// Makes the container up to the gate of `start`, or to its program; nothing is left of one that
    /// could not be made.
    pub(super) fn complete(cx: &Context, id: &Id, draft: Draft) -> Result<Self, Error> {
        let slot = cx.store.reserve(id)?;
        let silence = draft.silence()?;
        let record = draft.record();
        drop(silence);
        let mut creation = Self {
            draft,
            slot,
            record,
            launched: None,
            restored: None,
            console: None,
            readiness: None,
            devices: None,
        };
        match creation.make() {
            Ok(()) => Ok(creation),
            Err(e) => {
                let e = oom::explain(e, creation.draft.group.as_deref());
                creation.undo();
                Err(e)
            }
        }
    }

    fn make(&mut self) -> Result<(), Error> {
        // What is recorded is killed and removed in the end: it must not be another's.
        if let Some(group) = &self.draft.group {
            group.check_unused()?;
        }
        // On disk before it exists: `delete` can remove what a killed creation left.
        self.slot.save(&self.record)?;
        self.slot.keep_config(&self.draft.config)?;
        self.offer_readiness()?;
        // A unit of systemd is made when there is a process to make it around.
        if !self.draft.plan.gates().any(|gate| gate == Gate::Grouped) {
            let made = self.make_group(None);
            made.or_else(|fault| self.do_without_group(fault))?;
        }

        self.make_rdt_groups()?;

        self.plan_revival()?;
        self.launch()?;
        let gates: Vec<Gate> = self.draft.plan.gates().collect();
        for gate in gates {
            self.attend(gate)?;
        }

        if let Some(revival) = self.draft.revival.take() {
            self.revive(revival)?;
        } else if !self.draft.wishes.await_start {
            self.see_program()?;
        }
        Ok(())
    }

    /// Waits until the program runs, and tells the agent of it first where there is one.
    fn see_program(&self) -> Result<(), Error> {
        let (launched, plan) = (self.launched()?, &self.draft.plan);
        if let Some(agent) = self.draft.agent() {
            let listener = launched.wait_for_listener(plan)?;
            let pid = launched.pid.as_raw();
            let state = HookState {
                status: Status::Created,
                pid,
                record: &self.record,
            };
            agent::introduce(agent, &listener, pid, &state)?;
        }
        Ok(launched.wait_for_program(plan)?)
    }

    /// Where somebody waits for the container to be ready: a socket for it, which `start` makes for one
    /// that was created.
    fn offer_readiness(&mut self) -> Result<(), Error> {
        let Some(manager) = self.draft.manager.clone() else {
            return Ok(());
        };
        let directory = self.slot.make_notify_dir()?;
        if !self.draft.wishes.await_start {
            self.readiness = Readiness::listen(&self.slot, &manager)?;
        }
        self.draft.offer_readiness(&directory)
    }

    fn make_group(&mut self, newcomer: Option<Pid>) -> Result<(), cgroup::Error> {
        let Some(group) = &mut self.draft.group else {
            return Ok(());
        };
        group.make(&self.draft.container.limits, newcomer)?;
        match self.draft.plan.birth.group_owner {
            Some(uid) => group.delegate(Uid::from_raw(uid)),
            None => Ok(()),
        }
    }

    fn make_rdt_groups(&mut self) -> Result<(), Error> {
        let Draft {
            rdt_groups: Some(groups),
            container,
            ..
        } = &mut self.draft
        else {
            return Ok(());
        };
        let Some(asked) = &container.intel_rdt else {
            return Ok(());
        };
        resctrl::make(groups, &asked.schemata)?;
        // Whose the class is, is known only now.
        self.record.rdt_groups = Some(groups.clone());
        Ok(self.slot.save(&self.record)?)
    }

    /// Goes on after the group could not be made, if that can be; else it is an error.
    fn do_without_group(&mut self, fault: cgroup::Error) -> Result<(), Error> {
        if !fault.is_refusal() || !self.draft.can_do_without_group() {
            return Err(fault.into());
        }
        // It may be there in some hierarchies.
        if let Some(group) = &self.draft.group {
            group.remove()?;
        }
        let id = &self.record.id;
        log::warn!("container {id}: {fault}; it stays in the groups of the runtime");
        self.draft.leave_group()?;
        self.record = self.draft.record();
        Ok(self.slot.save(&self.record)?)
    }

    fn launch(&mut self) -> Result<(), Error> {
        let listener = if self.draft.wishes.await_start {
            let made = channel::listen(self.slot.lock_fd(), GATE);
            Some(made.map_err(call("make the gate in the state directory"))?)
        } else {
            None
        };
        let group = self.draft.group.as_ref();
        let doors = group.map_or(Ok(Vec::new()), |group| group.doors())?;
        let (ours, theirs) = self.draft.console.open()?;
        self.console = ours;
        // CRIU brings the terminal back, and hands over its master.
        let theirs = match &mut self.draft.revival {
            Some(revival) => {
                revival.console = theirs;
                None
            }
            None => theirs,
        };
        let equipment = Equipment {
            group: group.and_then(|group| group.entrance()),
            doors: &doors,
            listener: listener.as_ref().map(OwnedFd::as_fd),
            console: theirs.as_ref().map(OwnedFd::as_fd),
            lock: Some(self.slot.lock_fd()),
        };
        let silence = self.draft.silence()?;
        self.launched = Some(launch::launch(&self.draft.plan, &equipment)?);
        drop(silence);
        Ok(())
    }

    pub(super) fn launched(&self) -> Result<&Launched, Error> {
        // Set by `launch`, which comes first.
        self.launched
            .as_ref()
            .ok_or(Error::State("container not running"))
    }

    /// The container's first process.
    fn process(&self) -> Result<(Pid, BorrowedFd<'_>), Error> {
        Ok(match &self.restored {
            Some(restored) => (restored.pid, restored.pidfd.as_fd()),
            None => self.launched().map(|l| (l.pid, l.pidfd.as_fd()))?,
        })
    }

    /// Does what the child waits for at `gate`, ahead of its coming where that is all the same.
    fn attend(&mut self, gate: Gate) -> Result<(), Error> {
        match gate {
            Gate::Grouped => {
                let pid = self.launched()?.pid;
                self.make_group(Some(pid))?;
            }
            Gate::Adopted => {
                if let Some(launched) = &mut self.launched {
                    launched.adopt(&self.draft.plan)?;
                }
            }
            Gate::Mapped => {
                let launched = self.launched()?;
                launched.map_ids(&self.draft.container.id_maps)?;
                if let Some(score) = self.draft.plan.birth.oom_score {
                    launched.set_oom_score(score)?;
                }
            }
            Gate::Connected => {
                self.launched()?.wait_for(gate, &self.draft.plan)?;
                let pid = self.launched()?.pid;
                let devices = self.devices.insert(network::Move::to(pid)?);
                devices.give(&self.draft.container.net_devices)?;
            }
            Gate::Hooked => {
                self.launched()?.wait_for(gate, &self.draft.plan)?;
                self.run_hooks()?;
            }
            Gate::Recorded => {
                if self.must_be_ready() {
                    self.launched()?.wait_for(gate, &self.draft.plan)?;
                }
                self.join_rdt_groups()?;
                self.launched()?.grant(&self.draft.plan.birth.grants)?;
                self.announce()?;
            }
        }
        self.launched()?.open_gate();
        Ok(())
    }

    /// Whether the child has to have come to the last gate before the container is announced: so that
    /// a pid file names no process that fails, hooks read what is meant for them, and limits do not
    /// stop the child's own work.
    fn must_be_ready(&self) -> bool {
        let draft = &self.draft;
        let plan = &draft.plan;
        draft.wishes.await_start
            || draft.listeners.pid_file.is_some()
            || !plan.birth.grants.is_empty()
            || plan.steps.iter().any(|step| matches!(step, Step::Hook(_)))
    }

    fn run_hooks(&mut self) -> Result<(), Error> {
        let pid = self.launched()?.pid.as_raw();
        self.run_runtime_hooks(pid)?;
        let state = self.hook_state(Status::Creating, pid).to_json();
        match &mut self.launched {
            Some(launched) => Ok(launched.tell_hooks(&state)?),
            None => Ok(()),
        }
    }

    pub(super) fn join_rdt_groups(&self) -> Result<(), Error> {
        let pid = self.process()?.0;
        let groups = self.draft.rdt_groups.as_ref();
        Ok(groups.map_or(Ok(()), |groups| resctrl::join(groups, pid))?)
    }

    /// The hooks of the runtime's side, for the first process `pid`.
    pub(super) fn run_runtime_hooks(&self, pid: i32) -> Result<(), Error> {
        let state = self.hook_state(Status::Creating, pid);
        let hooks = &self.draft.container.hooks;
        hooks::run("prestart", &hooks.prestart, &state)?;
        hooks::run("createRuntime", &hooks.create_runtime, &state)
    }

    fn hook_state(&self, status: Status, pid: i32) -> HookState<'_> {
        HookState {
            status,
            pid,
            record: &self.record,
        }
    }

    /// From here on other commands find the process.
    pub(super) fn announce(&mut self) -> Result<(), Error> {
        let pid = self.process()?.0.as_raw();
        // It is a child that nobody else reaps: it is there, alive or dead.
        let identity = Identity::of(pid).map_err(super::state::read_process)?;
        self.record.pid = Some(pid);
        self.record.start_time = identity.map(|identity| identity.start_time);
        self.record.phase = if self.draft.wishes.await_start {
            Phase::Created
        } else {
            Phase::Running
        };
        self.slot.save(&self.record)?;
        let pidfd = self.process()?.1;
        self.draft.listeners.tell(pid, pidfd, b"standard")?;
        let state = self.hook_state(Status::Created, pid).to_json();
        match &mut self.launched {
            Some(launched) => Ok(launched.tell_hooks(&state)?),
            None => Ok(()),
        }
    }

    /// Takes everything back, in reverse; what cannot be is left to `delete`, which the record
    /// serves.
    fn undo(mut self) {
        let id = self.record.id.clone();
        if let Some(launched) = &self.launched {
            launched.kill();
        }
        if let Some(restored) = &self.restored {
            restored.kill();
        }
        if let Some(Err(e)) = self.devices.as_mut().map(network::Move::take_back) {
            log::warn!("container {id}: {e}");
        }
        let mut whole = true;
        if let Some(group) = &self.draft.group {
            let removed = group.kill().and_then(|()| group.remove());
            if let Err(e) = removed {
                log::warn!("container {id}: {e}; what is left goes with delete --force");
                whole = false;
            }
        }
        if let Some(Err(e)) = self.draft.rdt_groups.as_ref().map(resctrl::remove) {
            log::warn!("container {id}: {e}; what is left goes with delete --force");
            whole = false;
        }
        if self.launched.is_some() {
            hooks::run_poststop(&self.record);
        }
        if whole && let Err(e) = self.slot.remove() {
            log::warn!("container {id}: {e}");
        }
    }

    /// The container stays: its parts are handed over, under its lock.
    pub(super) fn commit(self) -> Result<Made, Error> {
        let process = match (self.restored, self.launched) {
            (Some(restored), _) => restored.pidfd,
            (None, Some(launched)) => launched.pidfd,
            (None, None) => return Err(Error::State("container not running")),
        };
        Ok(Made {
            slot: self.slot,
            record: self.record,
            group: self.draft.group,
            process,
            console: self.console,
            readiness: self.readiness,
        })
    }
}

/// A container that was made by this process.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) slot: Slot,
    pub(super) record: Record,
    pub(super) group: Option<Box<dyn Group>>,
    pub(super) process: OwnedFd,
    /// As in [`Creation`].
    pub(super) console: Option<OwnedFd>,
    pub(super) readiness: Option<Readiness>,
}
