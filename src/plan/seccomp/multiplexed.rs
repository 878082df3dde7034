//! 32-bit x86 programs make socket and System V calls also through `socketcall(2)` and `ipc(2)`.

use super::calls::Call;
use super::verdicts::{Entry, Named, Says, Test, Width, alternatives, result};
use crate::spec::seccomp::{Action, Arch, Compare, Condition, Rule};

/// The first argument by which `socketcall(2)` or `ipc(2)` is told to make another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Multiplexed {
    Socketcall(u32),
    Ipc(u32),
}

impl Multiplexed {
    /// All calls that may be made so, in their order.
    fn all() -> Vec<(Call, Self)> {
        let known = |(name, way): (&str, Self)| Some((Call::find(name)?, way));
        let sockets = SOCKETCALL
            .iter()
            .map(|(name, n)| (*name, Self::Socketcall(*n)));
        let others = IPC.iter().map(|(name, n)| (*name, Self::Ipc(*n)));
        let mut all: Vec<_> = sockets.chain(others).filter_map(known).collect();
        all.sort_unstable();
        all
    }

    /// The multiplexer's name.
    fn made_by(self) -> Call {
        let name = match self {
            Self::Socketcall(_) => "socketcall",
            Self::Ipc(_) => "ipc",
        };
        Call::find(name).expect("the table has both")
    }
}

/// `SYS_*` of linux/net.h.
const SOCKETCALL: &[(&str, u32)] = &[
    ("accept", 5),
    ("accept4", 18),
    ("bind", 2),
    ("connect", 3),
    ("getpeername", 7),
    ("getsockname", 6),
    ("getsockopt", 15),
    ("listen", 4),
    ("recv", 10),
    ("recvfrom", 12),
    ("recvmmsg", 19),
    ("recvmsg", 17),
    ("send", 9),
    ("sendmmsg", 20),
    ("sendmsg", 16),
    ("sendto", 11),
    ("setsockopt", 14),
    ("shutdown", 13),
    ("socket", 1),
    ("socketpair", 8),
];

/// The numbers of linux/ipc.h.
const IPC: &[(&str, u32)] = &[
    ("msgctl", 14),
    ("msgget", 13),
    ("msgrcv", 12),
    ("msgsnd", 11),
    ("semctl", 3),
    ("semget", 2),
    ("semop", 1),
    ("semtimedop", 4),
    ("shmat", 21),
    ("shmctl", 24),
    ("shmdt", 22),
    ("shmget", 23),
];

/// What the rules for those calls say about the two multiplexers. A rule without conditions for a
/// multiplexer itself outweighs it, as in libseccomp.
pub(super) fn multiplexed_tests<'p>(named: &[Named<'p>], default: Action) -> Vec<Entry<'p>> {
    let all = Multiplexed::all();
    let mut ways: Vec<(Multiplexed, Named)> = named
        .iter()
        .filter(|named| !named.redundant)
        .filter_map(|named| {
            let at = all.binary_search_by_key(&named.call, |(call, _)| *call);
            Some((all[at.ok()?].1, *named))
        })
        .collect();
    ways.sort_by_key(|(way, _)| *way);
    let mut entries = Vec::new();
    for group in ways.chunk_by(|a, b| a.0 == b.0) {
        let (way, named) = group[0];
        let action = unseen_action(group.iter().map(|(_, named)| named.rule), default);
        if action != default
            && let Some(number) = way.made_by().number(Arch::X86)
        {
            entries.push(Entry {
                number,
                call: named.call,
                says: Says::Test(told_to(way, action)),
            });
        }
    }
    entries
}

/// What becomes of a call whose arguments are in the caller's memory, where no filter sees them:
/// the strictest of what the rules and the default would give. libseccomp instead compares the
/// multiplexer's own arguments with those numbers, and so allows what the profile denies.
fn unseen_action<'p>(rules: impl Iterator<Item = &'p Rule>, default: Action) -> Action {
    let mut strictest = default;
    for rule in rules {
        if alternatives(rule, Width::Low32).iter().any(Vec::is_empty) {
            return rule.action;
        }
        // seccomp(2): results are ordered as signed numbers, the strictest first.
        if result(rule.action).cast_signed() < result(strictest).cast_signed() {
            strictest = rule.action;
        }
    }
    strictest
}

/// Whether the multiplexer is told to make the call.
fn told_to(way: Multiplexed, action: Action) -> Test {
    let compare = match way {
        Multiplexed::Socketcall(number) => Compare::Eq(number.into()),
        // ipc(2) takes the upper half for a version of its own: with it set a comparison of the
        // whole argument would not see the call.
        Multiplexed::Ipc(number) => Compare::Masked {
            mask: 0xffff,
            value: number.into(),
        },
    };
    Test {
        conditions: vec![Condition {
            argument: 0,
            compare,
        }],
        width: Width::Low32,
        action,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_multiplexed_call_is_known() {
        assert_eq!(Multiplexed::all().len(), SOCKETCALL.len() + IPC.len());
    }
}
