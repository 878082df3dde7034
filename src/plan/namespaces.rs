//! Which namespaces the process is born in, joins and makes.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use super::host::Groups;
use super::step::{Gate, Join, Kind, Step};
use super::{Birth, Error, Planner};
use crate::spec::container::Namespace;
use crate::spec::units::AbsPath;
use crate::sys;

impl Planner<'_> {
    /// The head of the plan: up to the point where mounts may be made.
    pub(super) fn namespaces(&mut self) -> Result<(), Error> {
        self.push(Step::DieWithRuntime);
        self.oom_score();
        self.hold_proc();
        // Before it is another user's: a systemd of the user moves what is the user's own. And before
        // the cgroup namespace, whose root is the group that it is made in.
        if self.host.unit.is_some() {
            self.push(Step::Gate(Gate::Grouped));
        }
        let all = self.container.namespaces.clone();
        let head = self.steps.len();

        let mut unshare = 0;
        let mut kinds = [
            (Kind::User, &all.user),
            (Kind::Network, &all.network),
            (Kind::Ipc, &all.ipc),
            (Kind::Uts, &all.uts),
            (Kind::Pid, &all.pid),
            (Kind::Time, &all.time),
            (Kind::Mount, &all.mount),
        ];
        // The host's root may join what belongs to any user namespace, but not once it has joined
        // one itself; who is not root has to join it first (setns(2)).
        if self.host.uid == 0 {
            kinds.rotate_left(1);
        }
        for (kind, namespace) in kinds {
            unshare |= self.namespace(kind, namespace)?;
        }
        if self.host.in_user_namespace
            && (!self.birth.joins.is_empty() || self.birth.clocks.is_some())
        {
            self.go_ahead(head, &mut unshare);
        }
        if all.user == Namespace::New {
            self.take_maps();
        }
        let for_children = unshare & (Kind::Pid.bit() | Kind::Time.bit());
        if for_children != 0 || self.joins_pid_itself() {
            self.hand_over(for_children & Kind::Pid.bit());
            unshare &= !for_children;
        }
        if unshare != 0 {
            self.push(Step::Unshare(unshare));
        }
        if !self.container.net_devices.is_empty() {
            self.push(Step::Gate(Gate::Connected));
        }
        // As runc has it: programs that talk to themselves need no network for that.
        if all.network == Namespace::New {
            self.push(Step::SetUpLoopback);
        }
        self.cgroup_namespace(&all.cgroup)
    }

    /// In a user namespace of its own.
    fn take_maps(&mut self) {
        self.birth.id_maps = Some(self.container.id_maps.clone());
        self.birth.dumpable = self.host.uid != 0;
        self.push(Step::Gate(Gate::Mapped));
        if self.makes_clocks_inside() {
            self.clocks();
        }
        if self.host.uid != 0 {
            self.push(Step::BecomeUndumpable);
        }
        self.become_root();
    }

    /// Plans one namespace; the bit of one that the child has to make itself, or 0.
    fn namespace(&mut self, kind: Kind, namespace: &Namespace) -> Result<u64, Error> {
        let user = &self.container.namespaces.user;
        let joins_user = matches!(user, Namespace::Join(_));
        match (kind, namespace) {
            (_, Namespace::Share) => {}
            // Made before anybody lives in it, so not by the clone that makes the child. And who is not
            // the first of its pid namespace may hand over.
            (Kind::Time | Kind::Pid, Namespace::New) if self.makes_clocks_inside() => {
                return Ok(kind.bit());
            }
            (Kind::Time, Namespace::New) => {
                self.birth.clocks = Some(self.container.time_offsets.unwrap_or_default());
            }
            // Who is born in a user namespace of its own has no power over namespaces of the host, and
            // a pid namespace holds for children only: the runtime goes there for a moment.
            (Kind::Pid, Namespace::Join(path)) if !self.joins_pid_itself() => {
                self.birth.joins.push(join(kind, path)?);
            }
            (Kind::Network | Kind::Ipc | Kind::Uts, Namespace::Join(path))
                if *user == Namespace::New =>
            {
                self.birth.joins.push(join(kind, path)?);
            }
            (_, Namespace::Join(path)) => {
                let join = join(kind, path)?;
                if kind == Kind::Mount {
                    refuse_own(&join)?;
                }
                self.push(Step::Join(join));
                if kind == Kind::User {
                    self.become_root();
                }
            }
            // Namespaces belong to the user namespace of who makes them: in a joined one they
            // are made after joining.
            (_, Namespace::New) if joins_user => return Ok(kind.bit()),
            (_, Namespace::New) => self.birth.namespaces |= kind.bit(),
        }
        Ok(0)
    }

    /// A user has power over a pid namespace only in the user namespace that it belongs to: the child
    /// goes there itself.
    fn joins_pid_itself(&self) -> bool {
        let all = &self.container.namespaces;
        let joins = |one: &Namespace| matches!(one, Namespace::Join(_));
        self.host.uid != 0 && joins(&all.user) && joins(&all.pid)
    }

    /// A change of user clears the parent death signal (prctl(2)).
    pub(super) fn become_root(&mut self) {
        self.push(Step::BecomeRoot);
        self.push(Step::DieWithRuntime);
    }

    /// A user has the power to make a time namespace in his user namespace only.
    fn makes_clocks_inside(&self) -> bool {
        let all = &self.container.namespaces;
        self.host.uid != 0 && all.user == Namespace::New && all.time == Namespace::New
    }

    /// Root of a user namespace may go to other namespaces, but not back to its own, which mostly belong
    /// to the host: a process goes ahead, and hands over to one that is born there.
    fn go_ahead(&mut self, head: usize, unshare: &mut u64) {
        let mut steps: Vec<Step> = self.birth.joins.drain(..).map(Step::Join).collect();
        if let Some(clocks) = self.birth.clocks.take() {
            steps.push(Step::Unshare(Kind::Time.bit()));
            steps.extend(clocks.lines().map(Step::Clock));
        }
        // Before the user namespace is left that has the power over them.
        self.steps.splice(head..head, steps);
        let pid = *unshare & Kind::Pid.bit();
        *unshare &= !pid;
        let born = std::mem::take(&mut self.birth.namespaces);
        self.hand_over(born | pid);
    }

    /// Written while /proc lets the process write to its files.
    fn clocks(&mut self) {
        self.push(Step::Unshare(Kind::Time.bit()));
        let clocks = self.container.time_offsets.unwrap_or_default();
        self.steps.extend(clocks.lines().map(Step::Clock));
    }

    pub(super) fn hand_over(&mut self, namespaces: u64) {
        self.push(Step::HandOver(namespaces));
        self.push(Step::DieWithRuntime);
        self.push(Step::Gate(Gate::Adopted));
    }

    fn cgroup_namespace(&mut self, namespace: &Namespace) -> Result<(), Error> {
        if matches!(
            self.host.groups,
            Groups::V1 {
                has_doors: true,
                ..
            }
        ) {
            self.push(Step::JoinGroups);
        }
        match namespace {
            Namespace::Share => {}
            // Rooted in the group of who makes it, and that of clone's caller is the runtime's:
            // the child makes it, when it is in its groups (cgroup_namespaces(7)).
            Namespace::New => self.push(Step::Unshare(Kind::Cgroup.bit())),
            Namespace::Join(path) => {
                let join = join(Kind::Cgroup, path)?;
                self.push(Step::Join(join));
            }
        }
        Ok(())
    }

    pub(super) fn oom_score(&mut self) {
        let Some(process) = &self.container.process else {
            return;
        };
        let Some(score) = process.oom_score_adj else {
            return;
        };
        if self.container.namespaces.user == Namespace::New {
            // Root of a namespace of its own from the first: the file in /proc is the host's root's.
            self.birth.oom_score = Some(score);
        } else {
            self.own_oom_score(score);
        }
    }

    pub(super) fn own_oom_score(&mut self, score: i32) {
        let text = CString::new(score.to_string()).expect("digits hold no NUL");
        self.push(Step::OomScore(text));
    }
}

/// Opens a user namespace.
pub(super) fn user(path: &AbsPath) -> Result<OwnedFd, Error> {
    Ok(join(Kind::User, path)?.namespace)
}

/// Opens a namespace and makes sure it is of the kind that was asked for.
fn join(kind: Kind, path: &AbsPath) -> Result<Join, Error> {
    let (name, shown) = (kind.name(), path.to_string());
    let fault = |errno| Error::OpenNamespace {
        kind: name,
        path: shown.clone(),
        errno,
    };
    let namespace = sys::path::open(
        sys::path::HERE,
        path.as_c_str(),
        libc::O_RDONLY | libc::O_NONBLOCK,
        sys::path::Resolve::Host,
    )
    .map_err(fault)?;
    let found = sys::clone::kind_of(std::os::fd::AsFd::as_fd(&namespace));
    if found != Ok(kind.bit()) {
        return Err(Error::NotTheNamespace {
            kind: name,
            path: shown,
        });
    }
    Ok(Join {
        namespace,
        kind,
        path: path.as_c_str().to_owned(),
    })
}

/// The container's root would become the root of the runtime, and of all beside it.
fn refuse_own(join: &Join) -> Result<(), Error> {
    let own = sys::path::open(
        sys::path::HERE,
        c"/proc/self/ns/mnt",
        libc::O_RDONLY,
        sys::path::Resolve::Host,
    );
    let place = |fd: &std::os::fd::OwnedFd| {
        let stat = sys::path::stat(std::os::fd::AsFd::as_fd(fd))?;
        Ok((stat.st_dev, stat.st_ino))
    };
    let same = own.and_then(|own| Ok(place(&own)? == place(&join.namespace)?));
    match same {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::OwnMountNamespace),
        Err(errno) => Err(Error::OpenNamespace {
            kind: Kind::Mount.name(),
            path: join.path.to_string_lossy().into_owned(),
            errno,
        }),
    }
}

impl Birth {
    /// In words.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.joins.iter().map(|join| {
            let (kind, path) = (join.kind.name(), join.path.to_string_lossy());
            format!("be in the {kind} namespace {path} for the clone")
        }));
        if let Some(clocks) = self.clocks {
            let shift = |(seconds, nanoseconds): (i64, u32)| format!("{seconds}.{nanoseconds:09}");
            let mut line = "make a time namespace".to_string();
            if let Some(offset) = clocks.monotonic {
                line += &format!(", monotonic clock shifted by {} s", shift(offset));
            }
            if let Some(offset) = clocks.boottime {
                line += &format!(", boottime clock shifted by {} s", shift(offset));
            }
            lines.push(line);
        }
        lines.extend(
            self.affinity
                .iter()
                .map(|cpus| format!("be on the processors {cpus} for the clone")),
        );
        let new: Vec<_> = super::step::kinds(self.namespaces).collect();
        lines.push(match new.len() {
            0 => "clone".to_string(),
            _ => format!("clone with new namespaces: {}", new.join(", ")),
        });
        if let Some(maps) = &self.id_maps {
            for (what, list) in [("user", &maps.uids), ("group", &maps.gids)] {
                lines.extend(list.iter().map(|m| {
                    format!(
                        "map {} {what} ids from {} to {} outside",
                        m.size, m.container, m.host
                    )
                }));
            }
        }
        if let Some(score) = self.oom_score {
            lines.push(format!("set the OOM score adjustment to {score}"));
        }
        let grants = &self.grants;
        lines.extend(
            grants
                .rlimits
                .iter()
                .map(|l| super::words::rlimit(l.name, l.soft, l.hard)),
        );
        lines.extend(grants.scheduler.iter().map(ToString::to_string));
        lines.extend(grants.io_priority.iter().map(ToString::to_string));
        lines.extend(self.outside.iter().cloned());
        lines.extend(
            self.group_owner
                .map(|uid| format!("give the group to user {uid}")),
        );
        lines
    }
}
