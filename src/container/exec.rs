//! `exec`: one more process in a container that lives.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::Pid;

use super::draft::check_preserved;
use super::foreground::Foreground;
use super::hooks::HookState;
use super::kill;
use super::listeners::Listeners;
use super::oom::Witness;
use super::state::status;
use super::terminal::{Console, Terminal};
use super::{Context, Error, Status, agent, call, host, successor, wait};
use crate::cgroup::{Below, Room, resctrl};
use crate::launch::{self, Equipment, Launched};
use crate::plan::step::Kind;
use crate::plan::{self, Ending, Gate, Plan, Target, Wishes};
use crate::spec::{self, Id};
use crate::state::Record;
use crate::sys::errno;
use crate::sys::signal::{self, Ended, Mask};

/// What is to run, and how.
#[derive(Clone, Debug, Default)]
pub struct ExecOptions {
    /// A `process` object of the OCI, as JSON.
    pub process: Vec<u8>,
    pub pid_file: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub preserve_fds: u32,
    /// Which of the container's groups it goes in.
    pub below: Below,
    /// Return when the program runs.
    pub detach: bool,
    /// Also into a container that is paused, where it will stand still.
    pub ignore_paused: bool,
}

/// Runs a program in container `id` and returns its exit code, 128 + n for signal n; 0 when detached.
///
/// Takes no lock, as it may last: that the container was not deleted meanwhile is seen when the process
/// is in its group, where a deletion would find it.
pub fn exec(cx: &Context, id: &Id, options: &ExecOptions) -> Result<u8, Error> {
    check_preserved(options.preserve_fds)?;
    let guest = Guest::new(cx, id, options)?;
    if options.detach {
        return guest.enter(options, None).map(|_| 0);
    }
    // Blocked before the process exists, so that no signal is lost between its birth and our wait.
    signal::set_mask(Mask::ALL).map_err(call("block signals"))?;
    let signals = signal::descriptor(Mask::ALL).map_err(call("make a signal descriptor"))?;
    let (launched, console) = match guest.enter(options, Some(&signals)) {
        Err(Error::Join(launch::Error::Interrupted { number })) => {
            return Ok(wait::end(Ended::Signal(number)).exit_code());
        }
        entered => entered?,
    };
    let mut foreground = Foreground {
        pid: launched.pid,
        process: &launched.pidfd,
        signals: &signals,
        witness: Witness::of(None),
        terminal: Terminal::receive(console.as_ref()),
        readiness: None,
    };
    let ended = foreground.attend()?;
    Ok(wait::end(ended).exit_code())
}

/// A process for a container, before it is made.
struct Guest {
    record: Record,
    /// The container's, when the process was asked for.
    status: Status,
    plan: Plan,
    /// In the container's groups.
    room: Room,
    console: Console,
}

impl Guest {
    fn new(cx: &Context, id: &Id, options: &ExecOptions) -> Result<Self, Error> {
        let record = cx.store.load(id)?;
        let (init, status) = living(cx, &record, options.ignore_paused)?;
        let mut container = spec::parse(&cx.store.config(id)?, &record.bundle)?;
        if container.root.overlay.is_some() {
            // It is mounted in the container alone, where the plan looks for the user's home.
            container.root.path = format!("/proc/{}/root", record.pid.unwrap_or(0)).into();
        }
        let process = spec::parse_process(&options.process, &container)?;
        let socket = options.console_socket.as_deref();
        let console = Console::choose(Some(&process), options.detach, socket)?;
        container.process = Some(process);
        console.fit(container.process.as_mut());

        let wishes = Wishes {
            id: id.clone(),
            await_start: false,
            ending: match options.detach {
                true => Ending::OnItsOwn,
                false => Ending::WithRuntime,
            },
            no_pivot: false,
            no_new_keyring: record.keeps_keyring,
            preserve_fds: options.preserve_fds,
        };
        let group = kill::group(&record)?;
        let first = Pid::from_raw(record.pid.unwrap_or(0));
        let room = match group {
            Some(group) => group.room_beside(first, &options.below)?,
            None if options.below == Below::Anywhere => Room::default(),
            None => {
                let (id, command) = (id.clone(), "exec --cgroup");
                return Err(Error::NoGroup { id, command });
            }
        };
        let namespaces = foreign_namespaces(first)?;
        // It was these of the container, and not of another who has its number by now.
        if kill::process(&record)?.is_none() {
            return Err(STOPPED);
        }
        let target = Target {
            process: init,
            namespaces,
            has_doors: !room.doors.is_empty(),
        };
        let host = host::probe(None, None)?;
        Ok(Self {
            plan: plan::join(&container, &host, &wishes, &target)?,
            record,
            status,
            room,
            console,
        })
    }

    /// Makes the process; returns when its program runs, with where its terminal comes from. One of
    /// `signals` that ends programs ends this, too.
    fn enter(
        &self,
        options: &ExecOptions,
        signals: Option<&OwnedFd>,
    ) -> Result<(Launched, Option<OwnedFd>), Error> {
        let (ours, theirs) = self.console.open()?;
        let equipment = Equipment {
            group: self.room.entrance.as_ref().map(OwnedFd::as_fd),
            doors: &self.room.doors,
            listener: None,
            console: theirs.as_ref().map(OwnedFd::as_fd),
            lock: None,
        };
        let mut launched = launch::launch(&self.plan, &equipment).map_err(Error::Join)?;
        let heeds = signals.map_or(Ok(()), |signals| launched.heed(signals.as_fd()));
        let begun = heeds.map_err(Error::Join);
        match begun.and_then(|()| self.begin(&mut launched, options)) {
            Ok(()) => {}
            Err(e @ Error::Join(launch::Error::Interrupted { .. })) => {
                // In a v1 freezer it dies when the container goes on.
                let _ = signal::send(launched.pidfd.as_fd(), libc::SIGKILL);
                return Err(e);
            }
            Err(e) => {
                launched.kill();
                return Err(e);
            }
        }
        log::logger().flush();
        Ok((launched, ours))
    }

    /// From the first gate to the program.
    fn begin(&self, launched: &mut Launched, options: &ExecOptions) -> Result<(), Error> {
        if self.plan.gates().any(|gate| gate == Gate::Adopted) {
            launched.adopt(&self.plan).map_err(Error::Join)?;
            launched.open_gate();
        }
        let reached = launched.wait_for(Gate::Recorded, &self.plan);
        reached.map_err(Error::Join)?;
        // It is in the group by now: whoever deletes the container from here on kills it as well.
        if kill::process(&self.record)?.is_none() {
            return Err(STOPPED);
        }
        if let Some(groups) = &self.record.rdt_groups {
            resctrl::join(groups, launched.pid)?;
        }
        let granted = launched.grant(&self.plan.birth.grants);
        granted.map_err(Error::Join)?;
        let listeners = Listeners {
            pid_file: options.pid_file.clone(),
            pidfd_socket: options.pidfd_socket.clone(),
        };
        listeners.tell(launched.pid.as_raw(), launched.pidfd.as_fd(), b"setns")?;
        launched.open_gate();
        if let Some(agent) = &self.record.agent {
            let listener = launched
                .wait_for_listener(&self.plan)
                .map_err(Error::Join)?;
            let state = HookState {
                status: self.status,
                pid: self.record.pid.unwrap_or(0),
                record: &self.record,
            };
            agent::introduce(agent, &listener, launched.pid.as_raw(), &state)?;
        }
        launched.wait_for_program(&self.plan).map_err(Error::Join)
    }
}

const STOPPED: Error = Error::State("cannot exec in a stopped container");

const PROTECTED: Error = Error::State(
    "cannot exec in a container of another user, nor without root's rights before it is started",
);

/// The first process of a container that can take a guest, and how the container is.
fn living(cx: &Context, record: &Record, ignore_paused: bool) -> Result<(OwnedFd, Status), Error> {
    let dir = cx.store.directory(&record.id)?;
    let status = status(record, dir.as_fd())?;
    match status {
        Status::Running | Status::Created => {}
        Status::Paused if ignore_paused => {}
        Status::Paused => {
            return Err(Error::State(
                "cannot exec in a paused container (use --ignore-paused to override)",
            ));
        }
        Status::Creating | Status::Stopped => return Err(STOPPED),
    }
    successor::appoint(cx, record);
    Ok((kill::process(record)?.ok_or(STOPPED)?, status))
}

/// `CLONE_NEW*` bits of the namespaces of process `pid` that are not ours. Of a kind that the kernel has
/// not got nobody has one.
fn foreign_namespaces(pid: Pid) -> Result<u64, Error> {
    let mut foreign = 0;
    for kind in Kind::ALL {
        let place = |process: &str| {
            let name = kind.file_name();
            match std::fs::metadata(format!("/proc/{process}/ns/{name}")) {
                Ok(about) => Ok(Some((about.dev(), about.ino()))),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                // Until it runs its program, only the host's root may look into it.
                Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(PROTECTED),
                Err(e) => Err(call("look at the container's namespaces")(errno(&e))),
            }
        };
        if place(&pid.to_string())? != place("self")? {
            foreign |= kind.bit();
        }
    }
    Ok(foreign)
}
