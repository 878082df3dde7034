//! config.json as it is written: types, and nothing else, are checked here.
//!
//! The outer objects are ours and the inner ones those of `oci_spec`, because its outer ones (as
//! of 0.10) refuse documents that are good and accept some that are bad:
//!
//! - `process.user` is required there, optional in the OCI's schema;
//! - a capability it does not know ends the parse, where runc warns;
//! - a device rule of type `""` is refused, where runc takes it for `a`;
//! - a missing `major` or `ociVersion` cannot be told from 0 or `""`;
//! - a `pids.limit` of null is refused, where runc takes it for unset;
//! - a JSON array is taken for any object, by position (see [`Object`]).

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::PathBuf;

use oci_spec::runtime as oci;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

use super::error::Error;
use super::locate;

/// A JSON object and nothing else: derived code takes an array for a struct too.
#[derive(Debug)]
pub(super) struct Object<T>(T);

impl<T> Object<T> {
    pub(super) fn members(self) -> T {
        self.0
    }
}

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

pub(super) type List<T> = Option<Vec<T>>;
pub(super) type Objects<T> = Option<Vec<Object<T>>>;
/// The part of another platform or of a later version: only whether it has anything in it counts.
type Foreign = Option<BTreeMap<String, IgnoredAny>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub oci_version: Option<String>,
    pub root: Option<Object<oci::Root>>,
    pub mounts: Objects<Mount>,
    pub process: Option<Object<Process>>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub hooks: Option<Object<Hooks>>,
    pub annotations: Option<BTreeMap<String, String>>,
    pub linux: Option<Object<Linux>>,
    pub solaris: Foreign,
    pub windows: Foreign,
    pub vm: Foreign,
    pub zos: Foreign,
    pub freebsd: Foreign,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mount {
    pub destination: PathBuf,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub source: Option<PathBuf>,
    pub options: List<String>,
    pub uid_mappings: Objects<IdMapping>,
    pub gid_mappings: Objects<IdMapping>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process {
    pub terminal: Option<bool>,
    /// Means something with a terminal only, and is no error without.
    pub console_size: Option<Object<ConsoleSize>>,
    pub user: Option<Object<User>>,
    pub args: List<String>,
    pub env: List<String>,
    pub cwd: Option<String>,
    pub capabilities: Option<Object<Capabilities>>,
    pub rlimits: Objects<Rlimit>,
    pub no_new_privileges: Option<bool>,
    pub apparmor_profile: Option<String>,
    pub oom_score_adj: Option<i64>,
    pub selinux_label: Option<String>,
    pub io_priority: Option<Object<IoPriority>>,
    pub scheduler: Option<Object<Scheduler>>,
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<Object<Affinity>>,
}

/// Both are required by the schema; `oci_spec` takes a missing one for 0.
#[derive(Debug, Deserialize)]
pub(super) struct ConsoleSize {
    pub height: u64,
    pub width: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub umask: Option<u32>,
    pub additional_gids: List<u32>,
}

/// Names, so that an unknown one can be left out with a warning.
#[derive(Debug, Deserialize)]
pub(super) struct Capabilities {
    pub bounding: List<String>,
    pub effective: List<String>,
    pub inheritable: List<String>,
    pub permitted: List<String>,
    pub ambient: List<String>,
}

/// All three are required by the schema; `oci_spec` takes a missing bound for 0.
#[derive(Debug, Deserialize)]
pub(super) struct Rlimit {
    #[serde(rename = "type")]
    pub kind: oci::PosixRlimitType,
    pub soft: u64,
    pub hard: u64,
}

/// `oci_spec` has other names for two of the flags.
#[derive(Debug, Deserialize)]
pub(super) struct Scheduler {
    pub policy: oci::LinuxSchedulerPolicy,
    pub nice: Option<i32>,
    pub priority: Option<i32>,
    pub flags: List<SchedulerFlag>,
    pub runtime: Option<u64>,
    pub deadline: Option<u64>,
    pub period: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum SchedulerFlag {
    #[serde(rename = "SCHED_FLAG_RESET_ON_FORK")]
    ResetOnFork,
    #[serde(rename = "SCHED_FLAG_RECLAIM")]
    Reclaim,
    #[serde(rename = "SCHED_FLAG_DL_OVERRUN")]
    DlOverrun,
    #[serde(rename = "SCHED_FLAG_KEEP_POLICY")]
    KeepPolicy,
    #[serde(rename = "SCHED_FLAG_KEEP_PARAMS")]
    KeepParams,
    #[serde(rename = "SCHED_FLAG_UTIL_CLAMP_MIN")]
    UtilClampMin,
    #[serde(rename = "SCHED_FLAG_UTIL_CLAMP_MAX")]
    UtilClampMax,
}

/// The class is required by the schema; `oci_spec` has a default for it.
#[derive(Debug, Deserialize)]
pub(super) struct IoPriority {
    pub class: oci::IOPriorityClass,
    pub priority: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Affinity {
    pub initial: Option<String>,
    #[serde(rename = "final")]
    pub last: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hooks {
    pub prestart: Objects<oci::Hook>,
    pub create_runtime: Objects<oci::Hook>,
    pub create_container: Objects<oci::Hook>,
    pub start_container: Objects<oci::Hook>,
    pub poststart: Objects<oci::Hook>,
    pub poststop: Objects<oci::Hook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Linux {
    pub net_devices: Option<BTreeMap<String, Object<oci::LinuxNetDevice>>>,
    pub uid_mappings: Objects<IdMapping>,
    pub gid_mappings: Objects<IdMapping>,
    pub sysctl: Option<BTreeMap<String, String>>,
    pub resources: Option<Object<Resources>>,
    pub cgroups_path: Option<String>,
    pub namespaces: Objects<oci::LinuxNamespace>,
    pub devices: Objects<Device>,
    pub seccomp: Option<Object<Seccomp>>,
    pub rootfs_propagation: Option<String>,
    pub masked_paths: List<String>,
    pub readonly_paths: List<String>,
    pub mount_label: Option<String>,
    pub intel_rdt: Option<Object<oci::LinuxIntelRdt>>,
    pub memory_policy: Option<Object<oci::LinuxMemoryPolicy>>,
    pub personality: Option<Object<oci::LinuxPersonality>>,
    pub time_offsets: Option<BTreeMap<String, Object<oci::LinuxTimeOffset>>>,
}

/// All three are required by the schema; `oci_spec` takes a missing one for 0.
#[derive(Debug, Deserialize)]
pub(super) struct IdMapping {
    #[serde(rename = "containerID")]
    pub container: u32,
    #[serde(rename = "hostID")]
    pub host: u32,
    pub size: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    pub path: String,
    #[serde(rename = "type")]
    pub kind: oci::LinuxDeviceType,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    pub file_mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// The action is required in `oci_spec`; for runc an object without action and calls is no profile.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seccomp {
    pub default_action: Option<oci::LinuxSeccompAction>,
    pub default_errno_ret: Option<u32>,
    pub architectures: List<oci::Arch>,
    pub flags: List<oci::LinuxSeccompFilterFlag>,
    pub listener_path: Option<PathBuf>,
    pub listener_metadata: Option<String>,
    pub syscalls: Objects<oci::LinuxSyscall>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resources {
    pub devices: Objects<DeviceRule>,
    pub memory: Option<Object<oci::LinuxMemory>>,
    pub cpu: Option<Object<oci::LinuxCpu>>,
    pub pids: Option<Object<Pids>>,
    #[serde(rename = "blockIO")]
    pub block_io: Option<Object<BlockIo>>,
    pub hugepage_limits: Objects<HugepageLimit>,
    pub network: Option<Object<Network>>,
    pub rdma: Option<BTreeMap<String, Object<Rdma>>>,
    pub unified: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DeviceRule {
    pub allow: bool,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    pub access: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pids {
    pub limit: Option<i64>,
}

/// `oci_spec` takes arrays for the objects in these lists, and a missing number for 0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockIo {
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
    pub weight_device: Objects<WeightDevice>,
    pub throttle_read_bps_device: Objects<ThrottleDevice>,
    pub throttle_write_bps_device: Objects<ThrottleDevice>,
    #[serde(rename = "throttleReadIOPSDevice")]
    pub throttle_read_iops_device: Objects<ThrottleDevice>,
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub throttle_write_iops_device: Objects<ThrottleDevice>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WeightDevice {
    pub major: i64,
    pub minor: i64,
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ThrottleDevice {
    pub major: i64,
    pub minor: i64,
    pub rate: u64,
}

/// Unsigned in the schema, signed in `oci_spec`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HugepageLimit {
    pub page_size: String,
    pub limit: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Network {
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    pub priorities: Objects<InterfacePriority>,
}

#[derive(Debug, Deserialize)]
pub(super) struct InterfacePriority {
    pub name: String,
    pub priority: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rdma {
    pub hca_handles: Option<u32>,
    pub hca_objects: Option<u32>,
}

/// Unknown fields are no error (config.md, "Extensibility").
pub(super) fn read(json: &[u8]) -> Result<Document, Error> {
    match serde_json::from_slice::<Object<Document>>(json) {
        Ok(document) => Ok(document.0),
        Err(_) if json.trim_ascii() == b"null" => Err(Error::Null),
        Err(fault) => Err(describe(&fault, json, "config.json: ")),
    }
}

/// `linux.resources` by itself; null is nothing.
pub(super) fn read_resources(json: &[u8]) -> Result<Option<Resources>, Error> {
    match serde_json::from_slice::<Option<Object<Resources>>>(json) {
        Ok(resources) => Ok(resources.map(Object::members)),
        Err(fault) => Err(describe(&fault, json, "resources: ")),
    }
}

/// `process` by itself.
pub(super) fn read_process(json: &[u8]) -> Result<Process, Error> {
    match serde_json::from_slice::<Object<Process>>(json) {
        Ok(process) => Ok(process.members()),
        Err(fault) => Err(describe(&fault, json, "process: ")),
    }
}

/// What is wrong with `json`, in which place of `document`.
fn describe(fault: &serde_json::Error, json: &[u8], document: &str) -> Error {
    let (line, column) = (fault.line(), fault.column());
    let text = fault.to_string();
    let position = format!(" at line {line} column {column}");
    let reason = text.strip_suffix(&position).unwrap_or(&text).to_owned();
    let at = match fault.classify() {
        // A number in the place of a word is a fault of syntax for serde_json.
        Category::Data | Category::Syntax => locate::path_at(json, line, column),
        Category::Eof | Category::Io => String::new(),
    };
    Error::Json {
        at: format!("{document}{at}"),
        line,
        column,
        reason,
    }
}
