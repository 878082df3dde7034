//! `linux.seccomp`: which system calls a container may make.

use std::path::PathBuf;

use oci_spec::runtime as oci;
use serde::{Deserialize, Serialize};

/// A profile with its names still names: `plan` knows the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// For every call that no rule is about.
    pub default: Action,
    /// Without the architectures whose calls cannot reach an x86 or an ARM kernel. The one we are
    /// built for belongs to every filter, listed or not, as in libseccomp.
    pub archs: Vec<Arch>,
    pub flags: Flags,
    /// In the order of the document.
    pub rules: Vec<Rule>,
    /// There is one where an action is [`Action::Notify`], and only there.
    pub agent: Option<Agent>,
}

/// Who answers calls for the kernel (`listenerPath` and `listenerMetadata`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// A listening `AF_UNIX` socket of streams, absolute, in the runtime's tree.
    pub path: PathBuf,
    /// Told along with each listener.
    pub metadata: Option<String>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    KillProcess,
    KillThread,
    Trap,
    /// At most 4095, the largest errno the kernel hands out.
    Errno(u16),
    /// The number that the tracer reads by `PTRACE_GETEVENTMSG`.
    Trace(u16),
    /// The call waits for what an [`Agent`] says.
    Notify,
    Log,
    Allow,
}

/// The architectures that can meet in one kernel of the kinds we are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    X86_64,
    X86,
    /// Calls of a 64-bit process with 32-bit pointers: x86_64 with bit 30 of the number set.
    X32,
    Aarch64,
    Arm,
}

/// How the filter is loaded. `SECCOMP_FILTER_FLAG_TSYNC` is accepted and left out as by runc: what
/// executes the container's program has one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Log every action but allow.
    pub log: bool,
    /// Leave speculation as it is (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`, Linux 4.17).
    pub spec_allow: bool,
    /// A call whose question an agent has read can only be interrupted by a deadly signal
    /// (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux 5.19). Without an agent it means nothing.
    pub wait_killable: bool,
}

/// One entry of `linux.seccomp.syscalls`: all its conditions hold for a call, or it is not about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Never empty. A name that no kernel knows is skipped later.
    pub names: Vec<String>,
    pub action: Action,
    pub conditions: Vec<Condition>,
}

/// A comparison of one argument as an unsigned 64-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// 0 to 5.
    pub argument: u8,
    pub compare: Compare,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    Ne(u64),
    Lt(u64),
    Le(u64),
    Eq(u64),
    Ge(u64),
    Gt(u64),
    /// `argument & mask == value`
    Masked {
        mask: u64,
        value: u64,
    },
}

/// The actions of a profile, as `features` lists them.
pub const ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// The comparisons, as `features` lists them.
pub const OPERATORS: &[&str] = &[
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

/// The architectures that a profile may name, as `features` lists them.
pub const ARCHS: &[&str] = &[
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

/// The flags that a profile may set, as `features` lists them.
pub const FLAGS: &[&str] = &[
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// What is wrong with a profile, and where in config.json.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{path}: {reason}")]
pub struct Error {
    /// `linux.seccomp.syscalls[3].args[0].index`
    pub path: String,
    pub reason: Reason,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Reason {
    #[error("missing, and SCMP_ACT_NOTIFY asks whoever listens there")]
    NoListener,
    #[error("{0:?} is no absolute path")]
    RelativeListener(String),
    #[error("it is told to whoever listens at linux.seccomp.listenerPath, which is missing")]
    MetadataForNobody,
    #[error("an architecture must be named: SCMP_ARCH_NATIVE is none")]
    NativeArch,
    #[error("only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a number")]
    NoErrno,
    #[error("{0} is no errno: the largest is 4095")]
    Errno(u32),
    #[error("{0} does not fit into the 16 bits that a tracer is given")]
    TraceMessage(u32),
    #[error("a system call has the arguments 0 to 5, not {0}")]
    Argument(usize),
    #[error("a rule names at least one system call")]
    NoNames,
    #[error("the name of a system call is empty")]
    EmptyName,
}

impl TryFrom<&oci::LinuxSeccomp> for Profile {
    type Error = Error;

    fn try_from(document: &oci::LinuxSeccomp) -> Result<Self, Error> {
        let default = action(document.default_action(), document.default_errno_ret())
            .map_err(|reason| fault("defaultErrnoRet", reason))?;
        let rules = document.syscalls().as_deref().unwrap_or_default();

        let rules = rules
            .iter()
            .enumerate()
            .map(|(at, rule)| convert_rule(at, rule))
            .collect::<Result<Vec<_>, _>>()?;
        let asks = default == Action::Notify || rules.iter().any(|r| r.action == Action::Notify);
        let agent = agent(document)?;
        if asks && agent.is_none() {
            return Err(fault("listenerPath", Reason::NoListener));
        }
        Ok(Self {
            default,
            archs: archs(document.architectures().as_deref().unwrap_or_default())?,
            flags: flags(document.flags().as_deref()),
            rules,
            // config-linux.md: where nothing is to be asked, the path is ignored.
            agent: agent.filter(|_| asks),
        })
    }
}

fn agent(document: &oci::LinuxSeccomp) -> Result<Option<Agent>, Error> {
    let metadata = document.listener_metadata().clone();
    let path = document.listener_path().clone().unwrap_or_default();
    if path.as_os_str().is_empty() {
        return match metadata.is_some_and(|text| !text.is_empty()) {
            true => Err(fault("listenerMetadata", Reason::MetadataForNobody)),
            false => Ok(None),
        };
    }
    if !path.is_absolute() {
        let path = path.display().to_string();
        return Err(fault("listenerPath", Reason::RelativeListener(path)));
    }
    Ok(Some(Agent { path, metadata }))
}

/// `field` is below `linux.seccomp`.
fn fault(field: impl std::fmt::Display, reason: Reason) -> Error {
    Error {
        path: format!("linux.seccomp.{field}"),
        reason,
    }
}

/// config-linux.md, `errnoRet`: beside an action that has no use for it, it is an error.
fn action(name: oci::LinuxSeccompAction, errno: Option<u32>) -> Result<Action, Reason> {
    use oci::LinuxSeccompAction as A;
    /// `EPERM` where the document is silent (config-linux.md, `defaultErrnoRet`).
    const DEFAULT: u32 = 1;
    let number = errno.unwrap_or(DEFAULT);
    if errno.is_some() && !matches!(name, A::ScmpActErrno | A::ScmpActTrace) {
        return Err(Reason::NoErrno);
    }
    Ok(match name {
        // SECCOMP_RET_KILL has been the thread's death since it was the only one.
        A::ScmpActKill | A::ScmpActKillThread => Action::KillThread,
        A::ScmpActKillProcess => Action::KillProcess,
        A::ScmpActTrap => Action::Trap,
        // The kernel cuts an errno to 4095, runc to 16 bits: neither would return what was asked.
        A::ScmpActErrno => match u16::try_from(number) {
            Ok(errno @ ..=4095) => Action::Errno(errno),
            _ => return Err(Reason::Errno(number)),
        },
        A::ScmpActTrace => match u16::try_from(number) {
            Ok(message) => Action::Trace(message),
            Err(_) => return Err(Reason::TraceMessage(number)),
        },
        A::ScmpActLog => Action::Log,
        A::ScmpActAllow => Action::Allow,
        A::ScmpActNotify => Action::Notify,
    })
}

fn archs(listed: &[oci::Arch]) -> Result<Vec<Arch>, Error> {
    let mut known = Vec::new();
    for (at, arch) in listed.iter().enumerate() {
        let arch = match arch {
            oci::Arch::ScmpArchX86_64 => Arch::X86_64,
            oci::Arch::ScmpArchX86 => Arch::X86,
            oci::Arch::ScmpArchX32 => Arch::X32,
            oci::Arch::ScmpArchAarch64 => Arch::Aarch64,
            oci::Arch::ScmpArchArm => Arch::Arm,
            // libseccomp's own name, not one of config-linux.md's.
            oci::Arch::ScmpArchNative => {
                return Err(fault(
                    format_args!("architectures[{at}]"),
                    Reason::NativeArch,
                ));
            }
            // No kernel of an architecture above takes calls of these, and what a filter does not
            // know it refuses: a part for them would never be reached.
            _ => continue,
        };
        if !known.contains(&arch) {
            known.push(arch);
        }
    }
    Ok(known)
}

fn flags(listed: Option<&[oci::LinuxSeccompFilterFlag]>) -> Flags {
    use oci::LinuxSeccompFilterFlag as F;
    // runc asks for it where the document has no flags at all, since the mitigation that a filter
    // otherwise brings costs more than it protects.
    let Some(listed) = listed else {
        return Flags {
            spec_allow: true,
            ..Flags::default()
        };
    };
    let mut flags = Flags::default();
    for flag in listed {
        match flag {
            F::SeccompFilterFlagLog => flags.log = true,
            F::SeccompFilterFlagSpecAllow => flags.spec_allow = true,
            F::SeccompFilterFlagTsync => {}
            F::SeccompFilterFlagWaitKillableRecv => flags.wait_killable = true,
        }
    }
    flags
}

fn convert_rule(at: usize, rule: &oci::LinuxSyscall) -> Result<Rule, Error> {
    let names = rule.names();
    if names.is_empty() {
        return Err(fault(format_args!("syscalls[{at}].names"), Reason::NoNames));
    }
    if let Some(empty) = names.iter().position(String::is_empty) {
        let field = format_args!("syscalls[{at}].names[{empty}]");
        return Err(fault(field, Reason::EmptyName));
    }
    let action = action(rule.action(), rule.errno_ret())
        .map_err(|reason| fault(format_args!("syscalls[{at}].errnoRet"), reason))?;
    let args = rule.args().as_deref().unwrap_or_default();

    Ok(Rule {
        names: names.clone(),
        action,
        conditions: args
            .iter()
            .enumerate()
            .map(|(n, arg)| {
                condition(arg)
                    .map_err(|reason| fault(format_args!("syscalls[{at}].args[{n}].index"), reason))
            })
            .collect::<Result<_, _>>()?,
    })
}

fn condition(arg: &oci::LinuxSeccompArg) -> Result<Condition, Reason> {
    use oci::LinuxSeccompOperator as O;
    let argument = match u8::try_from(arg.index()) {
        Ok(index @ ..=5) => index,
        _ => return Err(Reason::Argument(arg.index())),
    };
    let value = arg.value();
    let compare = match arg.op() {
        O::ScmpCmpNe => Compare::Ne(value),
        O::ScmpCmpLt => Compare::Lt(value),
        O::ScmpCmpLe => Compare::Le(value),
        O::ScmpCmpEq => Compare::Eq(value),
        O::ScmpCmpGe => Compare::Ge(value),
        O::ScmpCmpGt => Compare::Gt(value),
        O::ScmpCmpMaskedEq => Compare::Masked {
            mask: value,
            value: arg.value_two().unwrap_or(0),
        },
    };
    Ok(Condition { argument, compare })
}

#[cfg(test)]
impl Profile {
    /// The profile of the value of `linux.seccomp`, and what is wrong with it in words.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let document: oci::LinuxSeccomp =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        Self::try_from(&document).map_err(|error| error.to_string())
    }
}
