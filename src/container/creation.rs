//! What `create` and `run` have in common: a container that comes to be, step by step, and can be
//! undone at each.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::Uid;

use super::hooks::{self, HookState};
use super::{Context, CreateOptions, Error, GroupDriver, Status, call, host};
use crate::cgroup::{self, Group, Hierarchies, place};
use crate::launch::{self, Equipment, Event, Launched};
use crate::plan::step::Step;
use crate::plan::{Ending, Gate, Plan, Wishes, plan};
use crate::spec::container::Namespace;
use crate::spec::limits::GroupPath;
use crate::spec::mounts::What;
use crate::spec::{self, Container, Id};
use crate::state::{Identity, LaterHooks, Phase, Record, Slot, Time, in_user_namespace, pid_file};
use crate::sys::{channel, path};

/// The socket in a container's directory at which `start` knocks.
pub(super) const GATE: &str = "gate";

/// Everything that can be known before anything is made.
#[derive(Debug)]
pub(super) struct Draft {
    bundle: PathBuf,
    pub(super) container: Container,
    group: Option<Box<dyn Group>>,
    plan: Plan,
    pid_file: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    wishes: Wishes,
    /// As in [`Context`].
    rootless: Option<bool>,
    /// Who will wait for the end of a detached container.
    pub(super) monitor: Option<Identity>,
}

impl Draft {
    pub(super) fn new(
        cx: &Context,
        id: &Id,
        options: &CreateOptions,
        await_start: bool,
        ending: Ending,
    ) -> Result<Self, Error> {
        if cx.groups == GroupDriver::Systemd {
            return Err(Error::Unsupported(
                "the systemd cgroup driver (--systemd-cgroup)",
            ));
        }
        check_preserved(options.preserve_fds)?;
        let bundle = options.bundle.canonicalize().map_err(|e| Error::Bundle {
            path: options.bundle.clone(),
            errno: Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)),
        })?;
        let container = spec::load(&bundle, options.config.as_deref())?;
        if options.console_socket.is_some() {
            return Err(Error::State(
                "cannot use console socket if runc will not detach or allocate tty",
            ));
        }
        let wishes = Wishes {
            id: id.clone(),
            await_start,
            ending,
            no_pivot: options.no_pivot,
            no_new_keyring: options.no_new_keyring,
            preserve_fds: options.preserve_fds,
        };
        let (group, plan) = plan_for(cx.groups, &container, &wishes)?;
        let pid_file = options.pid_file.clone();
        // runc looks from the bundle; an absolute path stays as it is.
        let pidfd_socket = options.pidfd_socket.as_ref().map(|path| bundle.join(path));
        Ok(Self {
            bundle,
            container,
            group,
            plan,
            pid_file,
            pidfd_socket,
            wishes,
            rootless: cx.rootless,
            monitor: None,
        })
    }

    /// Whether the container may stay in the runtime's groups where it can have none: for a user, and
    /// if nothing is asked of groups. A path is asked for, too, as runc has it.
    fn can_do_without_group(&self) -> bool {
        let is_root = nix::unistd::geteuid().is_root() && !in_user_namespace();
        // Nothing but a group keeps a root of the host's from its devices.
        let is_confined = !is_root || self.container.namespaces.user != Namespace::Share;
        self.rootless.unwrap_or(!is_root)
            && is_confined
            && self.container.group_path == GroupPath::Default
            && !self.container.limits.limit_more_than_devices()
    }

    /// Plans anew, for a container in the runtime's groups.
    fn leave_group(&mut self) -> Result<(), Error> {
        (self.group, self.plan) = plan_for(GroupDriver::Disabled, &self.container, &self.wishes)?;
        Ok(())
    }

    fn record(&self) -> Record {
        let late = self
            .plan
            .steps
            .iter()
            .position(|step| matches!(step, Step::AwaitStart));
        let late = late.map_or(&[][..], |at| &self.plan.steps[at..]);
        Record {
            version: crate::state::record::VERSION,
            id: self.wishes.id.clone(),
            phase: Phase::Creating,
            pid: None,
            start_time: None,
            monitor: self.monitor,
            bundle: self.bundle.clone(),
            rootfs: self.container.root.path.clone(),
            created: Time::now(),
            oci_version: self.container.oci_version.clone(),
            annotations: self.container.annotations.clone(),
            group_paths: self
                .group
                .as_ref()
                .map(|group| group.paths())
                .unwrap_or_default(),
            hooks: LaterHooks {
                poststart: self.container.hooks.poststart.clone(),
                poststop: self.container.hooks.poststop.clone(),
            },
            late_steps: late.iter().map(launch::fault::subject).collect(),
            late_from: self.plan.steps.len() - late.len(),
            exit: None,
            owner: nix::unistd::geteuid().as_raw(),
        }
    }
}

/// The group that a container would be in, and the plan of its process.
pub(super) fn plan_for(
    driver: GroupDriver,
    container: &Container,
    wishes: &Wishes,
) -> Result<(Option<Box<dyn Group>>, Plan), Error> {
    let is_shown = container
        .mounts
        .iter()
        .any(|mount| matches!(mount.what, What::Cgroup));
    let hierarchies = match driver {
        // The container stays in the caller's groups, and may see them.
        GroupDriver::Disabled if is_shown => Hierarchies::detect().ok(),
        GroupDriver::Disabled => None,
        _ => Some(Hierarchies::detect()?),
    };
    let group = match &hierarchies {
        Some(hierarchies) if driver != GroupDriver::Disabled => Some(place(
            hierarchies,
            &container.group_path,
            &wishes.id,
            &container.limits,
        )?),
        _ => None,
    };
    let host = host::probe(hierarchies.as_ref(), group.as_deref())?;
    Ok((group, plan(container, &host, wishes)?))
}

fn check_preserved(count: u32) -> Result<(), Error> {
    for number in 0..count {
        let fd = i32::try_from(3 + number).unwrap_or(i32::MAX);
        path::is_open(fd).map_err(|errno| Error::PreservedFd {
            number,
            count,
            errno,
        })?;
    }
    Ok(())
}

/// One message to whoever listens at `path`: runc's word for the first process, and the pidfd.
fn send_pidfd(pidfd: BorrowedFd<'_>, path: &Path) -> Result<(), Errno> {
    let socket = UnixStream::connect(path).map_err(|e| {
        // A path that is too long has no number of the kernel's.
        Errno::from_raw(e.raw_os_error().unwrap_or(libc::ENAMETOOLONG))
    })?;
    channel::send_fd(socket.as_fd(), pidfd, b"standard")
}

/// A container that is being made. Until [`Creation::commit`] all of it can be taken back.
#[derive(Debug)]
pub(super) struct Creation {
    draft: Draft,
    slot: Slot,
    pub(super) record: Record,
    launched: Option<Launched>,
}

impl Creation {
    /// Makes the container up to the gate of `start`, or to its program; nothing is left of one that
    /// could not be made.
    pub(super) fn complete(cx: &Context, id: &Id, draft: Draft) -> Result<Self, Error> {
        let slot = cx.store.reserve(id)?;
        let record = draft.record();
        let mut creation = Self {
            draft,
            slot,
            record,
            launched: None,
        };
        match creation.make() {
            Ok(()) => Ok(creation),
            Err(e) => {
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
        if let Some(group) = &mut self.draft.group {
            let made = group.make(&self.draft.container.limits);
            made.or_else(|fault| self.do_without_group(fault))?;
        }
        if let (Some(group), Some(uid)) = (&self.draft.group, self.draft.plan.birth.group_owner) {
            group.delegate(Uid::from_raw(uid))?;
        }

        self.launch()?;
        let gates: Vec<Gate> = self.draft.plan.gates().collect();
        for gate in gates {
            self.attend(gate)?;
        }

        if !self.draft.wishes.await_start {
            let launched = self.launched()?;
            while launched.next()? != Event::Silent {}
            launched.outcome(&self.draft.plan)?;
        }
        Ok(())
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
        let equipment = Equipment {
            group: group.and_then(|group| group.entrance()),
            doors: &doors,
            listener: listener.as_ref().map(OwnedFd::as_fd),
            lock: Some(self.slot.lock_fd()),
        };
        self.launched = Some(launch::launch(&self.draft.plan, &equipment)?);
        Ok(())
    }

    fn launched(&self) -> Result<&Launched, Error> {
        // Set by `launch`, which comes first.
        self.launched
            .as_ref()
            .ok_or(Error::State("container not running"))
    }

    /// Does what the child waits for at `gate`, ahead of its coming where that is all the same.
    fn attend(&mut self, gate: Gate) -> Result<(), Error> {
        let launched = self.launched()?;
        match gate {
            Gate::Mapped => {
                launched.map_ids(&self.draft.container.id_maps)?;
                if let Some(score) = self.draft.plan.birth.oom_score {
                    launched.set_oom_score(score)?;
                }
            }
            Gate::Hooked => {
                self.wait_for(gate)?;
                self.run_hooks()?;
            }
            Gate::Recorded => {
                if self.must_be_ready() {
                    self.wait_for(gate)?;
                }
                self.launched()?
                    .set_rlimits(&self.draft.plan.birth.rlimits)?;
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
            || draft.pid_file.is_some()
            || !plan.birth.rlimits.is_empty()
            || plan.steps.iter().any(|step| matches!(step, Step::Hook(_)))
    }

    /// A child that falls silent before it reaches the gate has a fault to tell.
    fn wait_for(&self, gate: Gate) -> Result<(), Error> {
        let launched = self.launched()?;
        loop {
            match launched.next()? {
                Event::At(reached) if reached == gate => return Ok(()),
                Event::At(_) => {}
                Event::Silent => {
                    launched.outcome(&self.draft.plan)?;
                    return Err(launch::Error::Lost.into());
                }
            }
        }
    }

    fn run_hooks(&mut self) -> Result<(), Error> {
        let pid = self.launched()?.pid.as_raw();
        let state = HookState {
            status: Status::Creating,
            pid,
            record: &self.record,
        };
        let hooks = &self.draft.container.hooks;
        hooks::run("prestart", &hooks.prestart, &state)?;
        hooks::run("createRuntime", &hooks.create_runtime, &state)?;
        let state = state.to_json();
        match &mut self.launched {
            Some(launched) => Ok(launched.tell_hooks(&state)?),
            None => Ok(()),
        }
    }

    /// From here on other commands find the process.
    fn announce(&mut self) -> Result<(), Error> {
        let launched = self.launched()?;
        let pid = launched.pid.as_raw();
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
        // Whoever sees the pid file can have taken the pidfd already.
        if let Some(path) = &self.draft.pidfd_socket {
            let pidfd = self.launched()?.pidfd.as_fd();
            send_pidfd(pidfd, path).map_err(|errno| Error::PidfdSocket {
                path: path.clone(),
                errno,
            })?;
        }
        if let Some(path) = &self.draft.pid_file {
            let fault = |source| Error::PidFile {
                path: path.clone(),
                source,
            };
            pid_file::write(path, pid).map_err(fault)?;
        }
        let state = HookState {
            status: Status::Created,
            pid,
            record: &self.record,
        }
        .to_json();
        match &mut self.launched {
            Some(launched) => Ok(launched.tell_hooks(&state)?),
            None => Ok(()),
        }
    }

    /// Takes everything back, in reverse; what cannot be is left to `delete`, which the record
    /// serves.
    fn undo(self) {
        let id = self.record.id.clone();
        if let Some(launched) = &self.launched {
            launched.kill();
        }
        let mut whole = true;
        if let Some(group) = &self.draft.group {
            let removed = group.kill().and_then(|()| group.remove());
            if let Err(e) = removed {
                log::warn!("container {id}: {e}; what is left goes with delete --force");
                whole = false;
            }
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
        let launched = self.launched.ok_or(Error::State("container not running"))?;
        Ok(Made {
            slot: self.slot,
            record: self.record,
            group: self.draft.group,
            process: launched.pidfd,
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
}
