//! What a container may use: `linux.resources` and `linux.cgroupsPath`.
//!
//! Zero, null and false mean "not set" exactly where runc takes them so. `Option::None` is "not
//! mentioned: leave the kernel's default".

use std::collections::BTreeMap;
use std::fmt;

use super::units::{Bytes, Limit, Micros};

/// All limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub memory: Memory,
    pub cpu: Cpu,
    /// `linux.resources.pids.limit`
    pub pids: Option<Limit<u64>>,
    pub block_io: BlockIo,
    pub huge_pages: Vec<HugePages>,
    pub network: Network,
    pub rdma: Vec<Rdma>,
    /// Files of the v2 group and what is written to them, a line a write.
    pub unified: BTreeMap<ControlFile, String>,
    /// In the order of the document: the last rule that matches wins.
    pub devices: Vec<DeviceRule>,
}

impl Limits {
    /// Whether something is limited beside the use of devices, which the modes of their files limit,
    /// too. Only a rule that denies every device is taken for no more than that.
    pub fn limit_more_than_devices(&self) -> bool {
        let others = Self {
            devices: Vec::new(),
            ..self.clone()
        };
        others != Self::default() || self.deny_some_devices()
    }

    /// Whether a rule denies devices, and not simply every one.
    pub fn deny_some_devices(&self) -> bool {
        let denies_all = |rule: &DeviceRule| {
            rule.kind == DeviceKind::All && rule.major.is_none() && rule.minor.is_none()
        };
        let mut rules = self.devices.iter();
        !rules.all(|rule| rule.allow || denies_all(rule))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub limit: Option<Limit<Bytes>>,
    /// The soft limit.
    pub reservation: Option<Limit<Bytes>>,
    /// Memory and swap together, as the OCI and cgroup v1 count it: not below `limit`, and in
    /// config.json a number only beside one.
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// 10 to 1000, as all weights here.
    pub weight: Option<u16>,
    /// What the group's own processes weigh against the groups below; gone with Linux 5.0.
    pub leaf_weight: Option<u16>,
    pub weights: Vec<DeviceWeight>,
    pub throttles: Vec<Throttle>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceWeight {
    pub device: DeviceNumber,
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
}

/// How much of a device may be used each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    pub device: DeviceNumber,
    pub what: Throttled,
    pub rate: Limit<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttled {
    BytesRead,
    BytesWritten,
    Reads,
    Writes,
}

/// `8:16`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNumber {
    pub major: u32,
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// As the kernel names its files: `64KB`, `2MB`, `1GB`.
    pub page_size: String,
    /// 0 is a limit.
    pub limit: Bytes,
}

/// cgroup v1 only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// What `tc` and netfilter know the packets by; never 0.
    pub class_id: Option<u32>,
    pub priorities: Vec<Priority>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// A network interface of the runtime's namespace.
    pub interface: String,
    pub priority: u32,
}

/// At least one of the two is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rdma {
    /// `mlx5_0`
    pub device: String,
    pub handles: Option<u32>,
    pub objects: Option<u32>,
}

/// The name of a file that holds a setting of a v2 group: `memory.high`. Not one by which processes
/// are moved or stopped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlFile(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlFileError {
    /// The text is runc's.
    #[error("unified resource {0:?} must be a file name (no slashes)")]
    Path(String),
    /// The text is runc's.
    #[error("unified resource {0:?} must be in the form CONTROLLER.PARAMETER")]
    Form(String),
    #[error("{0:?} is no setting, but moves, stops or divides the processes of the group")]
    Lever(String),
}

impl ControlFile {
    /// The settings among the files that every group has; the rest of them are the runtime's to use.
    const CORE: [&str; 3] = [
        "cgroup.max.depth",
        "cgroup.max.descendants",
        "cgroup.pressure",
    ];

    pub fn new(name: &str) -> Result<Self, ControlFileError> {
        if name.contains('/') {
            return Err(ControlFileError::Path(name.into()));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let parts = name.split_once('.');
        if !parts.is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()) || !name.bytes().all(allowed)
        {
            return Err(ControlFileError::Form(name.into()));
        }
        if name.starts_with("cgroup.") && !Self::CORE.contains(&name) {
            return Err(ControlFileError::Lever(name.into()));
        }
        Ok(Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The controller that has to be enabled for the file to be there; every group has some files.
    pub fn controller(&self) -> Option<&str> {
        let (controller, _) = self.0.split_once('.')?;
        (controller != "cgroup").then_some(controller)
    }
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
