#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod conditions;
mod containers;
mod defaults;
mod differential;

mod machine;
mod profiles;

use machine::{AARCH64, ARM, Call, X86, X86_64, run, verify};

use super::{Error, MAX_INSTRUCTIONS, Program, compile_for};
use crate::spec::seccomp::{Arch, Profile};

const ALLOW: u32 = 0x7fff_0000;
const LOG: u32 = 0x7ffc_0000;
const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const X32_BIT: u32 = 0x4000_0000;

const fn errno(number: u32) -> u32 {
    0x0005_0000 | number
}

fn profile(json: &str) -> Profile {
    Profile::from_json(json).unwrap()
}

fn program(json: &str) -> Program {
    let program = compile_for(&profile(json), Arch::X86_64).unwrap();
    verify(program.instructions());
    program
}

fn call(program: &Program, audit: u32, number: u32, args: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let call = Call {
        audit,
        number,
        args: all,
    };
    run(program.instructions(), &call)
}
