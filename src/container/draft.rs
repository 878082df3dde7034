//! A container before anything of it is made: what is asked, its group's place and its plan.

use std::path::{Path, PathBuf};

use super::listeners::Listeners;
use super::revival::Revival;
use super::terminal::Console;
use super::{Context, CreateOptions, Error, GroupDriver, agent, call, criu, host, readiness};
use crate::cgroup::{Group, Hierarchies, place, place_unit, resctrl};
use crate::launch;
use crate::plan::step::Step;
use crate::plan::{Ending, Plan, Wishes, plan};
use crate::spec::container::Namespace;
use crate::spec::intel_rdt::RdtGroups;
use crate::spec::limits::GroupPath;
use crate::spec::mounts::What;
use crate::spec::seccomp::Agent;
use crate::spec::unit::Unit;
use crate::spec::{self, Container, Id};
use crate::state::{Identity, LaterHooks, Phase, Record, Time, in_user_namespace};
use crate::sys::silence::Silence;
use crate::sys::{errno, path};

/// Everything that can be known before anything is made.
#[derive(Debug)]
pub(super) struct Draft {
    bundle: PathBuf,
    /// The document as it was read.
    pub(super) config: Vec<u8>,
    /// As in [`CreateOptions`].
    image_store: Option<PathBuf>,
    /// Whether it is deleted when it has ended.
    pub(super) is_transient: bool,
    /// Whether what it writes goes nowhere.
    pub(super) is_silent: bool,
    pub(super) container: Container,
    pub(super) group: Option<Box<dyn Group>>,
    pub(super) rdt_groups: Option<RdtGroups>,
    pub(super) plan: Plan,
    pub(super) listeners: Listeners,
    pub(super) console: Console,
    pub(super) wishes: Wishes,
    /// As in [`Context`].
    rootless: Option<bool>,
    driver: GroupDriver,
    /// Where it is to be told that the container is ready, as in [`CreateOptions`].
    pub(super) manager: Option<Vec<u8>>,
    /// Who will wait for the end of a detached container.
    pub(super) monitor: Option<Identity>,
    /// For a container that is brought back; the plan is what it was made by.
    pub(super) revival: Option<Revival>,
}

impl Draft {
    pub(super) fn new(
        cx: &Context,
        id: &Id,
        options: &CreateOptions,
        await_start: bool,
        ending: Ending,
    ) -> Result<Self, Error> {
        let sockets = options.sockets.as_ref();
        let passed = sockets
            .map_or(0, |s| s.count)
            .saturating_add(options.preserve_fds);
        check_preserved(passed)?;
        let bundle = options.bundle.canonicalize().map_err(|e| Error::Bundle {
            path: options.bundle.clone(),
            errno: errno(&e),
        })?;
        let config = spec::read(&bundle, options.config.as_deref())?;
        let mut container = spec::parse(&config, &bundle)?;
        let detached = ending == Ending::OnItsOwn;
        let socket = options.console_socket.as_deref();
        let console = Console::choose(container.process.as_ref(), detached, socket)?;
        console.fit(container.process.as_mut());
        if let Some(sockets) = sockets {
            sockets.offer(&mut container);
        }
        let wishes = Wishes {
            id: id.clone(),
            await_start,
            ending,
            no_pivot: options.no_pivot,
            no_new_keyring: options.no_new_keyring,
            preserve_fds: passed,
        };
        let (group, plan) = plan_for(cx.groups, &container, &wishes)?;
        let rdt_groups = container.intel_rdt.as_ref();
        let rdt_groups = rdt_groups
            .map(|asked| resctrl::place(&resctrl::find()?, asked, id))
            .transpose()?;
        let listeners = Listeners {
            pid_file: options.pid_file.clone(),
            // runc looks from the bundle; an absolute path stays as it is.
            pidfd_socket: options.pidfd_socket.as_ref().map(|path| bundle.join(path)),
        };
        let draft = Self {
            bundle,
            config,
            image_store: options.image_store.clone(),
            is_transient: false,
            is_silent: false,
            container,
            group,
            rdt_groups,
            plan,
            listeners,
            console,
            wishes,
            rootless: cx.rootless,
            driver: cx.groups,
            monitor: None,
            revival: None,
            manager: options.notify_socket.clone(),
        };
        draft.agent().map_or(Ok(()), agent::check)?;
        Ok(draft)
    }

    /// Whether the container may stay in the runtime's groups where it can have none: for a user, and
    /// if nothing is asked of groups. A path is asked for, too, as runc has it.
    pub(super) fn can_do_without_group(&self) -> bool {
        let is_root = nix::unistd::geteuid().is_root() && !in_user_namespace();
        // Nothing but a group keeps a root of the host's from its devices.
        let is_confined = !is_root || self.container.namespaces.user != Namespace::Share;
        self.revival.is_none()
            && self.rootless.unwrap_or(!is_root)
            && is_confined
            && self.container.group_path == GroupPath::Default
            && !self.container.limits.limit_more_than_devices()
    }

    /// Plans anew, for a container in the runtime's groups.
    pub(super) fn leave_group(&mut self) -> Result<(), Error> {
        (self.group, self.plan) = plan_for(GroupDriver::Disabled, &self.container, &self.wishes)?;
        Ok(())
    }

    /// Plans anew, for a container that can say that it is ready.
    pub(super) fn offer_readiness(&mut self, directory: &Path) -> Result<(), Error> {
        readiness::offer(&mut self.container, directory);
        (self.group, self.plan) = plan_for(self.driver, &self.container, &self.wishes)?;
        Ok(())
    }

    /// Who is to answer calls of the container.
    pub(super) fn agent(&self) -> Option<&Agent> {
        self.container.seccomp.as_ref()?.agent.as_ref()
    }

    /// To be held while its streams are looked at, or taken over by its process.
    pub(super) fn silence(&self) -> Result<Option<Silence>, Error> {
        let silence = self.is_silent.then(Silence::begin).transpose();
        silence.map_err(call("put /dev/null in the place of the output"))
    }

    pub(super) fn record(&self) -> Record {
        let late = self
            .plan
            .steps
            .iter()
            .position(|step| matches!(step, Step::AwaitStart));
        let late = late.map_or(&[][..], |at| &self.plan.steps[at..]);
        let group = self.group.as_ref();
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
            group_paths: group.map(|group| group.paths()).unwrap_or_default(),
            unit: group.and_then(|group| group.unit()).cloned(),
            rdt_groups: self.rdt_groups.clone(),
            hooks: LaterHooks {
                poststart: self.container.hooks.poststart.clone(),
                poststop: self.container.hooks.poststop.clone(),
            },
            late_steps: late.iter().map(launch::fault::subject).collect(),
            streams: match self.console {
                Console::None => criu::own_streams(),
                Console::Here | Console::Socket(_) => Vec::new(),
            },
            ends_with_runtime: match &self.revival {
                Some(revival) => revival.ends_with_runtime,
                None => self.wishes.ending == Ending::WithRuntime,
            },
            late_from: self.plan.steps.len() - late.len(),
            agent: self.agent().cloned(),
            keeps_keyring: self.wishes.no_new_keyring,
            image_store: self.image_store.clone(),
            is_transient: self.is_transient,
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
    let id = &wishes.id;
    let group = match (&hierarchies, driver) {
        (None, _) | (_, GroupDriver::Disabled) => None,
        (Some(hierarchies), GroupDriver::Auto) => {
            Some(place(hierarchies, &container.group_path, id)?)
        }
        (Some(hierarchies), GroupDriver::Systemd(manager)) => {
            let unit = Unit::new(&container.group_path, id, manager)?;
            let annotations = &container.annotations;
            Some(place_unit(hierarchies, unit, id, annotations)?)
        }
    };
    let host = host::probe(hierarchies.as_ref(), group.as_deref())?;
    Ok((group, plan(container, &host, wishes)?))
}

pub(super) fn check_preserved(count: u32) -> Result<(), Error> {
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
