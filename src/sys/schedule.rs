//! When and where a process runs. All but [`affinity`] may run in the child; a pid of 0 is the caller.

use std::mem::{size_of, size_of_val};

use nix::errno::Errno;

use super::{checked, done};

/// `struct sched_attr` of sched_setattr(2), without what no document can set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds, as the two below.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// The kernel's own, of Linux 5.3: libc's ends before the clamps.
#[repr(C)]
struct Whole {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    clamps: [u32; 2],
}

pub fn set_scheduler(pid: i32, attributes: &Attributes) -> Result<(), Errno> {
    let whole = Whole {
        size: u32::try_from(size_of::<Whole>()).expect("some fifty bytes"),
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: attributes.runtime,
        deadline: attributes.deadline,
        period: attributes.period,
        clamps: [0; 2],
    };
    // SAFETY: `whole` says its own size and outlives the call.
    done(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const whole, 0) })
}

/// `value` holds the class above 13 bits of priority (`ioprio_set(2)`).
pub fn set_io_priority(pid: i32, value: u16) -> Result<(), Errno> {
    const WHO_PROCESS: i32 = 1;
    // SAFETY: takes only numbers.
    done(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid, i32::from(value)) })
}

/// Bit n of `mask` is processor n; `EINVAL` where none of them is there for the process.
pub fn set_affinity(pid: i32, mask: &[u64]) -> Result<(), Errno> {
    // SAFETY: `mask` is readable for the length passed.
    done(unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            pid,
            size_of_val(mask),
            mask.as_ptr(),
        )
    })
}

/// The processors that this process may run on, as [`set_affinity`] takes them.
pub fn affinity() -> Result<Vec<u64>, Errno> {
    // 8192 is the most that a kernel is built for.
    let mut mask = vec![0_u64; 8192 / 64];
    // SAFETY: `mask` is writable for the length passed.
    let length = checked(unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(mask.as_slice()),
            mask.as_mut_ptr(),
        )
    })?;
    mask.truncate(length / size_of::<u64>());
    Ok(mask)
}

/// `mode` holds `MPOL_*` and its flags; bit n of `nodes` is node n (`set_mempolicy(2)`). `ENOSYS`: the
/// kernel knows no nodes.
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<(), Errno> {
    let (mask, bits) = match nodes {
        [] => (std::ptr::null(), 0),
        // The kernel takes one bit less than it is told.
        _ => (nodes.as_ptr(), nodes.len() * 64 + 1),
    };
    // SAFETY: `mask` is null, or readable for as many bits as the kernel looks at.
    done(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) })
}
