//! Whether KVM can run a guest. It is tried in a child with a time limit: a kernel that does not
//! come back must not take `check` along.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Finding, Weight, words};
use crate::sys::clone::{self, Clone, Forked};
use crate::sys::kvm::{self, EXIT_HLT, Outcome, Request, STEPS};
use crate::sys::{channel, signal};

/// Milliseconds. A guest that works needs three.
const PATIENCE: u16 = 2000;

/// What the child found out.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Outcome(Outcome),
    /// There is no probe guest for this architecture.
    Untried,
    /// No answer in time, or the child died of it.
    Silent,
}

pub(super) fn kvm() -> Finding {
    let verdict = ask_child().unwrap_or(Verdict::Silent);
    let (weight, found) = describe(&verdict);
    let means = match (weight, &verdict) {
        (Weight::Good, _) => "micro-VMs can run at the speed of the processor",
        (_, Verdict::Untried) => "whether micro-VMs can use it shows when one starts",
        _ => "micro-VMs can only be emulated, many times slower; containers need no KVM",
    };
    Finding::new(weight, "kvm", found, means)
}

fn describe(verdict: &Verdict) -> (Weight, String) {
    let lacking = |text: String| (Weight::Lacking, text);
    match verdict {
        Verdict::Outcome(Outcome::Stopped { exit, step }) => {
            let name = STEPS.get(usize::from(*step)).unwrap_or(&"an unknown step");
            if *exit == EXIT_HLT && usize::from(*step) == STEPS.len() - 1 {
                return (Weight::Good, "usable: a probe guest ran to its end".into());
            }
            lacking(format!(
                "there, but useless: exit {exit} of a probe guest at {name}"
            ))
        }
        Verdict::Outcome(Outcome::Refused { request, errno }) => lacking(match (request, errno) {
            (Request::Open, Errno::ENOENT) => "missing: no /dev/kvm".into(),
            (Request::Open, errno) => format!("cannot be opened: {}", words(*errno)),
            (request, errno) => format!("there, but useless: {request:?}: {}", words(*errno)),
        }),
        Verdict::Untried => lacking("not tried: no probe guest for this architecture".into()),
        Verdict::Silent => lacking(format!(
            "there, but useless: a probe guest gave no answer in {PATIENCE} ms"
        )),
    }
}

fn ask_child() -> Result<Verdict, Errno> {
    let (here, there) = channel::pair()?;
    let what = Clone {
        namespaces: 0,
        group: None,
    };
    let pidfd = match clone::clone(&what)? {
        Forked::Child => {
            for byte in encode(kvm::run_guest()) {
                if channel::send(there.as_fd(), byte).is_err() {
                    break;
                }
            }
            clone::end(0)
        }
        Forked::Parent { pidfd, .. } => pidfd,
    };
    drop(there);

    let mut waiting = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    if poll(&mut waiting, PollTimeout::from(PATIENCE))? == 0 {
        // It may be where no signal reaches it, so its end is not waited for.
        signal::send(pidfd.as_fd(), libc::SIGKILL)?;
        return Ok(Verdict::Silent);
    }
    signal::wait(pidfd.as_fd(), true)?;
    Ok(receive(&here)?.map_or(Verdict::Silent, decode))
}

fn receive(channel: &OwnedFd) -> Result<Option<[u8; 3]>, Errno> {
    let mut bytes = [0; 3];
    for byte in &mut bytes {
        match channel::receive(channel.as_fd())? {
            Some(received) => *byte = received,
            None => return Ok(None),
        }
    }
    Ok(Some(bytes))
}

/// May run in the child.
fn encode(outcome: Option<Outcome>) -> [u8; 3] {
    let byte = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
    match outcome {
        None => [0, 0, 0],
        Some(Outcome::Stopped { exit, step }) => [1, byte(exit), step],
        Some(Outcome::Refused { request, errno }) => {
            [2, request as u8, byte((errno as i32).cast_unsigned())]
        }
    }
}

fn decode(bytes: [u8; 3]) -> Verdict {
    match bytes {
        [1, exit, step] => Verdict::Outcome(Outcome::Stopped {
            exit: exit.into(),
            step,
        }),
        [2, request, errno] if usize::from(request) < Request::ALL.len() => {
            Verdict::Outcome(Outcome::Refused {
                request: Request::ALL[usize::from(request)],
                errno: Errno::from_raw(errno.into()),
            })
        }
        _ => Verdict::Untried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_survives_the_way_to_the_parent() {
        let outcomes = [
            Outcome::Stopped { exit: 17, step: 1 },
            Outcome::Stopped { exit: 5, step: 7 },
            Outcome::Refused {
                request: Request::Open,
                errno: Errno::ENOENT,
            },
            Outcome::Refused {
                request: Request::Run,
                errno: Errno::EFAULT,
            },
        ];
        for outcome in outcomes {
            assert_eq!(decode(encode(Some(outcome))), Verdict::Outcome(outcome));
        }
        assert_eq!(decode(encode(None)), Verdict::Untried);
    }

    #[test]
    fn only_a_guest_that_came_to_its_end_makes_kvm_usable() {
        let stopped = |exit, step| describe(&Verdict::Outcome(Outcome::Stopped { exit, step }));
        assert_eq!(stopped(EXIT_HLT, 7).0, Weight::Good);
        assert_eq!(stopped(EXIT_HLT, 3).0, Weight::Lacking);
        assert_eq!(
            stopped(17, 1).1,
            "there, but useless: exit 17 of a probe guest at cmpxchg16b"
        );
        assert_eq!(describe(&Verdict::Silent).0, Weight::Lacking);
    }
}
