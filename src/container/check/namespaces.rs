//! The eight kinds of namespaces, each made once by a child that ends at once.

use std::os::fd::AsFd;

use nix::errno::Errno;

use super::{Finding, Weight};
use crate::launch::refusal::{explain, restriction};
use crate::sys::clone::{self, Clone, Forked};
use crate::sys::signal;

struct Kind {
    name: &'static str,
    flag: i32,
    weight: Weight,
    /// What no container can have where it is missing.
    gives: &'static str,
}

const KINDS: [Kind; 8] = [
    Kind {
        name: "mount",
        flag: libc::CLONE_NEWNS,
        weight: Weight::Fatal,
        gives: "a root filesystem of its own",
    },
    Kind {
        name: "pid",
        flag: libc::CLONE_NEWPID,
        weight: Weight::Lacking,
        gives: "processes of its own",
    },
    Kind {
        name: "network",
        flag: libc::CLONE_NEWNET,
        weight: Weight::Lacking,
        gives: "network devices and ports of its own",
    },
    Kind {
        name: "ipc",
        flag: libc::CLONE_NEWIPC,
        weight: Weight::Lacking,
        gives: "message queues and shared memory of its own",
    },
    Kind {
        name: "uts",
        flag: libc::CLONE_NEWUTS,
        weight: Weight::Lacking,
        gives: "a host name of its own",
    },
    Kind {
        name: "cgroup",
        flag: libc::CLONE_NEWCGROUP,
        weight: Weight::Lacking,
        gives: "a view of cgroups that starts at its own",
    },
    Kind {
        name: "time",
        flag: libc::CLONE_NEWTIME,
        weight: Weight::Lacking,
        gives: "clocks with an offset",
    },
    Kind {
        name: "user",
        flag: libc::CLONE_NEWUSER,
        weight: Weight::Lacking,
        gives: "users that are others on the host",
    },
];

pub(super) fn all(privileged: bool) -> Vec<Finding> {
    // Who may not make a namespace may make one in a user namespace of his own.
    let with = if privileged { 0 } else { libc::CLONE_NEWUSER };
    KINDS.iter().map(|kind| look(kind, with)).collect()
}

fn look(kind: &Kind, with: i32) -> Finding {
    let subject = format!("namespace {}", kind.name);
    match make(kind.flag | with) {
        Ok(()) if kind.flag == libc::CLONE_NEWUSER => user(subject),
        Ok(()) if with != 0 => Finding::new(
            Weight::Good,
            subject,
            "together with a user namespace",
            format!("a container with a user namespace can have {}", kind.gives),
        ),
        Ok(()) => Finding::new(
            Weight::Good,
            subject,
            "can be made",
            format!("a container can have {}", kind.gives),
        ),
        Err(errno) => Finding::new(
            kind.weight,
            subject,
            format!("cannot be made: {}", cause(errno, kind.flag | with)),
            format!("no container can have {}", kind.gives),
        ),
    }
}

fn cause(errno: Errno, flags: i32) -> String {
    match errno {
        Errno::EINVAL => "the kernel is built without it".into(),
        _ => explain(errno, flags & libc::CLONE_NEWUSER != 0),
    }
}

fn make(flags: i32) -> Result<(), Errno> {
    let what = Clone {
        namespaces: u64::from(flags.cast_unsigned()),
        group: None,
    };
    match clone::clone(&what)? {
        Forked::Child => clone::end(0),
        Forked::Parent { pidfd, .. } => signal::wait(pidfd.as_fd(), true).map(drop),
    }
}

fn user(subject: String) -> Finding {
    let (found, means) = match restriction() {
        None => (
            String::from("can be made"),
            "a container can have users that are others on the host",
        ),
        Some(setting) => (
            format!("can be made; {setting}"),
            "containers can have one; users without privileges may run none",
        ),
    };
    Finding::new(Weight::Good, subject, found, means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_asked_for_once() {
        let all = KINDS.iter().fold(0, |sum, kind| {
            assert_eq!(sum & kind.flag, 0, "{}", kind.name);
            sum | kind.flag
        });
        assert_eq!(all.count_ones(), 8);
    }

    #[test]
    fn what_the_kernel_does_not_know_cannot_be_made() {
        // CLONE_SIGHAND without CLONE_VM is refused by every kernel (clone(2)).
        assert_eq!(make(libc::CLONE_SIGHAND), Err(Errno::EINVAL));
        let kind = Kind {
            name: "signal",
            flag: libc::CLONE_SIGHAND,
            weight: Weight::Fatal,
            gives: "x",
        };
        let finding = look(&kind, 0);
        assert_eq!(finding.weight, Weight::Fatal);
        assert_eq!(
            finding.found,
            "cannot be made: the kernel is built without it"
        );
    }
}
