//! The plan of a process that joins a container which is there.

use std::os::fd::OwnedFd;

use super::host::Host;
use super::security::Labels;
use super::step::{Enter, Join, Kind, Step};
use super::{Birth, Error, Part, Plan, Planner, Wishes};
use crate::spec::Container;
use crate::spec::scheduling::Affinity;
use crate::sys::errno;

/// The container, as it lives.
#[derive(Debug)]
pub struct Target {
    /// The pidfd of its first process.
    pub process: OwnedFd,
    /// `CLONE_NEW*` bits of the namespaces that it does not share with the runtime.
    pub namespaces: u64,
    /// It has groups that clone reaches nobody into.
    pub has_doors: bool,
}

impl Target {
    fn has(&self, kind: Kind) -> bool {
        self.namespaces & kind.bit() != 0
    }

    fn process(&self) -> Result<OwnedFd, Error> {
        self.process
            .try_clone()
            .map_err(|e| Error::Duplicate { errno: errno(&e) })
    }
}

/// Makes the plan of `container.process`, beside the first process of a container that was made of
/// the rest. The tail is that of a first process.
pub fn join(
    container: &Container,
    host: &Host,
    wishes: &Wishes,
    target: &Target,
) -> Result<Plan, Error> {
    let mut planner = Planner {
        container,
        host,
        wishes,
        labels: Labels::of(container, host)?,
        birth: Birth::default(),
        steps: Vec::with_capacity(24),
        users: Vec::new(),
    };
    planner.enter(target)?;
    planner.push(Step::NewSession);
    planner.keyring();
    planner.personality();
    planner.terminal(false);
    planner.process(Part::Guest)?;
    Ok(Plan {
        birth: planner.birth,
        steps: planner.steps,
    })
}

impl Planner<'_> {
    fn enter(&mut self, target: &Target) -> Result<(), Error> {
        self.push(Step::DieWithRuntime);
        let score = self.container.process.as_ref();
        if let Some(score) = score.and_then(|process| process.oom_score_adj) {
            self.birth.dumpable = self.host.uid != 0;
            self.own_oom_score(score);
        }
        // From the first moment among them nobody in the container may look into the process: what it
        // has open is the host's (CVE-2016-9962).
        self.push(Step::BecomeUndumpable);
        self.hold_proc();
        if target.has_doors {
            self.push(Step::JoinGroups);
        }
        if let Some(process) = &self.container.process {
            let Affinity { initial, last } = process.exec_affinity.clone();
            self.birth.affinity = initial;
            self.steps.extend(last.map(Step::Affinity));
        }
        let (user, pid) = (Kind::User.bit(), Kind::Pid.bit());
        // Who is not root has to enter the user namespace first (setns(2)). Root may enter what belongs
        // to any user namespace below its own, but not once it has entered one itself.
        let mut others = target.namespaces & !user;
        if self.can_come_back(target.has(Kind::User)) && target.has(Kind::Pid) {
            others &= !pid;
            self.birth.joins.push(Join {
                namespace: target.process()?,
                kind: Kind::Pid,
                path: c"of the container".into(),
            });
        }
        if self.host.uid == 0 {
            self.enter_namespaces(target, others)?;
            self.enter_namespaces(target, target.namespaces & user)?;
        } else {
            self.enter_namespaces(target, target.namespaces)?;
        }
        if others & pid != 0 {
            self.hand_over(0);
        }
        if target.has(Kind::User) {
            self.become_root();
        }
        Ok(())
    }

    /// All at once; of none nothing.
    fn enter_namespaces(&mut self, target: &Target, namespaces: u64) -> Result<(), Error> {
        if namespaces != 0 {
            let process = target.process()?;
            self.push(Step::Enter(Enter {
                process,
                namespaces,
            }));
        }
        Ok(())
    }
}
