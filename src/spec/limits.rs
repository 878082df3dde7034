//! What a container may use: `linux.resources` and `linux.cgroupsPath`.
//!
//! Zero, null and false mean "not set" exactly where runc takes them so. `Option::None` is "not
//! mentioned: leave the kernel's default".

use super::units::{Bytes, Limit, Micros};

/// All limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub memory: Memory,
    pub cpu: Cpu,
    /// `linux.resources.pids.limit`
    pub pids: Option<Limit<u64>>,
    /// In the order of the document: the last rule that matches wins.
    pub devices: Vec<DeviceRule>,
}

impl Limits {
    /// Whether something is limited beside the use of devices, which the modes of their files limit,
    /// too. Only a rule that denies every device is taken for no more than that.
    pub fn limit_more_than_devices(&self) -> bool {
        let denies_all = |rule: &DeviceRule| {
            rule.kind == DeviceKind::All && rule.major.is_none() && rule.minor.is_none()
        };
        let others = Self {
            devices: Vec::new(),
            ..self.clone()
        };
        others != Self::default()
            || !self
                .devices
                .iter()
                .all(|rule| rule.allow || denies_all(rule))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub limit: Option<Limit<Bytes>>,
    /// The soft limit.
    pub reservation: Option<Limit<Bytes>>,
    /// Memory and swap together, as the OCI and cgroup v1 count it: where this is a number, `limit`
    /// is one too, and not above it.
    pub swap: Option<Limit<Bytes>>,
    /// 0 to 100; cgroup v1 only.
    pub swappiness: Option<u64>,
    /// cgroup v1 only.
    pub disable_oom_killer: bool,
    /// Refuse a limit below what is in use.
    pub check_before_update: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// cgroup v1's measure, 2 to 262144; v2's weight is computed from it.
    pub shares: Option<u64>,
    pub quota: Option<Limit<Micros>>,
    pub period: Option<Micros>,
    pub burst: Option<Micros>,
    pub cpus: Option<String>,
    pub mems: Option<String>,
    pub idle: Option<bool>,
    pub realtime_runtime: Option<i64>,
    pub realtime_period: Option<Micros>,
}

/// One line of the device list (`linux.resources.devices`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    pub allow: bool,
    pub kind: DeviceKind,
    /// `None`: any number.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    All,
    Char,
    Block,
}

/// Which acts a device rule is about: the letters of `rwm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

/// Where the container's group lies (`linux.cgroupsPath`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupPath {
    /// Not given: the runtime chooses, named for the container.
    Default,
    /// `/a/b`: below the root of each hierarchy.
    Absolute(String),
    /// `a/b`: below the runtime's own group.
    Relative(String),
}
