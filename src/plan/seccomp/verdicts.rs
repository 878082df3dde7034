//! What a profile says about each number of each architecture.

use std::cmp::{Ordering, Reverse};

use super::Error;
use super::calls::{Call, X32_BIT};
use super::multiplexed::multiplexed_tests;
use crate::spec::seccomp::{Action, Arch, Compare, Condition, Profile, Rule};

/// The numbers of one `AUDIT_ARCH_*`, which is how the kernel tells architectures apart.
#[derive(Debug)]
pub(super) struct Section {
    pub audit: u32,
    /// By rising start, the first one 0; each reaches to the next.
    pub spans: Vec<Span>,
}

#[derive(Debug)]
pub(super) struct Span {
    pub start: u32,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Action(Action),
    /// The first whose conditions all hold; the profile's default if none is.
    Tests {
        tests: Vec<Test>,
        default: Action,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// By rising argument.
    pub conditions: Vec<Condition>,
    pub width: Width,
    pub action: Action,
}

/// How much of an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// The calls of 32-bit programs, x32 among them: libseccomp cuts the profile's numbers, so that
    /// -1 written with 64 bits is -1 here too.
    Low32,
    All64,
}

/// What libseccomp answers a call of an architecture that the filter does not know.
pub(super) const UNKNOWN_ARCH: Action = Action::KillThread;

const ENOSYS: Action = Action::Errno(38);

/// A rule under one of its names.
#[derive(Clone, Copy)]
pub(super) struct Named<'p> {
    pub call: Call,
    pub rule: &'p Rule,
    /// Asks for what the default gives. runc leaves such rules out, but counts their calls as known.
    pub redundant: bool,
}

/// Something that is said about one number.
pub(super) struct Entry<'p> {
    pub number: u32,
    pub call: Call,
    pub says: Says<'p>,
}

pub(super) enum Says<'p> {
    Rule(&'p Rule),
    Test(Test),
}

/// The sections of `profile` that a kernel of `native` can meet, its own first.
pub(super) fn sections(profile: &Profile, native: Arch) -> Result<Vec<Section>, Error> {
    // No call of the other family reaches this kernel, so a section for it would be dead.
    let family: &[Arch] = match native {
        Arch::X86_64 | Arch::X86 | Arch::X32 => &[Arch::X86_64, Arch::X32, Arch::X86],
        Arch::Aarch64 | Arch::Arm => &[Arch::Aarch64, Arch::Arm],
    };
    let named = resolve_names(profile);
    let mut sections: Vec<Section> = Vec::with_capacity(2);
    for &arch in family {
        if arch != native && !profile.archs.contains(&arch) {
            continue;
        }
        let spans = lay_spans(&named, profile.default, arch)?;
        match sections.last_mut() {
            Some(last) if last.audit == audit(arch) => last.spans.extend(spans),
            _ => sections.push(Section {
                audit: audit(arch),
                spans,
            }),
        }
    }
    for section in &mut sections {
        close_x32(section, profile.default);
    }
    Ok(sections)
}

/// `AUDIT_ARCH_*` of linux/audit.h. An x32 call is one of x86_64 by its architecture.
fn audit(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 | Arch::X32 => 0xc000_003e,
        Arch::X86 => 0x4000_0003,
        Arch::Aarch64 => 0xc000_00b7,
        Arch::Arm => 0x4000_0028,
    }
}

/// Ends the x86_64 numbers where those of x32 begin, unless the profile has x32: a kernel that
/// takes such calls would run them past every rule.
fn close_x32(section: &mut Section, default: Action) {
    let x32 = section.spans.iter().any(|span| span.start >= X32_BIT);
    if section.audit != audit(Arch::X86_64) || x32 {
        return;
    }
    section.spans.push(Span {
        start: X32_BIT,
        verdict: Verdict::Action(UNKNOWN_ARCH),
    });
    // A tracer skips a call by making its number -1, and the filter sees that (seccomp(2)).
    section.spans.push(Span {
        start: u32::MAX,
        verdict: Verdict::Action(default),
    });
}

/// Names that no architecture knows are left out, as by runc: profiles name calls of kernels and
/// machines to come.
fn resolve_names(profile: &Profile) -> Vec<Named<'_>> {
    let mut named = Vec::with_capacity(512);
    for rule in &profile.rules {
        let calls = rule.names.iter().filter_map(|name| Call::find(name));
        named.extend(calls.map(|call| Named {
            call,
            rule,
            redundant: rule.action == profile.default,
        }));
    }
    named
}

fn lay_spans(named: &[Named], default: Action, arch: Arch) -> Result<Vec<Span>, Error> {
    let mut entries = Vec::with_capacity(named.len());
    let mut last = None;
    for Named {
        call,
        rule,
        redundant,
    } in named
    {
        let Some(number) = call.number(arch) else {
            continue;
        };
        last = last.max(Some(number));
        if !redundant {
            entries.push(Entry {
                number,
                call: *call,
                says: Says::Rule(rule),
            });
        }
    }
    if arch == Arch::X86 {
        let told = multiplexed_tests(named, default);
        last = last.max(told.iter().map(|entry| entry.number).max());
        entries.extend(told);
    }
    // Stable, so that the rules of one number stay in the order of the document.
    entries.sort_by_key(|entry| entry.number);

    let mut verdicts = Vec::with_capacity(entries.len());
    for group in entries.chunk_by(|a, b| a.number == b.number) {
        verdicts.push((group[0].number, weigh(group, width(arch), default)?));
    }
    let first = if arch == Arch::X32 { X32_BIT } else { 0 };
    Ok(fill_gaps(first, verdicts, last, default))
}

/// The whole run of numbers from `first` on. Numbers above `last`, the largest that the profile
/// knows, are answered with ENOSYS if the default refuses: runc does so because libc falls back to
/// older calls on ENOSYS alone, and a profile is often older than a libc.
fn fill_gaps(
    first: u32,
    verdicts: Vec<(u32, Verdict)>,
    last: Option<u32>,
    default: Action,
) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::with_capacity(verdicts.len());
    let mut push = |start: u32, verdict: Verdict| {
        if spans.last().is_none_or(|span| span.verdict != verdict) {
            spans.push(Span { start, verdict });
        }
    };
    let mut next = first;
    for (number, verdict) in verdicts {
        if number > next {
            push(next, Verdict::Action(default));
        }
        push(number, verdict);
        next = number + 1;
    }
    // A tracer and an agent see calls to come as well, and answer for themselves.
    let refuses = !matches!(
        default,
        Action::Allow | Action::Log | Action::Trace(_) | Action::Notify
    );
    match last {
        Some(last) if refuses => {
            if last >= next {
                push(next, Verdict::Action(default));
            }
            push(last + 1, Verdict::Action(ENOSYS));
        }
        _ => push(next, Verdict::Action(default)),
    }
    spans
}

fn width(arch: Arch) -> Width {
    match arch {
        Arch::X86_64 | Arch::Aarch64 => Width::All64,
        Arch::X86 | Arch::X32 | Arch::Arm => Width::Low32,
    }
}

/// The verdict on one number from all the rules about it, which are not empty.
///
/// In libseccomp a rule without conditions replaces those with conditions and cannot be replaced.
fn weigh(group: &[Entry], width: Width, default: Action) -> Result<Verdict, Error> {
    let mut tests: Vec<Test> = Vec::new();
    for entry in group {
        let rule = match &entry.says {
            Says::Rule(rule) => rule,
            Says::Test(test) => {
                tests.push(test.clone());
                continue;
            }
        };
        if rule.conditions.is_empty() {
            return Ok(Verdict::Action(rule.action));
        }
        for conditions in alternatives(rule, width) {
            if conditions.is_empty() {
                return Ok(Verdict::Action(rule.action));
            }
            tests.push(Test {
                conditions,
                width,
                action: rule.action,
            });
        }
    }
    order_tests(tests, default).ok_or_else(|| Error::Conflict {
        call: group[0].call.name().into(),
    })
}

/// The conditions of a rule, any one list of which has to hold.
pub(super) fn alternatives(rule: &Rule, width: Width) -> Vec<Vec<Condition>> {
    let mut conditions: Vec<Condition> = rule.conditions.clone();
    conditions.sort_by_key(|condition| condition.argument);
    let twice = conditions
        .windows(2)
        .any(|pair| pair[0].argument == pair[1].argument);
    let cut = |condition: &Condition| cut_condition(*condition, width);
    if twice {
        // runc: "revert to old behavior, adding each condition as a separate rule".
        let alone = |condition| cut(condition).into_iter().collect();
        rule.conditions.iter().map(alone).collect()
    } else {
        vec![conditions.iter().filter_map(cut).collect()]
    }
}

/// The condition on what is compared of an argument; nothing if it always holds.
fn cut_condition(condition: Condition, width: Width) -> Option<Condition> {
    let bits = match width {
        Width::Low32 => u64::from(u32::MAX),
        Width::All64 => u64::MAX,
    };
    let compare = match condition.compare {
        Compare::Masked { mask, .. } if mask & bits == 0 => return None,
        // libseccomp masks both sides.
        Compare::Masked { mask, value } => Compare::Masked {
            mask: mask & bits,
            value: value & mask & bits,
        },
        Compare::Ne(value) => Compare::Ne(value & bits),
        Compare::Lt(value) => Compare::Lt(value & bits),
        Compare::Le(value) => Compare::Le(value & bits),
        Compare::Eq(value) => Compare::Eq(value & bits),
        Compare::Ge(value) => Compare::Ge(value & bits),
        Compare::Gt(value) => Compare::Gt(value & bits),
    };
    Some(Condition {
        compare,
        ..condition
    })
}

/// Nothing if two tests have the same conditions and different actions: libseccomp then refuses
/// the profile.
fn order_tests(mut tests: Vec<Test>, default: Action) -> Option<Verdict> {
    tests.sort_by(compare_tests);
    tests.dedup();
    let clash = |pair: &[Test]| pair[0].conditions == pair[1].conditions;
    if tests.windows(2).any(clash) {
        return None;
    }
    Some(Verdict::Tests { tests, default })
}

/// The order in which libseccomp asks, whatever that of the document: higher arguments first; of one
/// argument equality, then upper bounds by rising value, then lower bounds by falling value, so that
/// the narrower one is met first; a test before those that add conditions to it. It matters only
/// where rules with different actions overlap.
fn compare_tests(a: &Test, b: &Test) -> Ordering {
    a.conditions
        .iter()
        .map(rank)
        .cmp(b.conditions.iter().map(rank))
}

fn rank(condition: &Condition) -> (Reverse<u8>, u8, Reverse<u64>, u8, u64) {
    let (class, value, kind, mask) = match condition.compare {
        Compare::Masked { mask, value } => (0, value, 0, mask),
        Compare::Eq(value) => (0, value, 1, 0),
        Compare::Ne(value) => (0, value, 2, 0),
        Compare::Lt(value) => (1, !value, 0, 0),
        Compare::Le(value) => (1, !value, 1, 0),
        Compare::Gt(value) => (2, value, 0, 0),
        Compare::Ge(value) => (2, value, 1, 0),
    };
    (
        Reverse(condition.argument),
        class,
        Reverse(value),
        kind,
        mask,
    )
}

/// `SECCOMP_RET_*` with its data, of linux/seccomp.h.
pub(super) fn result(action: Action) -> u32 {
    match action {
        Action::KillProcess => 0x8000_0000,
        Action::KillThread => 0,
        Action::Trap => 0x0003_0000,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::Notify => 0x7fc0_0000,
        Action::Trace(message) => 0x7ff0_0000 | u32::from(message),
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    }
}
