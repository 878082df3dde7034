//! What stopped the child, in numbers where it happens and in words where it is read.

use nix::errno::Errno;

use crate::plan::step::{Source, Step};
pub use crate::sys::reason;
use crate::sys::report::Fault;

/// What the child was doing inside a step. The number goes through the shared page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Call {
    /// The one thing the step is about.
    Itself,
    OpenTarget,
    MakeTarget,
    /// The target turned out to lie in a procfs.
    TargetInProc,
    /// Something else than a procfs was to be mounted on /proc.
    NotProc,
    OpenSource,
    OpenFilesystem,
    /// The note holds the kernel's own line.
    SetOption,
    CreateFilesystem,
    MountFilesystem,
    SetAttributes,
    SetPropagation,
    Attach,
    CopyUp,
    /// A node is there, of another kind.
    OtherNode,
    OpenNull,
    SetOwner,
    OutsideRoot,
    /// The channel to the runtime has ended.
    RuntimeGone,
    HookEnded,
    HookSignalled,
    HookTimedOut,
    SetGroups,
    SetGid,
    SetUid,
    Courier,
    Bound,
    Ambient,
    Directory,
    NothingMounted,
    OpenMaster,
    OpenTerminal,
    SendMaster,
    TakeControl,
    NoProc,
}

const ALL: &[Call] = &[
    Call::Itself,
    Call::OpenTarget,
    Call::MakeTarget,
    Call::TargetInProc,
    Call::NotProc,
    Call::OpenSource,
    Call::OpenFilesystem,
    Call::SetOption,
    Call::CreateFilesystem,
    Call::MountFilesystem,
    Call::SetAttributes,
    Call::SetPropagation,
    Call::Attach,
    Call::CopyUp,
    Call::OtherNode,
    Call::OpenNull,
    Call::SetOwner,
    Call::OutsideRoot,
    Call::RuntimeGone,
    Call::HookEnded,
    Call::HookSignalled,
    Call::HookTimedOut,
    Call::SetGroups,
    Call::SetGid,
    Call::SetUid,
    Call::Courier,
    Call::Bound,
    Call::Ambient,
    Call::Directory,
    Call::NothingMounted,
    Call::OpenMaster,
    Call::OpenTerminal,
    Call::SendMaster,
    Call::TakeControl,
    Call::NoProc,
];

/// A call that did not succeed; the child's error type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    pub call: Call,
    /// An errno, or what the call counts in.
    pub number: i32,
}

impl Stop {
    pub fn at(call: Call, errno: Errno) -> Self {
        Self {
            call,
            number: errno as i32,
        }
    }

    /// For what is counted otherwise: an exit status, a signal.
    pub fn number(call: Call, number: i32) -> Self {
        Self { call, number }
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::at(Call::Itself, errno)
    }
}

/// One sentence for a fault of `step`.
pub fn words(step: &Step, fault: &Fault) -> String {
    let call = call_of(fault);
    let cause = Errno::from_raw(fault.number);
    let note = String::from_utf8_lossy(&fault.note);
    match (step, call) {
        (Step::FindProgram(program), _) => find(program, call, cause),
        (
            Step::Mount(_) | Step::Remount(_) | Step::AttachOverlay(_),
            Call::SetOption | Call::CreateFilesystem,
        ) if !note.is_empty() => {
            let note = note.trim_end();
            // The kernel marks an error with "e ", and mostly names the filesystem.
            format!("{step}: {}", note.strip_prefix("e ").unwrap_or(note))
        }
        (Step::Mount(mount), Call::OpenFilesystem) => match &mount.source {
            Source::New { kind, .. } if cause == Errno::ENODEV => {
                format!(
                    "{mount}: the kernel has no filesystem {}",
                    kind.to_string_lossy()
                )
            }
            _ => format!("{mount}: {}", reason(cause)),
        },
        (Step::AttachOverlay(_), Call::OpenSource) => {
            format!("{step}: open {note}: {}", reason(cause))
        }
        (Step::AttachOverlay(_), Call::OpenFilesystem) if cause == Errno::ENODEV => {
            format!("{step}: the kernel has no filesystem overlay")
        }
        (Step::Profile(_), Call::Itself) if cause == Errno::ENOENT => {
            format!("process.apparmorProfile: {step}: no such profile is loaded")
        }
        _ => match asked_by(step) {
            Some((field, power)) => {
                let told = sentence(&format!("{field}: {step}"), fault);
                match cause {
                    Errno::EPERM | Errno::EACCES if !power.is_empty() => {
                        format!("{told}: it takes {power}")
                    }
                    _ => told,
                }
            }
            None => sentence(&subject(step), fault),
        },
    }
}

/// The field of config.json that a step comes from, where the step alone does not say it, and the power
/// that it takes.
fn asked_by(step: &Step) -> Option<(&'static str, &'static str)> {
    Some(match step {
        Step::OomScore(_) => ("process.oomScoreAdj", "CAP_SYS_RESOURCE"),
        Step::Rlimit { .. } => ("process.rlimits", "CAP_SYS_RESOURCE"),
        Step::Scheduler(scheduler) => ("process.scheduler", scheduler.needs()),
        Step::IoPriority(_) => ("process.ioPriority", "CAP_SYS_NICE"),
        Step::Profile(_) => ("process.apparmorProfile", ""),
        Step::Label { .. } => ("process.selinuxLabel", ""),
        Step::Affinity(_) => ("process.execCPUAffinity.final", ""),
        Step::MemoryPolicy(_) => ("linux.memoryPolicy", ""),
        _ => return None,
    })
}

/// What a sentence about the step begins with. `start` is told these by the record, since the plan
/// ends with the `create` that made it.
pub fn subject(step: &Step) -> String {
    match step {
        Step::Execute { args, .. } => {
            let name = args.strings().first().map(|arg| arg.to_string_lossy());
            format!("exec {}", name.unwrap_or_default())
        }
        step => step.to_string(),
    }
}

/// The sentence for a fault of the step that `subject` describes.
pub fn sentence(subject: &str, fault: &Fault) -> String {
    let note = String::from_utf8_lossy(&fault.note);
    let said = if note.trim().is_empty() {
        String::new()
    } else {
        format!(": {:?}", note.trim())
    };
    match call_of(fault) {
        Call::RuntimeGone => format!("{subject}: the runtime ended"),
        Call::HookEnded => format!("{subject}: exit status {}{said}", fault.number),
        Call::HookSignalled => format!("{subject}: ended by signal {}{said}", fault.number),
        Call::HookTimedOut => format!("{subject}: still running at its timeout{said}"),
        call => format!(
            "{subject}: {}{}",
            what(call),
            reason(Errno::from_raw(fault.number))
        ),
    }
}

fn call_of(fault: &Fault) -> Call {
    let found = ALL.iter().copied().find(|call| *call as u32 == fault.call);
    found.unwrap_or(Call::Itself)
}

/// The texts that Docker and Podman derive 126 and 127 from.
fn find(program: &crate::plan::step::Candidates, call: Call, errno: Errno) -> String {
    let name = program.name.to_string_lossy();
    let reason = reason(errno);
    if !name.contains('/') {
        return format!("exec: \"{name}\": executable file not found in $PATH");
    }
    match (call, errno) {
        (Call::Directory, _) => format!("exec: \"{name}\": permission denied: it is a directory"),
        (_, Errno::EACCES) => format!("exec: \"{name}\": {reason}"),
        _ => format!("exec: \"{name}\": stat {name}: {reason}"),
    }
}

/// What the call was about, where the step alone does not say it.
fn what(call: Call) -> &'static str {
    match call {
        Call::OpenTarget => "open the target: ",
        Call::MakeTarget => "make the target: ",
        Call::TargetInProc => "the target lies in /proc: ",
        Call::NotProc => "only a procfs may be mounted on /proc: ",
        Call::OpenSource => "open the source: ",
        Call::CreateFilesystem => "make the filesystem: ",
        Call::MountFilesystem => "mount the filesystem: ",
        Call::SetAttributes => "set the attributes: ",
        Call::SetPropagation => "set the propagation: ",
        Call::Attach => "attach: ",
        Call::CopyUp => "copy what lies below: ",
        Call::OtherNode => "another file is in its place: ",
        Call::OpenNull => "open the host's /dev/null: ",
        Call::SetOwner => "set the owner: ",
        Call::NothingMounted => "nothing is mounted there: ",
        Call::OutsideRoot => "it lies outside the root: ",
        Call::SetGroups => "set the groups: ",
        Call::SetGid => "set the group: ",
        Call::SetUid => "set the user: ",
        Call::Courier => {
            "start a second thread, which carries it (pids.limit and RLIMIT_NPROC count it): "
        }
        Call::OpenMaster => "open /dev/pts/ptmx of a devpts: ",
        Call::OpenTerminal => "open the other end: ",
        Call::SendMaster => "send it to the console socket: ",
        Call::NoProc => "/proc is no procfs: ",
        Call::TakeControl => "make it the controlling one: ",
        Call::Bound => "drop from the bounding set: ",
        Call::Ambient => "raise the ambient set: ",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_number() {
        for (n, call) in ALL.iter().enumerate() {
            assert_eq!(*call as usize, n, "{call:?}");
        }
    }

    #[test]
    fn a_reason_is_in_lower_case() {
        assert_eq!(reason(Errno::ENOENT), "no such file or directory");
        assert_eq!(reason(Errno::ESRCH), "no such process");
        assert_eq!(reason(Errno::EIO), "I/O error");
    }
}
