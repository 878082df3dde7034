//! A seccomp profile to the program that the kernel runs before each call.
//!
//! ```text
//! Profile ──calls──▶ numbers ──verdicts──▶ spans of numbers, each ──assemble──▶ Program
//! names              per architecture      with one verdict                     instructions
//! ```
//!
//! The meaning is that of libseccomp as runc uses it, since profiles are written and tested with
//! those; where we are stricter a comment says so.

mod assemble;
mod calls;
mod multiplexed;
mod verdicts;

#[cfg(test)]
mod tests;

use crate::spec::seccomp::{Arch, Profile};
use crate::sys::seccomp as sys;

/// The architecture of this program, whose calls a container's programs make as well.
#[cfg(target_arch = "x86_64")]
pub const NATIVE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
pub const NATIVE: Arch = Arch::Aarch64;

/// `BPF_MAXINSNS`: the kernel takes no longer program.
pub const MAX_INSTRUCTIONS: usize = 4096;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error(
        "linux.seccomp: the filter has {0} instructions, the kernel takes at most {MAX_INSTRUCTIONS}"
    )]
    Long(usize),
    #[error(
        "linux.seccomp.syscalls: two rules for {call} have the same conditions and different actions"
    )]
    Conflict { call: String },
}

/// A filter, ready to be loaded by `sys::seccomp::load_filter`.
#[derive(Clone, Debug)]
pub struct Program {
    instructions: Box<[libc::sock_filter]>,
    flags: u32,
    /// Beside `flags`, for who takes the listener.
    listener: Option<u32>,
}

impl Program {
    /// 1 to [`MAX_INSTRUCTIONS`].
    pub fn instructions(&self) -> &[libc::sock_filter] {
        &self.instructions
    }

    /// `SECCOMP_FILTER_FLAG_*`, for `seccomp(2)`. Without a listener, so that the kernel answers
    /// `ENOSYS` to calls that one would be asked about.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// The flags with which loading gives a listener; `None` where nothing is ever asked.
    pub fn flags_to_listen(&self) -> Option<u32> {
        self.listener.map(|more| self.flags | more)
    }

    #[allow(clippy::len_without_is_empty, reason = "a program is never empty")]
    pub fn len(&self) -> usize {
        self.instructions.len()
    }
}

/// The filter of `profile` for the kernel we are built for.
pub fn compile(profile: &Profile) -> Result<Program, Error> {
    compile_for(profile, NATIVE)
}

/// The filter of `profile` for a kernel whose own architecture is `native`.
pub fn compile_for(profile: &Profile, native: Arch) -> Result<Program, Error> {
    let sections = verdicts::sections(profile, native)?;
    let instructions = assemble::assemble(&sections);
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(Error::Long(instructions.len()));
    }
    let flag = |set, bit| if set { bit } else { 0 };
    let wait = flag(profile.flags.wait_killable, sys::WAIT_KILLABLE_RECV);
    Ok(Program {
        instructions: instructions.into_boxed_slice(),
        flags: flag(profile.flags.log, sys::LOG) | flag(profile.flags.spec_allow, sys::SPEC_ALLOW),
        listener: profile.agent.as_ref().map(|_| sys::NEW_LISTENER | wait),
    })
}
