//! Random profiles: those with one action against the filters that the `seccompiler` crate makes of
//! them, those with many against what any order of their rules would allow.

use std::collections::BTreeMap;

use libc::sock_filter;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::super::verdicts::result;
use super::*;
use crate::spec::seccomp::{Action, Compare, Condition, Flags, Rule};

/// Numbers that are the same in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Often near the edge of a word.
    fn value(&mut self) -> u64 {
        const EDGES: [u64; 6] = [0, 5, 0xffff_ffff, 0x1_0000_0000, 0x2_0000_0005, u64::MAX];
        match self.below(4) {
            0 => self.next(),
            _ => EDGES[usize::try_from(self.below(6)).unwrap()].wrapping_add(self.below(3)),
        }
    }

    fn compare(&mut self) -> Compare {
        let value = self.value();
        match self.below(7) {
            0 => Compare::Ne(value),
            1 => Compare::Lt(value),
            2 => Compare::Le(value),
            3 => Compare::Eq(value),
            4 => Compare::Ge(value),
            5 => Compare::Gt(value),
            // A mask without bits makes a condition that always holds.
            _ => Compare::Masked {
                mask: self.value() | 1 << self.below(64),
                value,
            },
        }
    }

    fn conditions(&mut self) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for argument in 0..3 {
            if self.below(2) == 0 {
                conditions.push(Condition {
                    argument,
                    compare: self.compare(),
                });
            }
        }
        conditions
    }
}

const CALLS: [(&str, u32); 6] = [
    ("read", 0),
    ("write", 1),
    ("mmap", 9),
    ("ioctl", 16),
    ("openat", 257),
    ("clone3", 435),
];

fn theirs(rules: &[Rule], default: SeccompAction, action: SeccompAction) -> Vec<sock_filter> {
    let mut map: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules {
        let number = CALLS
            .iter()
            .find(|(name, _)| *name == rule.names[0])
            .unwrap()
            .1;
        let conditions = rule.conditions.iter().map(|condition| {
            let (op, value) = match condition.compare {
                Compare::Ne(value) => (SeccompCmpOp::Ne, value),
                Compare::Lt(value) => (SeccompCmpOp::Lt, value),
                Compare::Le(value) => (SeccompCmpOp::Le, value),
                Compare::Eq(value) => (SeccompCmpOp::Eq, value),
                Compare::Ge(value) => (SeccompCmpOp::Ge, value),
                Compare::Gt(value) => (SeccompCmpOp::Gt, value),
                Compare::Masked { mask, value } => (SeccompCmpOp::MaskedEq(mask), value),
            };
            let length = SeccompCmpArgLen::Qword;
            SeccompCondition::new(condition.argument, length, op, value).unwrap()
        });
        let list = map.entry(number.into()).or_default();
        if !rule.conditions.is_empty() {
            list.push(SeccompRule::new(conditions.collect()).unwrap());
        }
    }
    let filter = SeccompFilter::new(map, default, action, TargetArch::x86_64).unwrap();
    BpfProgram::try_from(filter)
        .unwrap()
        .iter()
        .map(|step| sock_filter {
            code: step.code,
            jt: step.jt,
            jf: step.jf,
            k: step.k,
        })
        .collect()
}

/// One to four rules for some of the calls; a call has conditions in all its rules or none.
fn random_rules(numbers: &mut Numbers, action: Action) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (name, _) in CALLS {
        let plain = numbers.below(4) == 0;
        for _ in 0..numbers.below(5) {
            let conditions = if plain {
                Vec::new()
            } else {
                numbers.conditions()
            };
            if plain || !conditions.is_empty() {
                rules.push(Rule {
                    names: vec![name.into()],
                    action,
                    conditions,
                });
            }
        }
    }
    rules
}

#[test]
fn filters_with_one_action_agree_with_those_of_seccompiler() {
    let mut numbers = Numbers(0x5eed);
    let mut met = [0, 0];
    for turn in 0..300 {
        let rules = random_rules(&mut numbers, Action::Errno(7));
        let theirs = theirs(&rules, SeccompAction::Allow, SeccompAction::Errno(7));
        let profile = Profile {
            default: Action::Allow,
            archs: vec![],
            flags: Flags::default(),
            rules,
            agent: None,
        };
        let ours = compile_for(&profile, Arch::X86_64).unwrap();
        verify(ours.instructions());
        for _ in 0..100 {
            let number = match numbers.below(8) {
                0 => u32::try_from(numbers.below(500)).unwrap(),
                _ => CALLS[usize::try_from(numbers.below(6)).unwrap()].1,
            };
            let call = Call {
                audit: X86_64,
                number,
                args: std::array::from_fn(|_| numbers.value()),
            };
            let expected = run(&theirs, &call);
            assert_eq!(
                run(ours.instructions(), &call),
                expected,
                "{turn} {call:x?} {profile:x?}"
            );
            met[usize::from(expected == ALLOW)] += 1;
        }
    }
    assert!(
        met[0] > 3000 && met[1] > 3000,
        "both answers are met: {met:?}"
    );
}

fn holds(condition: &Condition, args: &[u64; 6], bits: u64) -> bool {
    let given = args[usize::from(condition.argument)] & bits;
    match condition.compare {
        Compare::Ne(value) => given != value & bits,
        Compare::Lt(value) => given < value & bits,
        Compare::Le(value) => given <= value & bits,
        Compare::Eq(value) => given == value & bits,
        Compare::Ge(value) => given >= value & bits,
        Compare::Gt(value) => given > value & bits,
        Compare::Masked { mask, value } => (given ^ value) & mask & bits == 0,
    }
}

/// The results that a call may have: of the rules that match it, or the default if none does.
fn possible(profile: &Profile, name: &str, args: &[u64; 6], bits: u64) -> Vec<u32> {
    let matching: Vec<&Rule> = profile
        .rules
        .iter()
        .filter(|rule| rule.names[0] == name && rule.action != profile.default)
        .filter(|rule| rule.conditions.iter().all(|c| holds(c, args, bits)))
        .collect();
    let always = |rule: &&&Rule| {
        rule.conditions.iter().all(|c| match c.compare {
            Compare::Masked { mask, .. } => mask & bits == 0,
            _ => false,
        })
    };
    if let Some(rule) = matching.iter().find(always) {
        return vec![result(rule.action)];
    }
    if matching.is_empty() {
        return vec![result(profile.default)];
    }
    matching.iter().map(|rule| result(rule.action)).collect()
}

#[test]
fn a_call_gets_what_a_matching_rule_gives_and_nothing_else() {
    const ACTIONS: [Action; 7] = [
        Action::Allow,
        Action::Log,
        Action::Trace(3),
        Action::Errno(5),
        Action::Trap,
        Action::KillThread,
        Action::KillProcess,
    ];
    let mut numbers = Numbers(0xacce55);
    let action = |numbers: &mut Numbers| ACTIONS[usize::try_from(numbers.below(7)).unwrap()];
    let mut compared = 0;
    for turn in 0..400 {
        let default = action(&mut numbers);
        let mut rules = random_rules(&mut numbers, Action::Allow);
        for rule in &mut rules {
            rule.action = action(&mut numbers);
        }
        // The largest numbers of x86_64 and x32 here: none below is that of a call to come.
        rules.push(Rule {
            names: vec!["futex_waitv".into(), "pwritev2".into()],
            action: Action::Log,
            conditions: vec![],
        });
        let profile = Profile {
            default,
            archs: vec![Arch::X32, Arch::X86_64],
            flags: Flags::default(),
            rules,
            agent: None,
        };
        let Ok(program) = compile_for(&profile, Arch::X86_64) else {
            continue;
        };
        verify(program.instructions());
        for _ in 0..60 {
            let (name, number) = CALLS[usize::try_from(numbers.below(6)).unwrap()];
            let args = std::array::from_fn(|_| numbers.value());
            // ioctl has a number of its own on x32.
            let x32 = X32_BIT | if name == "ioctl" { 514 } else { number };
            for (number, bits) in [(number, u64::MAX), (x32, 0xffff_ffff)] {
                let call = Call {
                    audit: X86_64,
                    number,
                    args,
                };
                let found = run(program.instructions(), &call);
                let expected = possible(&profile, name, &args, bits);
                assert!(
                    expected.contains(&found),
                    "{turn} {found:#x} {call:x?} {profile:x?}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 20_000, "{compared}");
}
