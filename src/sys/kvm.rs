//! A virtual machine of one processor and 64 KiB, made to be run once: `/dev/kvm` can be opened and
//! still run no kernel, which only a guest can find out. Nothing here uses the heap, so that all of
//! it may run in a child that is ended when the kernel does not come back.
//!
//! Numbers and layouts are those of `linux/kvm.h` (Documentation/virt/kvm/api.rst).

#[cfg(target_arch = "x86_64")]
mod guest;
#[cfg(target_arch = "x86_64")]
mod machine;

use nix::errno::Errno;

/// Which request to `/dev/kvm` was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Request {
    Open,
    CreateMachine,
    SetMemory,
    CreateProcessor,
    SetFeatures,
    SetRegisters,
    Run,
}

impl Request {
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::CreateMachine,
        Self::SetMemory,
        Self::CreateProcessor,
        Self::SetFeatures,
        Self::SetRegisters,
        Self::Run,
    ];
}

/// How far the guest came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Refused {
        request: Request,
        errno: Errno,
    },
    /// The processor stopped with `KVM_EXIT_*` number `exit` (`KVM_EXIT_HLT` where all went well)
    /// while the guest was at the step of [`STEPS`] with the index `step`.
    Stopped {
        exit: u32,
        step: u8,
    },
}

pub const EXIT_HLT: u32 = 5;

/// What the guest does, in its order. Each is something that a kernel does while it boots, and that
/// a virtual processor without full support from below has been seen to fail at.
pub const STEPS: [&str; 8] = [
    "its first instruction",
    "cmpxchg16b",
    "int3 and iretq",
    "mov cr3",
    "invlpg",
    "rdmsr and wrmsr of EFER",
    "xsave and xrstor",
    "hlt",
];

/// Runs the guest; `None` where there is none for this architecture.
pub fn run_guest() -> Option<Outcome> {
    #[cfg(target_arch = "x86_64")]
    return Some(match machine::run() {
        Ok((exit, step)) => Outcome::Stopped { exit, step },
        Err((request, errno)) => Outcome::Refused { request, errno },
    });
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_number_of_their_place() {
        for (at, request) in Request::ALL.into_iter().enumerate() {
            assert_eq!(request as usize, at);
        }
    }

    #[test]
    fn a_guest_that_starts_ends_at_a_step_of_its_own() {
        if let Some(Outcome::Stopped { exit, step }) = run_guest() {
            let last = STEPS.len() - 1;
            assert!((1..=last).contains(&usize::from(step)), "{exit} at {step}");
            assert_eq!(exit == EXIT_HLT, usize::from(step) == last);
        }
    }
}
