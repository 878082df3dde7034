//! When a process runs and where: its scheduler, the priority of its I/O, its processors, and the
//! nodes that its memory comes from.

use oci_spec::runtime::{
    IOPriorityClass, LinuxMemoryPolicy, LinuxSchedulerPolicy as Policy,
    MemoryPolicyFlagType as Flag, MemoryPolicyModeType as Mode,
};

use super::document::{self, Scheduler as Asked, SchedulerFlag};
use super::error::{At, Error};
use super::numbers::Numbers;
use crate::sys::schedule::Attributes;

/// What `sched_setattr(2)` is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// As config.json names it.
    pub policy: &'static str,
    pub attributes: Attributes,
}

impl Scheduler {
    /// What a process needs to have it (sched_setattr(2), cgroup v1's sched-rt-group).
    pub fn needs(&self) -> &'static str {
        match self.attributes.policy.cast_signed() {
            libc::SCHED_DEADLINE => "CAP_SYS_NICE, and an affinity to all processors",
            libc::SCHED_FIFO | libc::SCHED_RR => {
                "CAP_SYS_NICE, and linux.resources.cpu.realtimeRuntime where the kernel counts it"
            }
            _ => "CAP_SYS_NICE",
        }
    }
}

/// What `ioprio_set(2)` is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_*`, without the prefix.
    pub class: &'static str,
    pub priority: u16,
    /// Class and priority in one.
    pub value: u16,
}

/// The processors of a process that joins a container; `None` leaves them as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Before it is in the container's groups.
    pub initial: Option<Numbers>,
    /// When it is.
    pub last: Option<Numbers>,
}

/// What `set_mempolicy(2)` is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// As config.json names it.
    pub name: &'static str,
    /// `MPOL_*` with its `MPOL_F_*`.
    pub mode: i32,
    /// May be empty.
    pub nodes: Numbers,
}

/// The largest number of a processor that a kernel can be built for (`NR_CPUS`), less one.
const LAST_CPU: usize = 8191;
/// The same for memory nodes (`MAX_NUMNODES`).
const LAST_NODE: usize = 1023;

/// `__checkparam_dl` of the kernel: a runtime is counted in parts of 1024 ns.
const LEAST_RUNTIME: u64 = 1024;

pub(super) fn convert_scheduler(asked: &Asked, at: At<'_>) -> Result<Scheduler, Error> {
    let Some((number, policy)) = policy(asked.policy) else {
        return Err(at.key("policy").fault("no kernel has SCHED_ISO"));
    };
    let nice = asked.nice.unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        return Err(at
            .key("nice")
            .fault(format_args!("{nice} is not from -20 to 19")));
    }
    let priority = asked.priority.unwrap_or(0);
    let is_realtime = matches!(number, libc::SCHED_FIFO | libc::SCHED_RR);
    if is_realtime && !(1..=99).contains(&priority) {
        return Err(at.key("priority").fault(format_args!(
            "{priority} is not from 1 to 99, which {policy} needs"
        )));
    }
    if !is_realtime && priority != 0 {
        return Err(at.key("priority").fault(format_args!(
            "can be set for SCHED_FIFO and SCHED_RR only, not for {policy}"
        )));
    }
    check_times(asked, number == libc::SCHED_DEADLINE, policy, at)?;
    let flags = asked.flags.iter().flatten();
    Ok(Scheduler {
        policy,
        attributes: Attributes {
            policy: number.cast_unsigned(),
            flags: flags.fold(0, |flags, one| flags | scheduler_flag(*one)),
            nice,
            priority: priority.cast_unsigned(),
            runtime: asked.runtime.unwrap_or(0),
            deadline: asked.deadline.unwrap_or(0),
            period: asked.period.unwrap_or(0),
        },
    })
}

/// A process under SCHED_DEADLINE cannot fork, unless the other is to be under none (sched(7)).
/// Where an agent answers calls, a second thread carries the listener out while the first waits without
/// one (`sys::courier`): it has to be let run beside.
pub(super) fn check_agent(scheduler: &Scheduler, asks: bool, at: At<'_>) -> Result<(), Error> {
    let policy = scheduler.attributes.policy.cast_signed();
    if asks && matches!(policy, libc::SCHED_FIFO | libc::SCHED_DEADLINE) {
        return Err(at.key("policy").fault(
            "a process under SCHED_FIFO or SCHED_DEADLINE lets no other run that SCMP_ACT_NOTIFY of \
             linux.seccomp needs",
        ));
    }
    Ok(())
}

pub(super) fn check_hooks(scheduler: &Scheduler, at: At<'_>) -> Result<(), Error> {
    let is_deadline = scheduler.attributes.policy == libc::SCHED_DEADLINE.cast_unsigned();
    if is_deadline && scheduler.attributes.flags & scheduler_flag(SchedulerFlag::ResetOnFork) == 0 {
        return Err(at.key("flags").fault(
            "a process under SCHED_DEADLINE needs SCHED_FLAG_RESET_ON_FORK to fork for \
             hooks.startContainer",
        ));
    }
    Ok(())
}

/// Nanoseconds of SCHED_DEADLINE, and of nothing else (sched_setattr(2)).
fn check_times(asked: &Asked, is_deadline: bool, policy: &str, at: At<'_>) -> Result<(), Error> {
    let [runtime, deadline, period] =
        [asked.runtime, asked.deadline, asked.period].map(|time| time.unwrap_or(0));
    let times = [
        ("runtime", runtime),
        ("deadline", deadline),
        ("period", period),
    ];
    if !is_deadline {
        return match times.into_iter().find(|(_, time)| *time != 0) {
            Some((key, _)) => Err(at.key(key).fault(format_args!(
                "can be set for SCHED_DEADLINE only, not for {policy}"
            ))),
            None => Ok(()),
        };
    }
    if let Some((key, time)) = times.into_iter().find(|(_, time)| time >> 63 != 0) {
        return Err(at
            .key(key)
            .fault(format_args!("{time} ns does not fit in 63 bits")));
    }
    if runtime < LEAST_RUNTIME {
        return Err(at.key("runtime").fault(format_args!(
            "{runtime} ns is below {LEAST_RUNTIME} ns, the least of SCHED_DEADLINE"
        )));
    }
    if deadline < runtime {
        return Err(at.key("deadline").fault(format_args!(
            "{deadline} ns is below the runtime of {runtime} ns"
        )));
    }
    // Without a period it is the deadline.
    if period != 0 && period < deadline {
        return Err(at.key("period").fault(format_args!(
            "{period} ns is below the deadline of {deadline} ns"
        )));
    }
    Ok(())
}

fn policy(policy: Policy) -> Option<(i32, &'static str)> {
    Some(match policy {
        Policy::SchedOther => (libc::SCHED_OTHER, "SCHED_OTHER"),
        Policy::SchedFifo => (libc::SCHED_FIFO, "SCHED_FIFO"),
        Policy::SchedRr => (libc::SCHED_RR, "SCHED_RR"),
        Policy::SchedBatch => (libc::SCHED_BATCH, "SCHED_BATCH"),
        Policy::SchedIso => return None,
        Policy::SchedIdle => (libc::SCHED_IDLE, "SCHED_IDLE"),
        Policy::SchedDeadline => (libc::SCHED_DEADLINE, "SCHED_DEADLINE"),
    })
}

/// linux/sched.h
fn scheduler_flag(flag: SchedulerFlag) -> u64 {
    match flag {
        SchedulerFlag::ResetOnFork => 0x01,
        SchedulerFlag::Reclaim => 0x02,
        SchedulerFlag::DlOverrun => 0x04,
        SchedulerFlag::KeepPolicy => 0x08,
        SchedulerFlag::KeepParams => 0x10,
        SchedulerFlag::UtilClampMin => 0x20,
        SchedulerFlag::UtilClampMax => 0x40,
    }
}

pub(super) fn convert_io_priority(
    asked: &document::IoPriority,
    at: At<'_>,
) -> Result<IoPriority, Error> {
    // linux/ioprio.h: three bits of class above thirteen of priority.
    let (number, class) = match asked.class {
        IOPriorityClass::IoprioClassRt => (1, "RT"),
        IOPriorityClass::IoprioClassBe => (2, "BE"),
        IOPriorityClass::IoprioClassIdle => (3, "IDLE"),
    };
    let priority = asked.priority.unwrap_or(0);
    match u16::try_from(priority) {
        Ok(priority @ 0..=7) => Ok(IoPriority {
            class,
            priority,
            value: number << 13 | priority,
        }),
        _ => Err(at
            .key("priority")
            .fault(format_args!("{priority} is not from 0 to 7"))),
    }
}

pub(super) fn convert_affinity(
    asked: Option<&document::Affinity>,
    at: At<'_>,
) -> Result<Affinity, Error> {
    let Some(asked) = asked else {
        return Ok(Affinity::default());
    };
    let list = |key, list: &Option<String>| match list.as_deref() {
        None | Some("") => Ok(None),
        Some(list) => Numbers::parse(list, LAST_CPU)
            .map(Some)
            .map_err(|reason| at.key(key).fault(reason)),
    };
    Ok(Affinity {
        initial: list("initial", &asked.initial)?,
        last: list("final", &asked.last)?,
    })
}

pub(super) fn convert_memory_policy(
    asked: &LinuxMemoryPolicy,
    at: At<'_>,
) -> Result<MemoryPolicy, Error> {
    let (number, name) = mode(asked.mode());
    let nodes = match asked.nodes().as_deref() {
        None | Some("") => Numbers::default(),
        Some(list) => Numbers::parse(list, LAST_NODE).map_err(|r| at.key("nodes").fault(r))?,
    };
    let takes_none = matches!(asked.mode(), Mode::MpolDefault | Mode::MpolLocal);
    if takes_none && !nodes.is_empty() {
        return Err(at.key("nodes").fault(format_args!("{name} takes none")));
    }
    if !takes_none && nodes.is_empty() && asked.mode() != Mode::MpolPreferred {
        return Err(at.key("nodes").fault(format_args!("{name} needs one")));
    }
    let flags = asked.flags().iter().flatten();
    let flags = flags.fold(0, |flags, one| flags | memory_flag(*one));
    if flags & STATIC_OR_RELATIVE == STATIC_OR_RELATIVE {
        return Err(at
            .key("flags")
            .fault("MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other"));
    }
    Ok(MemoryPolicy {
        name,
        mode: number | flags,
        nodes,
    })
}

/// What `features` lists.
pub fn memory_policy_modes() -> [&'static str; 7] {
    [
        Mode::MpolDefault,
        Mode::MpolBind,
        Mode::MpolInterleave,
        Mode::MpolWeightedInterleave,
        Mode::MpolPreferred,
        Mode::MpolPreferredMany,
        Mode::MpolLocal,
    ]
    .map(|one| mode(one).1)
}

/// What `features` lists.
pub const MEMORY_POLICY_FLAGS: [&str; 3] = [
    "MPOL_F_NUMA_BALANCING",
    "MPOL_F_RELATIVE_NODES",
    "MPOL_F_STATIC_NODES",
];

/// linux/mempolicy.h
fn mode(mode: Mode) -> (i32, &'static str) {
    match mode {
        Mode::MpolDefault => (0, "MPOL_DEFAULT"),
        Mode::MpolPreferred => (1, "MPOL_PREFERRED"),
        Mode::MpolBind => (2, "MPOL_BIND"),
        Mode::MpolInterleave => (3, "MPOL_INTERLEAVE"),
        Mode::MpolLocal => (4, "MPOL_LOCAL"),
        Mode::MpolPreferredMany => (5, "MPOL_PREFERRED_MANY"),
        Mode::MpolWeightedInterleave => (6, "MPOL_WEIGHTED_INTERLEAVE"),
    }
}

const STATIC_OR_RELATIVE: i32 = 1 << 15 | 1 << 14;

fn memory_flag(flag: Flag) -> i32 {
    match flag {
        Flag::MpolFStaticNodes => 1 << 15,
        Flag::MpolFRelativeNodes => 1 << 14,
        Flag::MpolFNumaBalancing => 1 << 13,
    }
}
