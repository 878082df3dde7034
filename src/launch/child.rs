//! The child: carries out the steps of a plan, one after the other, and allocates nothing.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::fault::{Call, Stop};
use super::hook;
use super::target::{Want, open_or_make};
use super::user;
use crate::plan::Plan;
use crate::plan::seccomp::Program;
use crate::plan::step::{Candidates, Gate, Node, Step};
use crate::spec::units::InRoot;
use crate::sys::courier::Courier;
use crate::sys::path::{self, HERE, Resolve};
use crate::sys::report::{NOTE, Report};
use crate::sys::{
    alloc, channel, clone, exec, identity, loopback, mount, schedule, seccomp, signal,
};

/// What the child was given and what it has found so far.
#[derive(Debug)]
pub(super) struct Child<'a> {
    pub(super) plan: &'a Plan,
    pub(super) channel: BorrowedFd<'a>,
    pub(super) report: &'a Report,
    /// For plans with a filter that asks.
    pub(super) courier: Option<&'a Courier>,
    pub(super) doors: &'a [OwnedFd],
    /// Where the master of the terminal goes.
    pub(super) console: Option<BorrowedFd<'a>>,
    /// For `start`: where it knocks, and the page that it is given.
    pub(super) start: Option<(BorrowedFd<'a>, BorrowedFd<'a>)>,
    /// The container's state in JSON, for hooks.
    pub(super) state: Option<BorrowedFd<'a>>,
    pub(super) found: Found<'a>,
}

/// What the steps leave for each other.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) root: Option<OwnedFd>,
    /// The host's /dev/null, and an empty read-only directory that is mounted by now.
    pub(super) null: Option<OwnedFd>,
    pub(super) empty: Option<OwnedFd>,
    /// A procfs that nobody else can reach.
    pub(super) proc: Option<OwnedFd>,
    /// The host's own.
    pub(super) host_proc: Option<OwnedFd>,
    /// The directory that the last node or link was made in.
    dir: Option<(&'a [u8], OwnedFd)>,
    program: usize,
    in_working_dir: bool,
    /// Where `start` listens. Closed by exec: that is how it learns that the program runs.
    starter: Option<OwnedFd>,
    /// The kernel's or a hook's own words about the fault.
    pub(super) note: [u8; NOTE],
    pub(super) note_length: usize,
}

impl Default for Found<'_> {
    fn default() -> Self {
        Self {
            root: None,
            null: None,
            empty: None,
            proc: None,
            host_proc: None,
            dir: None,
            program: 0,
            in_working_dir: false,
            starter: None,
            note: [0; NOTE],
            note_length: 0,
        }
    }
}

impl<'a> Child<'a> {
    /// Ends in the program, or in a fault on the shared page.
    pub(super) fn run(mut self) -> ! {
        alloc::forbid();
        let plan = self.plan;
        for (number, step) in plan.steps.iter().enumerate() {
            if let Err(stop) = self.carry_out(step) {
                let note = &self.found.note[..self.found.note_length];
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                self.report
                    .stop(number, stop.call as u32, stop.number, note);
                clone::end(1);
            }
        }
        clone::end(0)
    }

    fn carry_out(&mut self, step: &'a Step) -> Result<(), Stop> {
        if !matches!(step, Step::Node(_) | Step::Link { .. }) {
            self.found.dir = None;
        }
        match step {
            Step::DieWithRuntime => identity::set_parent_death_signal(libc::SIGKILL)?,
            Step::OutliveRuntime => identity::set_parent_death_signal(0)?,
            Step::OomScore(score) => write_file(HERE, c"/proc/self/oom_score_adj", score)?,
            Step::Join(join) => user::join(join.namespace.as_fd(), join.kind.bit())?,
            Step::Enter(enter) => user::join(enter.process.as_fd(), enter.namespaces)?,
            Step::Gate(gate) => self.pass(*gate)?,
            Step::BecomeUndumpable => identity::set_undumpable()?,
            Step::BecomeRoot => user::become_root()?,
            Step::JoinGroups => {
                for door in self.doors {
                    path::write_once(door.as_fd(), b"0")?;
                }
            }
            Step::Unshare(kinds) => clone::unshare(*kinds)?,
            Step::HandOver(namespaces) => {
                if let Some(pid) = clone::clone_sibling(*namespaces)? {
                    self.report.hand_over(pid);
                    clone::end(0)
                }
            }
            Step::Clock(line) => write_file(HERE, c"/proc/self/timens_offsets", line)?,
            Step::SetUpLoopback => loopback::set_up()?,
            Step::NewSession => identity::new_session()?,
            Step::NewKeyring(name) => new_keyring(name)?,
            Step::Propagate(flags) => mount::set_propagation(c"/", *flags)?,
            Step::PrivateParent(path) => mount::set_propagation(path, libc::MS_PRIVATE)?,
            Step::AttachRoot { tree, at } => self.attach_root(tree, at)?,
            Step::AttachOverlay(overlay) => self.attach_overlay(overlay)?,
            Step::Mount(mount) => self.mount(mount)?,
            Step::Remount(remount) => self.remount(remount)?,
            Step::Node(node) => self.make_node(node)?,
            Step::Link { text, at, replace } => self.make_link(text, at, *replace)?,
            Step::Mask { path, label } => self.mask(path, label.as_deref())?,
            Step::ReadOnly(path) => self.make_readonly(path)?,
            Step::Seal { target, attributes } => {
                let target = self.mounted(target)?;
                mount::set_attributes(target.as_fd(), attributes.set, attributes.clear, 0, false)?;
            }
            Step::Hook(hook) => self.run_hook(hook)?,
            Step::Pivot { shared } => self.pivot(*shared)?,
            Step::MoveRoot { views } => self.move_root(views)?,
            Step::RootPropagation(flags) => mount::set_propagation(c"/", *flags)?,
            Step::ReadOnlyRoot => {
                mount::set_attributes(self.root(), libc::MOUNT_ATTR_RDONLY, 0, 0, false)?;
            }
            Step::Hostname(name) => identity::set_hostname(name)?,
            Step::Domainname(name) => identity::set_domainname(name)?,
            Step::Sysctl { path, value, .. } => self.set_sysctl(path, value)?,
            Step::Personality(persona) => identity::set_personality(*persona)?,
            Step::Rlimit {
                resource,
                soft,
                hard,
                ..
            } => {
                identity::set_rlimit(0, *resource, *soft, *hard)?;
            }
            Step::HoldProc => self.hold_proc()?,
            Step::Profile(profile) => self.confine(profile)?,
            Step::Label { what, label } => self.label(*what, label)?,
            Step::Affinity(cpus) => schedule::set_affinity(0, cpus.words())?,
            Step::Scheduler(scheduler) => schedule::set_scheduler(0, &scheduler.attributes)?,
            Step::IoPriority(priority) => schedule::set_io_priority(0, priority.value)?,
            Step::MemoryPolicy(policy) => {
                schedule::set_memory_policy(policy.mode, policy.nodes.words())?;
            }
            Step::MakeWorkingDir(dir) => {
                open_or_make(self.root(), dir.as_c_str(), Want::Dir, Resolve::InRoot)?;
            }
            Step::Terminal(terminal) => self.make_terminal(terminal)?,
            Step::Standard(file) => {
                for number in 0..3 {
                    exec::duplicate(file.as_fd(), number)?;
                }
            }
            Step::OwnPipes { uid } => user::own_pipes(*uid)?,
            Step::CloseFrom(first) => self.close_from(*first)?,
            Step::Bound(keep) => user::bound(*keep)?,
            Step::BecomeUser { uid, gid, groups } => {
                user::become_user(*uid, *gid, groups)?;
            }
            Step::Capabilities { sets, ambient } => user::take_capabilities(sets, *ambient)?,
            Step::Umask(mask) => identity::set_umask(*mask),
            Step::EnterWorkingDir { path, again } => self.enter_working_dir(path, *again)?,
            Step::FindProgram(candidates) => self.find_program(candidates)?,
            Step::NoNewPrivileges => identity::set_no_new_privileges()?,
            Step::AwaitStart => self.await_start()?,
            Step::Seccomp(program) => self.load_filter(program)?,
            Step::Execute { args, env } => {
                let candidates = self.candidates();
                let path = candidates.get(self.found.program).ok_or(Errno::ENOENT)?;
                self.report.executing();
                return Err(exec::execute(path, args, env).into());
            }
        }
        Ok(())
    }

    /// The root filesystem; AttachRoot comes before every step that asks.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.found.root.as_ref().map_or(HERE, AsFd::as_fd)
    }

    fn close_from(&self, first: u32) -> Result<(), Stop> {
        let (listener, page) = self.start.unzip();
        // The first stands for those that are missing.
        let kept = [Some(self.channel), listener, page, self.state];
        let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().cast_unsigned();
        let mut kept = kept.map(|fd| number(fd.unwrap_or(self.channel)));
        Ok(exec::close_all_but(first, &mut kept)?)
    }

    /// Opens what `path` names below the root.
    pub(super) fn open(&self, path: &InRoot) -> Result<OwnedFd, Errno> {
        path::open(self.root(), path.as_c_str(), libc::O_PATH, Resolve::InRoot)
    }

    /// Tells the runtime where we are, and waits for it.
    fn pass(&self, gate: Gate) -> Result<(), Stop> {
        let gone = |errno| Stop::at(Call::RuntimeGone, errno);
        if gate.is_told() {
            channel::send(self.channel, gate.byte()).map_err(gone)?;
        }
        match channel::receive(self.channel).map_err(gone)? {
            Some(_) => Ok(()),
            None => Err(gone(Errno::EPIPE)),
        }
    }

    /// Lets whoever connects look, and goes on when one of them says so. From then on nobody
    /// listens, and a `start` that dies takes nothing along.
    fn await_start(&mut self) -> Result<(), Stop> {
        let Some((listener, page)) = self.start else {
            return Ok(());
        };
        loop {
            let caller = channel::accept(listener)?;
            if channel::receive(caller.as_fd()) == Ok(Some(super::GO)) {
                path::close_in_child(listener);
                match channel::send_fd(caller.as_fd(), page, &[0]) {
                    Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => {}
                    Err(errno) => return Err(errno.into()),
                }
                self.found.starter = Some(caller);
                return Ok(());
            }
        }
    }

    /// Whoever opened the last gate gets the listener of a filter that asks.
    fn load_filter(&self, program: &Program) -> Result<(), Stop> {
        let instructions = program.instructions();
        match (program.flags_to_listen(), self.courier) {
            (Some(flags), Some(courier)) => {
                let starter = self.found.starter.as_ref();
                let socket = starter.map_or(self.channel, AsFd::as_fd);
                let started = courier.start(socket);
                started.map_err(|errno| Stop::at(Call::Courier, errno))?;
                courier.load_filter(instructions, flags)?;
            }
            _ => drop(seccomp::load_filter(instructions, program.flags())?),
        }
        Ok(())
    }

    fn run_hook(&mut self, hook: &crate::plan::step::Hook) -> Result<(), Stop> {
        let Some(state) = self.state else {
            return Err(Errno::EBADF.into());
        };
        hook::run(
            hook,
            state,
            &mut self.found.note,
            &mut self.found.note_length,
        )
    }

    fn make_node(&mut self, node: &'a Node) -> Result<(), Stop> {
        let (dir, name) = self.parent(&node.at)?;
        let mode = node.mode_word();
        match path::make_node(dir, name, mode, node.device()) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                // config-linux.md: a file that is there must be the same device.
                let there =
                    path::open(dir, name, libc::O_PATH | libc::O_NOFOLLOW, Resolve::InRoot)?;
                let stat = path::stat(there.as_fd())?;
                let same = stat.st_mode & libc::S_IFMT == mode & libc::S_IFMT
                    && (stat.st_rdev == node.device() || mode & libc::S_IFMT == libc::S_IFIFO);
                return if same {
                    Ok(())
                } else {
                    Err(Stop::at(Call::OtherNode, Errno::EEXIST))
                };
            }
            Err(errno) => return Err(errno.into()),
        }
        if (node.uid, node.gid) != (0, 0) {
            let made = path::open(dir, name, libc::O_PATH | libc::O_NOFOLLOW, Resolve::InRoot)?;
            path::set_owner(made.as_fd(), node.uid, node.gid)
                .map_err(|errno| Stop::at(Call::SetOwner, errno))?;
        }
        Ok(())
    }

    fn make_link(&mut self, text: &CStr, at: &'a InRoot, replace: bool) -> Result<(), Stop> {
        let (dir, name) = self.parent(at)?;
        match path::make_link(text, dir, name) {
            Err(Errno::EEXIST) if replace => {
                path::unlink(dir, name)?;
                path::make_link(text, dir, name)?;
                Ok(())
            }
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The directory of `path`, made where it is missing, and the last component. Nodes and links
    /// mostly lie side by side: the directory of the one before serves the next.
    fn parent(&mut self, path: &'a InRoot) -> Result<(BorrowedFd<'_>, &'a CStr), Stop> {
        let (dir, name) = path.split_last();
        let opened = match self.found.dir.take() {
            Some((last, opened)) if last == dir => opened,
            _ => super::target::open_dir(self.root(), dir)?,
        };
        Ok((self.found.dir.insert((dir, opened)).1.as_fd(), name))
    }

    fn enter_working_dir(&mut self, path: &CStr, again: bool) -> Result<(), Stop> {
        if self.found.in_working_dir {
            return Ok(());
        }
        match path::change_dir(path) {
            Err(Errno::EACCES) if !again => return Ok(()),
            entered => entered?,
        }
        // CVE-2024-21626: a path through /proc/self/fd may lead back to the host.
        let mut name = [0; libc::PATH_MAX as usize];
        let length = path::working_dir(&mut name)?;
        if length == 0 || name[0] != b'/' {
            return Err(Stop::at(Call::OutsideRoot, Errno::ENOENT));
        }
        self.found.in_working_dir = true;
        Ok(())
    }

    fn candidates(&self) -> &[std::ffi::CString] {
        self.plan
            .steps
            .iter()
            .rev()
            .find_map(|step| match step {
                Step::FindProgram(program) => Some(program.candidates.as_slice()),
                _ => None,
            })
            .unwrap_or_default()
    }

    fn find_program(&mut self, program: &Candidates) -> Result<(), Stop> {
        let mut worst = Stop::from(Errno::ENOENT);
        for (number, path) in program.candidates.iter().enumerate() {
            match may_execute(path) {
                Ok(()) => {
                    self.found.program = number;
                    return Ok(());
                }
                Err(stop) => worst = stop,
            }
        }
        Err(worst)
    }
}

fn may_execute(path: &CStr) -> Result<(), Stop> {
    exec::may_execute(path)?;
    let file = path::open(HERE, path, libc::O_PATH, Resolve::Host)?;
    match path::stat(file.as_fd())?.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Err(Stop::at(Call::Directory, Errno::EACCES)),
        _ => Ok(()),
    }
}

fn write_file(dir: BorrowedFd<'_>, path: &CStr, text: &CStr) -> Result<(), Errno> {
    let file = path::open(dir, path, libc::O_WRONLY, Resolve::Host)?;
    path::write_once(file.as_fd(), text.to_bytes())
}

/// A kernel without keys has none to protect; the keys' quota of a user may be used up, and then
/// the caller's keyring must not be shared: that is an error.
fn new_keyring(name: &CStr) -> Result<(), Stop> {
    match identity::new_keyring(name) {
        Err(Errno::ENOSYS) => Ok(()),
        made => made.map_err(Stop::from),
    }
}

/// What every child does first: signals as a program expects them. Exec leaves ignored ones ignored,
/// such as those that nohup(1) or Rust's own start-up ignores.
pub(super) fn clean_slate() {
    // It cannot fail with valid arguments, and nothing could be told yet.
    let _ = signal::set_mask(signal::Mask::NONE);
    signal::set_all_default();
}
