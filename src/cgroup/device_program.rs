//! Device rules as an eBPF program, for cgroup v2, which has no devices controller.
//!
//! The kernel runs it for each open and mknod of a device with the kind, the accesses asked for and
//! the numbers; 1 allows and 0 denies. The program goes through the rules from the last to the
//! first and strikes out each access that a rule allows: what a rule denies before it is struck out
//! is denied, and so is what no rule allows.

use super::devices::rules;
use crate::spec::limits::{Access, DeviceKind, DeviceRule};
use crate::sys::bpf::Instruction;

// linux/bpf.h: bpf_cgroup_dev_ctx, and the bits of its access_type.
const ACCESS_TYPE: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;
const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const ACCESS_MKNOD: i32 = 1;
const ACCESS_READ: i32 = 2;
const ACCESS_WRITE: i32 = 4;

// Operation codes: linux/bpf_common.h and Documentation/bpf/standardization/instruction-set.rst.
const LOAD_WORD: u8 = 0x61;
const SET: u8 = 0xb4;
const MOVE: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_ALWAYS: u8 = 0x05;
const JUMP_NOT_EQUAL: u8 = 0x56;
const JUMP_ANY_BIT: u8 = 0x46;
const EXIT: u8 = 0x95;

// Registers. R0 is the answer and R1 the context at the start.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR_NUMBER: u8 = 4;
const MINOR_NUMBER: u8 = 5;

const fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: from << 4 | to,
        offset,
        immediate,
    }
}

/// All operations are on 32 bits, so that a number above 2^31 is not taken as negative.
const PROLOGUE: [Instruction; 6] = [
    op(LOAD_WORD, KIND, CONTEXT, ACCESS_TYPE, 0),
    op(MOVE, WANTED, KIND, 0, 0),
    op(SHIFT_RIGHT, WANTED, 0, 0, 16),
    op(AND, KIND, 0, 0, 0xffff),
    op(LOAD_WORD, MAJOR_NUMBER, CONTEXT, MAJOR, 0),
    op(LOAD_WORD, MINOR_NUMBER, CONTEXT, MINOR, 0),
];

/// The program for the document's rules and the default devices.
pub(super) fn compile(asked: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = PROLOGUE.to_vec();
    for rule in rules(asked).rev() {
        compile_rule(&mut program, &rule);
    }
    program.extend(answer(0));
    program
}

fn answer(value: i32) -> [Instruction; 2] {
    [op(SET, ANSWER, 0, 0, value), op(EXIT, 0, 0, 0, 0)]
}

fn compile_rule(program: &mut Vec<Instruction>, rule: &DeviceRule) {
    let kind = match rule.kind {
        DeviceKind::All => None,
        DeviceKind::Block => Some(BLOCK),
        DeviceKind::Char => Some(CHAR),
    };
    let access = bits(rule.access);
    let verdict: &[Instruction] = &match rule.allow {
        // Any denied access left: no.
        false => [
            &[
                op(JUMP_ANY_BIT, WANTED, 0, 1, access),
                op(JUMP_ALWAYS, 0, 0, 2, 0),
            ],
            &answer(0)[..],
        ]
        .concat(),
        // Nothing left to allow: yes.
        true => [
            &[
                op(AND, WANTED, 0, 0, !access),
                op(JUMP_NOT_EQUAL, WANTED, 0, 2, 0),
            ],
            &answer(1)[..],
        ]
        .concat(),
    };
    let tests = [
        (KIND, kind),
        (MAJOR_NUMBER, rule.major.map(u32::cast_signed)),
        (MINOR_NUMBER, rule.minor.map(u32::cast_signed)),
    ];
    let tests: Vec<(u8, i32)> = tests
        .iter()
        .filter_map(|(r, v)| Some((*r, (*v)?)))
        .collect();
    let rest = tests.len() + verdict.len();
    for (at, (register, value)) in tests.iter().enumerate() {
        let skip = i16::try_from(rest - at - 1).expect("a rule is at most seven instructions");
        program.push(op(JUMP_NOT_EQUAL, *register, 0, skip, *value));
    }
    program.extend(verdict);
}

fn bits(access: Access) -> i32 {
    let Access { read, write, mknod } = access;
    let bit = |on: bool, bit: i32| if on { bit } else { 0 };
    bit(read, ACCESS_READ) | bit(write, ACCESS_WRITE) | bit(mknod, ACCESS_MKNOD)
}

#[cfg(test)]
mod tests {
    use super::super::devices::tests::rule;
    use super::*;

    /// Runs a program as the kernel does, on the context of one request.
    fn run(program: &[Instruction], context: [u32; 3]) -> u32 {
        let mut registers = [0xdead_beef_u32; 11];
        let mut at = 0;
        for _ in 0..program.len() + 1 {
            let Instruction {
                code,
                registers: r,
                offset,
                immediate,
            } = program[at];
            let (to, from) = (usize::from(r & 15), usize::from(r >> 4));
            let value = immediate.cast_unsigned();
            let mut jump = false;
            match code {
                LOAD_WORD => registers[to] = context[usize::try_from(offset).unwrap() / 4],
                SET => registers[to] = value,
                MOVE => registers[to] = registers[from],
                AND => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                JUMP_ALWAYS => jump = true,
                JUMP_NOT_EQUAL => jump = registers[to] != value,
                JUMP_ANY_BIT => jump = registers[to] & value != 0,
                EXIT => return registers[0],
                _ => panic!("unknown instruction {code:#x}"),
            }
            at += 1;
            if jump {
                at += usize::try_from(offset).unwrap();
            }
        }
        panic!("the program does not end");
    }

    /// `c 1:3 rw`: what a process asks for.
    fn allowed(program: &[Instruction], request: &str) -> bool {
        let want = rule(&format!("+{request}"));
        let kind = if want.kind == DeviceKind::Block {
            BLOCK
        } else {
            CHAR
        };
        let access_type = (bits(want.access) << 16 | kind).cast_unsigned();
        let context = [access_type, want.major.unwrap(), want.minor.unwrap()];
        run(program, context) == 1
    }

    #[test]
    fn the_last_rule_that_speaks_of_an_access_decides() {
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            // rules, allowed requests, denied requests
            (
                &[],
                &[
                    "c 1:3 rw",
                    "c 5:0 rwm",
                    "c 136:7 rw",
                    "c 5:2 r",
                    "b 8:0 m",
                    "c 9:9 m",
                ],
                &[
                    "b 8:0 r",
                    "c 1:1 r",
                    "c 1:11 w",
                    "c 10:229 rw",
                    "b 1:3 r",
                    "b 8:0 rm",
                ],
            ),
            (
                &["-a *:* rwm"],
                &["c 1:3 rw", "b 8:0 m"],
                &["b 8:0 r", "c 1:1 r"],
            ),
            (&["+a *:* rwm"], &["b 8:0 rw", "c 1:1 rwm"], &[]),
            (
                &["+a *:* rwm", "-b 8:* w"],
                &["b 8:0 r", "b 9:0 rw"],
                &["b 8:0 w", "b 8:1 rw"],
            ),
            (
                &["-b 8:* w", "+b 8:0 rw"],
                &["b 8:0 rw"],
                &["b 8:1 w", "b 8:1 r"],
            ),
            (
                &["+c 10:* rw", "-c 10:3 w"],
                &["c 10:3 r", "c 10:4 rw"],
                &["c 10:3 rw", "c 10:3 w"],
            ),
            // Two rules allow one request together.
            (
                &["+c 10:1 r", "+c *:1 w"],
                &["c 10:1 rw"],
                &["c 11:1 rw", "c 10:2 r"],
            ),
            // Numbers that are negative as 32 bits.
            (
                &["+c 4294967295:2147483648 r"],
                &["c 4294967295:2147483648 r"],
                &["c 4294967295:2147483647 r"],
            ),
            // The default devices cannot be taken away.
            (&["+a *:* rwm", "-c 1:3 rwm"], &["c 1:3 rwm"], &[]),
            (&["-a 8:0 rw"], &["b 8:0 m"], &["b 8:0 rw", "c 8:0 r"]),
        ];
        for (rules, yes, no) in cases {
            let asked: Vec<DeviceRule> = rules.iter().map(|r| rule(r)).collect();
            let program = compile(&asked);
            for (requests, wanted) in [(yes, true), (no, false)] {
                for request in *requests {
                    assert_eq!(allowed(&program, request), wanted, "{request} by {rules:?}");
                }
            }
        }
    }

    /// Against the meaning of the rules written down plainly.
    #[test]
    fn the_program_says_what_the_rules_say() {
        let pool = [
            "+a *:* rwm",
            "-a *:* rwm",
            "+c 10:* rw",
            "-c 10:1 w",
            "+b *:1 r",
            "-b 8:* rm",
            "-c *:* r",
            "+a 8:1 wm",
            "-a *:1 m",
            "+c 10:1 rwm",
        ];
        let by_rules = |asked: &[DeviceRule], kind, major, minor, bit: i32| {
            let speaks = |r: &DeviceRule| {
                r.kind == kind
                    && r.major.is_none_or(|m| m == major)
                    && r.minor.is_none_or(|m| m == minor)
                    && bits(r.access) & bit != 0
            };
            rules(asked).rfind(speaks).is_some_and(|r| r.allow)
        };
        for seed in 0..1000_usize {
            let asked: Vec<DeviceRule> = [seed % 10, seed / 10 % 10, seed / 100]
                .iter()
                .map(|&i| rule(pool[i]))
                .collect();
            let program = compile(&asked);
            for (kind, number) in [(DeviceKind::Char, CHAR), (DeviceKind::Block, BLOCK)] {
                for (major, minor) in [(10, 1), (8, 1), (8, 2), (1, 3), (77, 1)] {
                    for want in 1..8 {
                        let wanted = [1, 2, 4]
                            .iter()
                            .filter(|bit| want & **bit != 0)
                            .all(|&bit| by_rules(&asked, kind, major, minor, bit));
                        let access_type = (want << 16 | number).cast_unsigned();
                        let said = run(&program, [access_type, major, minor]) == 1;
                        assert_eq!(said, wanted, "{asked:?}: {kind:?} {major}:{minor} {want}");
                    }
                }
            }
        }
    }
}
