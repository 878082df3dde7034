//! One clone, and what parent and child have to say to each other.

mod child;
mod copy_up;
pub mod fault;
pub mod hook;
mod id_maps;
mod mounts;
mod outside;
mod overlay;
mod places;
pub mod refusal;
mod root;
mod security;
mod target;
mod terminal;
mod user;

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::unistd::{Pid, geteuid};

use crate::plan::step::Step;
use crate::plan::{Gate, Plan};
use crate::sys::clone::{Clone, Forked};
use crate::sys::courier::Courier;
use crate::sys::report::{Fault, Progress, Report};
use crate::sys::signal::Ended;
use crate::sys::{channel, clone, errno, identity, path, poll, signal};
use child::{Child, Found};
pub use id_maps::user_namespace;
pub use overlay::{Unstacked, try_stack};
pub use places::make_targets;
pub use terminal::NAME as MASTER;

/// What `start` says at the gate.
pub const GO: u8 = b'g';

/// What comes with the listener of a seccomp filter.
const LISTENER: u8 = b'l';

/// Whether users are kept from making these namespaces, and we are one.
fn is_a_users(namespaces: &str) -> bool {
    namespaces.contains("user") && !geteuid().is_root()
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("clone a process with new namespaces ({namespaces}): {}", refusal::explain(*.errno, is_a_users(.namespaces)))]
    Clone { namespaces: String, errno: Errno },
    #[error("{act}: {}", fault::reason(*.errno))]
    Prepare { act: &'static str, errno: Errno },
    #[error("set process.rlimits RLIMIT_{name}: {}", fault::reason(*.errno))]
    Rlimit { name: &'static str, errno: Errno },
    #[error("process.execCPUAffinity.initial: run on the processors {cpus}: {}", fault::reason(*.errno))]
    Affinity { cpus: String, errno: Errno },
    #[error("process.{field}: {what}: {}", fault::reason(*.errno))]
    Grant {
        field: &'static str,
        what: String,
        errno: Errno,
    },
    #[error("write {field}: {}", fault::reason(*.errno))]
    MapIds { field: &'static str, errno: Errno },
    #[error(
        "write {field}: {tool}, which a user needs for other ids than his own: {said}; {allowed_in} says which he has"
    )]
    MapTool {
        field: &'static str,
        tool: &'static str,
        said: String,
        allowed_in: &'static str,
    },
    /// A step that did not succeed, in words.
    #[error("{0}")]
    Fault(String),
    #[error("the container's process was ended by signal {number} before it ran its program")]
    Killed { number: i32 },
    #[error("the container's process ended before it ran its program")]
    Lost,
    /// The runtime was told to end ([`Launched::heed`]).
    #[error("interrupted by signal {number} before the program ran")]
    Interrupted { number: i32 },
}

/// What the process is given beside its plan.
#[derive(Debug, Default)]
pub struct Equipment<'a> {
    /// The cgroup v2 directory it is born in.
    pub group: Option<BorrowedFd<'a>>,
    /// What it writes to, to be in its other groups (`Group::doors`).
    pub doors: &'a [OwnedFd],
    /// Where `start` will knock, for plans that wait for it.
    pub listener: Option<BorrowedFd<'a>>,
    /// Where the master of its terminal is sent, for plans that make one.
    pub console: Option<BorrowedFd<'a>>,
    /// A lock on a file belongs to all copies of its descriptor: the child closes its own.
    pub lock: Option<BorrowedFd<'a>>,
}

/// A process that is carrying out its plan.
#[derive(Debug)]
pub struct Launched {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    channel: OwnedFd,
    report: Report,
    state: Option<std::fs::File>,
    /// Has the signals that end the waiting.
    signals: Option<OwnedFd>,
}

/// What the parent hears.
#[derive(Debug)]
pub enum Event {
    /// The child waits at a gate.
    At(Gate),
    /// Its filter asks at this descriptor.
    Listens(OwnedFd),
    /// The child executes its program, waits for `start`, or has ended.
    Silent,
}

fn prepare(act: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::Prepare { act, errno }
}

/// What parent and child both have.
struct Shared {
    report: Report,
    /// Of the report, for a `start` that comes later.
    page: Option<OwnedFd>,
    /// The container's state, for hooks.
    state: Option<std::fs::File>,
    courier: Option<Courier>,
}

impl Shared {
    fn new(plan: &Plan, waits_for_start: bool) -> Result<Self, Error> {
        let act = "make the report page";
        let (report, page) = if waits_for_start {
            let (report, page) = Report::to_be_passed().map_err(prepare(act))?;
            (report, Some(page))
        } else {
            (Report::new().map_err(prepare(act))?, None)
        };
        let has = |is: fn(&Step) -> bool| plan.steps.iter().any(is);
        let state = if has(|step| matches!(step, Step::Hook(_))) {
            Some(outside::memory_file().map_err(prepare("make the state file of hooks"))?)
        } else {
            None
        };
        let asks =
            has(|step| matches!(step, Step::Seccomp(filter) if filter.flags_to_listen().is_some()));
        Ok(Self {
            report,
            page,
            state,
            courier: asks.then(|| Courier::new(LISTENER)),
        })
    }
}

/// Clones the process and lets it begin. The caller is the only thread of its process.
pub fn launch(plan: &Plan, equipment: &Equipment<'_>) -> Result<Launched, Error> {
    let Shared {
        report,
        page,
        state,
        courier,
    } = Shared::new(plan, equipment.listener.is_some())?;
    let (ours, theirs) = channel::pair().map_err(prepare("make the channel to the container"))?;

    let lived = outside::enter(&plan.birth)?;
    let what = Clone {
        namespaces: plan.birth.namespaces,
        group: equipment.group,
    };
    let forked = clone::clone(&what);
    if let Ok(Forked::Child) = forked {
        child::clean_slate();
        // No bits are masked from the modes of what the steps make.
        identity::set_umask(0);
        // What belongs to the runtime: its end of the channel, so that its death is heard, and the
        // lock.
        drop(ours);
        equipment.lock.map(path::close_in_child);
        let start = equipment.listener.zip(page.as_ref().map(AsFd::as_fd));
        Child {
            plan,
            channel: theirs.as_fd(),
            doors: equipment.doors,
            console: equipment.console,
            report: &report,
            courier: courier.as_ref(),
            start,
            state: state.as_ref().map(AsFd::as_fd),
            found: Found::default(),
        }
        .run();
    }
    let left = outside::leave(lived);
    if let (Err(_), Ok(Forked::Parent { pidfd, .. })) = (&left, &forked) {
        end_and_reap(pidfd);
    }
    left?;
    match forked {
        Ok(Forked::Parent { pid, pidfd }) => Ok(Launched {
            pid,
            pidfd,
            channel: ours,
            report,
            state,
            signals: None,
        }),
        Ok(Forked::Child) => clone::end(1),
        Err(errno) => {
            let kinds: Vec<_> = crate::plan::step::kinds(plan.birth.namespaces).collect();
            Err(Error::Clone {
                namespaces: kinds.join(", "),
                errno,
            })
        }
    }
}

impl Launched {
    /// From here on signals in `signals` that would end this program are not waited out
    /// ([`Error::Interrupted`]): a child that stands still in a paused container says nothing.
    pub fn heed(&mut self, signals: BorrowedFd<'_>) -> Result<(), Error> {
        let copy = signals.try_clone_to_owned().map_err(|_| Errno::EMFILE);
        self.signals = Some(copy.map_err(prepare("hear of signals"))?);
        Ok(())
    }

    /// Waits until `awaited` has something to tell of the child, and no longer than signals let us.
    fn watch(&self, awaited: BorrowedFd<'_>) -> Result<(), Error> {
        let Some(signals) = self.signals.as_ref().map(AsFd::as_fd) else {
            return Ok(());
        };
        let fault = prepare("hear of signals");
        while poll::wait(&[awaited, signals], None).map_err(&fault)? & 0b01 == 0 {
            while let Some(number) = signal::next(signals).map_err(&fault)? {
                if signal::ends(number) {
                    return Err(Error::Interrupted { number });
                }
            }
        }
        Ok(())
    }

    /// Waits for what the child does next.
    pub fn next(&self) -> Result<Event, Error> {
        self.watch(self.channel.as_fd())?;
        let heard = channel::receive_with_fd(self.channel.as_fd())
            .map_err(prepare("hear from the container's process"))?;
        Ok(match heard {
            Some((LISTENER, Some(listener))) => Event::Listens(listener),
            Some((byte, _)) => Gate::from_byte(byte).map_or(Event::Silent, Event::At),
            None => Event::Silent,
        })
    }

    /// Takes the process that the first has handed over to in its place. It is a child of ours, and stays
    /// until we reap it: the number is its own.
    pub fn adopt(&mut self, plan: &Plan) -> Result<(), Error> {
        self.watch(self.pidfd.as_fd())?;
        let ended = signal::wait(self.pidfd.as_fd(), true).unwrap_or(None);
        let Some(pid) = self.report.successor() else {
            return judge(&self.report.read(), ended, |fault| describe(plan, fault));
        };
        let pidfd = signal::open_process(pid);
        self.pidfd = pidfd.map_err(prepare("open the container's process"))?;
        self.pid = pid;
        Ok(())
    }

    /// Waits until the child has come to `gate`. One that falls silent before has a fault to tell.
    pub fn wait_for(&self, gate: Gate, plan: &Plan) -> Result<(), Error> {
        loop {
            match self.next()? {
                Event::At(reached) if reached == gate => return Ok(()),
                Event::At(_) | Event::Listens(_) => {}
                Event::Silent => return Err(self.silence(plan)),
            }
        }
    }

    /// Waits for the listener of a filter that asks; the program may be unable to run before somebody
    /// answers there.
    pub fn wait_for_listener(&self, plan: &Plan) -> Result<OwnedFd, Error> {
        loop {
            match self.next()? {
                Event::Listens(listener) => return Ok(listener),
                Event::At(_) => {}
                Event::Silent => return Err(self.silence(plan)),
            }
        }
    }

    /// Why a child is silent that had something to say.
    fn silence(&self, plan: &Plan) -> Error {
        self.outcome(plan).err().unwrap_or(Error::Lost)
    }

    /// Waits until the program runs.
    pub fn wait_for_program(&self, plan: &Plan) -> Result<(), Error> {
        while !matches!(self.next()?, Event::Silent) {}
        self.outcome(plan)
    }

    /// Lets the child pass a gate, now or when it comes to it. A child that is gone needs none.
    pub fn open_gate(&self) {
        let _ = channel::send(self.channel.as_fd(), GO);
    }

    /// What hooks that the child runs will read on their standard input.
    pub fn tell_hooks(&mut self, state: &str) -> Result<(), Error> {
        let Some(file) = &mut self.state else {
            return Ok(());
        };
        let written = file.set_len(0).and_then(|()| {
            std::io::Seek::rewind(file)?;
            file.write_all(state.as_bytes())
        });
        written
            .map_err(errno)
            .map_err(prepare("write the state file of hooks"))
    }

    /// After silence: whether the child did what was planned. Reaps it where it did not.
    pub fn outcome(&self, plan: &Plan) -> Result<(), Error> {
        let progress = self.report.read();
        if progress == Progress::Executing {
            return Ok(());
        }
        let ended = signal::wait(self.pidfd.as_fd(), true).unwrap_or(None);
        judge(&progress, ended, |fault| describe(plan, fault))
    }

    /// Ends the process and takes its status; one that is gone is fine.
    pub fn kill(&self) {
        end_and_reap(&self.pidfd);
    }
}

/// Ends a child and takes its status; one that is gone is fine.
pub fn end_and_reap(pidfd: &OwnedFd) {
    let _ = signal::send(pidfd.as_fd(), libc::SIGKILL);
    let _ = signal::wait(pidfd.as_fd(), true);
}

/// The sentence for a fault: the plan has the words.
fn describe(plan: &Plan, found: &Fault) -> String {
    let errno = Errno::from_raw(found.number);
    let mut words = match plan.steps.get(found.step as usize) {
        Some(step) => fault::words(step, found),
        None => format!("step {}: {}", found.step, fault::reason(errno)),
    };
    // Under AppArmor's restriction a user gets the namespace, and no power in it.
    if plan.birth.id_maps.is_some()
        && !geteuid().is_root()
        && matches!(errno, Errno::EPERM | Errno::EACCES)
        && let Some(setting) = refusal::restriction()
    {
        words = format!("{words}; {setting}");
    }
    words
}

/// What the shared page of a silent child means. `ended` is how it ended, where that is known.
pub fn judge(
    progress: &Progress,
    ended: Option<Ended>,
    describe: impl FnOnce(&Fault) -> String,
) -> Result<(), Error> {
    match (progress, ended) {
        (Progress::Executing, _) => Ok(()),
        (Progress::Stopped(fault), _) => Err(Error::Fault(describe(fault))),
        (Progress::Working, Some(Ended::Signal(number))) => Err(Error::Killed { number }),
        (Progress::Working, _) => Err(Error::Lost),
    }
}
