//! The process that becomes CRIU.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use super::step::{Candidates, Gate, Kind, Step, Tree};
use super::{Birth, Plan};
use crate::sys::exec::Words;

/// Images hold the memory of processes.
const UMASK: u32 = 0o077;

impl Plan {
    /// CRIU that saves a container. It outlives a runtime that is killed: it hears of it, and lets the
    /// container go on; and a signal for the caller's group of processes does not reach it. `socket` is where it is spoken to, open over exec; what it writes before it has
    /// its log is in `words`.
    pub fn saving(program: CString, socket: BorrowedFd<'_>, words: OwnedFd) -> Self {
        let mut steps = vec![Step::NewSession, Step::Standard(words), Step::Umask(UMASK)];
        steps.extend(execute(program, socket));
        Self {
            birth: Birth::default(),
            steps,
        }
    }

    /// CRIU that brings back a container for which this would be the plan: in its groups, where what it
    /// makes is as well; and with its root mounted at `at`, which CRIU wants to be no part of another
    /// mount, in a mount namespace that ends with CRIU. Unless CRIU itself `manages_groups`, it is in the
    /// cgroup namespace of the container, which inherits it.
    pub fn restoring(
        &self,
        program: CString,
        socket: BorrowedFd<'_>,
        at: CString,
        manages_groups: bool,
    ) -> Self {
        let mut steps = vec![Step::DieWithRuntime];
        for step in &self.steps {
            match step {
                Step::Gate(Gate::Grouped) => steps.push(Step::Gate(Gate::Grouped)),
                Step::JoinGroups => steps.push(Step::JoinGroups),
                Step::Unshare(kinds) if !manages_groups => {
                    let groups = kinds & Kind::Cgroup.bit();
                    steps.extend((groups != 0).then_some(Step::Unshare(groups)));
                }
                Step::AttachRoot { tree, .. } => {
                    steps.push(Step::Propagate(libc::MS_REC | libc::MS_SLAVE));
                    let path = tree.path.clone();
                    let tree = Tree {
                        path,
                        recursive: true,
                        opened: None,
                        ids: None,
                    };
                    steps.push(Step::AttachRoot {
                        tree,
                        at: at.clone(),
                    });
                }
                _ => {}
            }
        }
        steps.push(Step::Umask(UMASK));
        steps.extend(execute(program, socket));
        Self {
            birth: Birth {
                namespaces: Kind::Mount.bit(),
                group_owner: self.birth.group_owner,
                ..Birth::default()
            },
            steps,
        }
    }
}

fn execute(program: CString, socket: BorrowedFd<'_>) -> Vec<Step> {
    let c = |text: Vec<u8>| CString::new(text).expect("what the kernel has given holds no NUL");
    let env = std::env::vars_os().map(|(mut key, value)| {
        key.push("=");
        key.push(value);
        c(key.into_vec())
    });
    let number = socket.as_raw_fd().to_string().into_bytes();
    let args = vec![c"criu".into(), c"swrk".into(), c(number)];
    vec![
        Step::FindProgram(Candidates {
            name: c"criu".into(),
            candidates: vec![program],
        }),
        Step::Execute {
            args: Words::new(args),
            env: Words::new(env.collect()),
        },
    ]
}
