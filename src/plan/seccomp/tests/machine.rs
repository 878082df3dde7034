//! The kernel's side: runs a filter on one call, by the rules of linux/filter.h for seccomp.

use libc::sock_filter;

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub audit: u32,
    pub number: u32,
    pub args: [u64; 6],
}

pub(super) const X86_64: u32 = 0xc000_003e;
pub(super) const X86: u32 = 0x4000_0003;
pub(super) const AARCH64: u32 = 0xc000_00b7;
pub(super) const ARM: u32 = 0x4000_0028;

fn word(call: &Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.audit,
        16..=60 if offset.is_multiple_of(4) => {
            let at = (offset - 16) as usize;
            let bytes = call.args[at / 8].to_ne_bytes();
            u32::from_ne_bytes(bytes[at % 8..][..4].try_into().unwrap())
        }
        _ => panic!("load from {offset}"),
    }
}

/// The result of `program`; panics on what the kernel's verifier would refuse.
pub(super) fn run(program: &[sock_filter], call: &Call) -> u32 {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let step = program[at];
        let mut jump = |condition: bool| {
            at += usize::from(if condition { step.jt } else { step.jf });
        };
        match step.code {
            0x20 => accumulator = word(call, step.k),
            0x54 => accumulator &= step.k,
            0x05 => at += step.k as usize,
            0x15 => jump(accumulator == step.k),
            0x25 => jump(accumulator > step.k),
            0x35 => jump(accumulator >= step.k),
            0x06 => return step.k,
            code => panic!("instruction {code:#x}"),
        }
        at += 1;
    }
}

/// What the kernel checks before it takes a program: every jump stays inside, the end returns.
pub(super) fn verify(program: &[sock_filter]) {
    assert!((1..=super::MAX_INSTRUCTIONS).contains(&program.len()));
    for (at, step) in program.iter().enumerate() {
        let far = match step.code {
            0x05 => step.k as usize,
            0x15 | 0x25 | 0x35 => usize::from(step.jt.max(step.jf)),
            _ => 0,
        };
        assert!(at + 1 + far < program.len() || step.code == 0x06, "{at}");
    }
    assert_eq!(program.last().unwrap().code, 0x06);
}
