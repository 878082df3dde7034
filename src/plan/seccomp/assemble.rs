//! Verdicts to instructions.
//!
//! A program of the kernel jumps forwards only, so it is written from its end: whatever is jumped to
//! is there before the jump, and its distance is known. That matters because a conditional jump
//! reaches over 255 instructions and no further.

use libc::sock_filter;

use super::verdicts::{Section, Span, Test, UNKNOWN_ARCH, Verdict, Width, result};
use crate::spec::seccomp::{Action, Compare, Condition};

// linux/bpf_common.h; all loads are of 32 bits.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQ: u16 = 0x15;
const JUMP_GT: u16 = 0x25;
const JUMP_GE: u16 = 0x35;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The farthest target of a conditional jump, less the instruction that may have to come between.
const REACH: usize = 254;

/// An instruction by its distance from the end of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Label(usize);

#[derive(Default)]
struct Assembler {
    /// From the last instruction to the first.
    reversed: Vec<sock_filter>,
    /// Where the latest `RETURN` of each result is.
    returns: Vec<(u32, Label)>,
}

pub(super) fn assemble(sections: &[Section]) -> Vec<sock_filter> {
    let mut assembler = Assembler {
        reversed: Vec::with_capacity(512),
        returns: Vec::with_capacity(8),
    };
    let bodies: Vec<(u32, Label)> = sections
        .iter()
        .rev()
        .map(|section| (section.audit, assembler.section(section)))
        .collect();
    let mut next = assembler.action(UNKNOWN_ARCH);
    for (audit, body) in bodies {
        next = assembler.branch(JUMP_EQ, audit, body, next);
    }
    assembler.push(LOAD, ARCH);

    let mut program = assembler.reversed;
    program.reverse();
    program
}

impl Assembler {
    fn push(&mut self, code: u16, k: u32) -> Label {
        self.reversed.push(sock_filter {
            code,
            jt: 0,
            jf: 0,
            k,
        });
        Label(self.reversed.len() - 1)
    }

    /// How many instructions a jump pushed now would leave out.
    fn distance(&self, target: Label) -> usize {
        self.reversed.len() - 1 - target.0
    }

    /// `target`, or an instruction within reach that does what it does or goes there.
    fn near(&mut self, target: Label) -> Label {
        if self.distance(target) <= REACH {
            return target;
        }
        let there = self.reversed[target.0];
        if there.code == RETURN {
            return self.result(there.k);
        }
        let skip = u32::try_from(self.distance(target)).expect("programs are far shorter");
        self.push(JUMP, skip)
    }

    fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        let yes = self.near(yes);
        let no = self.near(no);
        let skip = |target| u8::try_from(self.distance(target)).expect("made near");
        let (jt, jf) = (skip(yes), skip(no));
        self.reversed.push(sock_filter { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }

    fn action(&mut self, action: Action) -> Label {
        self.result(result(action))
    }

    fn result(&mut self, result: u32) -> Label {
        let known = self.returns.iter().position(|(known, _)| *known == result);
        if let Some(at) = known {
            let label = self.returns[at].1;
            if self.distance(label) <= REACH {
                return label;
            }
        }
        let label = self.push(RETURN, result);
        match known {
            Some(at) => self.returns[at].1 = label,
            None => self.returns.push((result, label)),
        }
        label
    }

    fn section(&mut self, section: &Section) -> Label {
        match &*section.spans {
            [only] => self.verdict(&only.verdict),
            spans => {
                self.tree(spans);
                self.push(LOAD, NUMBER)
            }
        }
    }

    /// A binary search for the span of the number in the accumulator. With two spans and more its
    /// first step is the instruction written last.
    fn tree(&mut self, spans: &[Span]) -> Label {
        if let [only] = spans {
            return self.verdict(&only.verdict);
        }
        let (low, high) = spans.split_at(spans.len() / 2);
        let yes = self.tree(high);
        let no = self.tree(low);
        self.branch(JUMP_GE, high[0].start, yes, no)
    }

    fn verdict(&mut self, verdict: &Verdict) -> Label {
        match verdict {
            Verdict::Action(action) => self.action(*action),
            Verdict::Tests { tests, default } => {
                let default = self.action(*default);
                tests
                    .iter()
                    .rev()
                    .fold(default, |next, test| self.test(test, next))
            }
        }
    }

    fn test(&mut self, test: &Test, next: Label) -> Label {
        let action = self.action(test.action);
        let conditions = test.conditions.iter().rev();
        conditions.fold(action, |met, condition| match test.width {
            Width::Low32 => self.compare_low(condition, met, next),
            Width::All64 => self.compare(condition, met, next),
        })
    }

    /// Of a 64-bit argument both words are compared, the upper one first.
    fn compare(&mut self, condition: &Condition, met: Label, next: Label) -> Label {
        let high = high_word(condition.argument);
        match condition.compare {
            Compare::Masked { mask, value } => {
                let low = self.compare_low(condition, met, next);
                self.masked(high, upper(mask), upper(value), low, next)
            }
            Compare::Eq(value) => {
                let low = self.compare_low(condition, met, next);
                self.branch(JUMP_EQ, upper(value), low, next);
                self.push(LOAD, high)
            }
            Compare::Ne(value) => {
                let low = self.compare_low(condition, met, next);
                self.branch(JUMP_EQ, upper(value), low, met);
                self.push(LOAD, high)
            }
            Compare::Gt(value) | Compare::Ge(value) => {
                let low = self.compare_low(condition, met, next);
                self.bound(high, value, met, next, low)
            }
            Compare::Lt(value) | Compare::Le(value) => {
                let low = self.compare_low(condition, met, next);
                self.bound(high, value, next, met, low)
            }
        }
    }

    /// Compares the upper word with that of `value`; an equal one leaves it to the lower.
    fn bound(&mut self, high: u32, value: u64, above: Label, below: Label, low: Label) -> Label {
        let equal = self.branch(JUMP_EQ, upper(value), low, below);
        self.branch(JUMP_GT, upper(value), above, equal);
        self.push(LOAD, high)
    }

    fn compare_low(&mut self, condition: &Condition, met: Label, next: Label) -> Label {
        let word = low_word(condition.argument);
        let (code, value, yes, no) = match condition.compare {
            Compare::Masked { mask, value } => {
                return self.masked(word, lower(mask), lower(value), met, next);
            }
            Compare::Eq(value) => (JUMP_EQ, value, met, next),
            Compare::Ne(value) => (JUMP_EQ, value, next, met),
            Compare::Gt(value) => (JUMP_GT, value, met, next),
            Compare::Ge(value) => (JUMP_GE, value, met, next),
            Compare::Lt(value) => (JUMP_GE, value, next, met),
            Compare::Le(value) => (JUMP_GT, value, next, met),
        };
        self.branch(code, lower(value), yes, no);
        self.push(LOAD, word)
    }

    fn masked(&mut self, word: u32, mask: u32, value: u32, met: Label, next: Label) -> Label {
        if mask == 0 {
            return met;
        }
        self.branch(JUMP_EQ, value, met, next);
        if mask != u32::MAX {
            self.push(AND, mask);
        }
        self.push(LOAD, word)
    }
}

/// `seccomp_data.args` are numbers in the machine's own byte order.
fn low_word(argument: u8) -> u32 {
    ARGUMENTS + 8 * u32::from(argument) + if cfg!(target_endian = "big") { 4 } else { 0 }
}

fn high_word(argument: u8) -> u32 {
    ARGUMENTS + 8 * u32::from(argument) + if cfg!(target_endian = "big") { 0 } else { 4 }
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
fn lower(value: u64) -> u32 {
    value as u32
}

fn upper(value: u64) -> u32 {
    lower(value >> 32)
}
