//! What `linux` asks of the kernel beside namespaces and limits: devices, sysctls, paths that are
//! hidden, propagation, personality.

use std::collections::BTreeMap;

use oci_spec::runtime as oci;

use super::container::{Device, Namespaces, NodeKind, Personality, Sysctl};
use super::document::{self, List, Objects};
use super::error::{At, Error};
use super::mounts::Propagation;
use super::options::{self, Word};
use super::units::InRoot;

pub(super) fn convert_devices(
    list: Objects<document::Device>,
    at: At<'_>,
) -> Result<Vec<Device>, Error> {
    let list = list.unwrap_or_default();
    let mut devices = Vec::with_capacity(list.len());
    for (index, device) in list.iter().enumerate() {
        devices.push(convert_device(device, at.index(index))?);
    }
    Ok(devices)
}

fn convert_device(device: &document::Device, at: At<'_>) -> Result<Device, Error> {
    let path = convert_path(&device.path, at.key("path"))?;
    if path.is_root() {
        return Err(at.key("path").fault("the root is no device"));
    }
    let kind = match device.kind {
        oci::LinuxDeviceType::C | oci::LinuxDeviceType::U => NodeKind::Char,
        oci::LinuxDeviceType::B => NodeKind::Block,
        oci::LinuxDeviceType::P => NodeKind::Fifo,
        oci::LinuxDeviceType::A => return Err(at.key("type").fault("a node is b, c, u or p")),
    };
    let number = |key, value: Option<i64>, bits: u32| match value {
        _ if kind == NodeKind::Fifo => Ok(0),
        None => Err(at.key(key).fault("a device needs one")),
        // 12 bits and 20 (dev_t in linux/kdev_t.h).
        Some(value) => u32::try_from(value)
            .ok()
            .filter(|value| value >> bits == 0)
            .ok_or_else(|| {
                at.key(key)
                    .fault(format_args!("{value} does not fit in {bits} bits"))
            }),
    };
    // Engines give the whole st_mode of the host's node, its type included.
    let mode = device.file_mode.map_or(0o666, |mode| mode & !libc::S_IFMT);
    if mode > 0o7777 {
        return Err(at
            .key("fileMode")
            .fault(format_args!("{mode} is above 4095 (octal 7777)")));
    }
    let id = |key, id: Option<u32>| match id.unwrap_or(0) {
        u32::MAX => Err(at.key(key).fault("4294967295 is no id")),
        id => Ok(id),
    };
    Ok(Device {
        path,
        kind,
        major: number("major", device.major, 12)?,
        minor: number("minor", device.minor, 20)?,
        mode,
        uid: id("uid", device.uid)?,
        gid: id("gid", device.gid)?,
    })
}

/// A path of the inside, which must be absolute (config-linux.md).
fn convert_path(path: &str, at: At<'_>) -> Result<InRoot, Error> {
    if !path.starts_with('/') {
        return Err(at.fault(format_args!("{path:?} is not an absolute path")));
    }
    InRoot::new(path).map_err(|reason| at.fault(reason))
}

/// `maskedPaths` and `readonlyPaths`.
pub(super) fn convert_paths(list: List<String>, at: At<'_>) -> Result<Vec<InRoot>, Error> {
    let list = list.unwrap_or_default();
    let mut paths = Vec::with_capacity(list.len());
    for (index, path) in list.iter().enumerate() {
        paths.push(convert_path(path, at.index(index))?);
    }
    Ok(paths)
}

/// Keys of the ipc namespace (ipc_namespaces(7)); all of `fs.mqueue` is of it too.
const OF_IPC: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

pub(super) fn convert_sysctls(
    map: Option<BTreeMap<String, String>>,
    namespaces: &Namespaces,
    at: At<'_>,
) -> Result<Vec<Sysctl>, Error> {
    let map = map.unwrap_or_default();
    let mut sysctls = Vec::with_capacity(map.len());
    for (given, value) in map {
        let at = at.key(&given);
        let key = dotted(&given);
        // As a path these are ``, `.` and `..`, and lead to a key that was not looked at here.
        let stray = |part: &str| matches!(part, "" | "/" | "//");
        if key.contains('\0') || key.split('.').any(stray) {
            return Err(at.fault("is no name of a sysctl"));
        }
        check_sysctl(&key, namespaces).map_err(|reason| at.fault(reason))?;
        if value.contains('\0') {
            return Err(at.fault("the value contains a NUL byte"));
        }
        sysctls.push(Sysctl { key, value });
    }
    Ok(sysctls)
}

impl Sysctl {
    /// Below /proc/sys. A dot that is part of a name is written `/` in the key.
    pub fn file(&self) -> String {
        swapped(&self.key)
    }
}

fn swapped(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        })
        .collect()
}

/// sysctl(8) takes `net/ipv4/conf/eth0.1/forwarding` for `net.ipv4.conf.eth0/1.forwarding`: the
/// separator that comes first is the one that separates.
fn dotted(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'/' => swapped(key),
        _ => key.to_owned(),
    }
}

/// Most of /proc/sys belongs to the host; a namespace has these parts of it.
fn check_sysctl(key: &str, namespaces: &Namespaces) -> Result<(), &'static str> {
    if key.starts_with("net.") {
        if !namespaces.network.is_apart("net") {
            return Err("cannot be set without a network namespace of its own");
        }
    } else if OF_IPC.contains(&key) || key.starts_with("fs.mqueue.") {
        if !namespaces.ipc.is_apart("ipc") {
            return Err("cannot be set without an ipc namespace of its own");
        }
    } else if key == "kernel.domainname" {
        if !namespaces.uts.is_apart("uts") {
            return Err("cannot be set without a uts namespace of its own");
        }
    } else if key == "kernel.hostname" {
        return Err("is what hostname is for");
    } else {
        return Err("is not in a namespace: it would be set for the whole host");
    }
    Ok(())
}

pub(super) fn convert_propagation(
    word: Option<String>,
    at: At<'_>,
) -> Result<Option<Propagation>, Error> {
    let Some(word) = word.filter(|word| !word.is_empty()) else {
        return Ok(None);
    };
    match options::meaning(&word) {
        Some(Word::Propagate(kind, recursive)) => Ok(Some(Propagation { kind, recursive })),
        _ => Err(at.fault(format_args!("{word:?} is no kind of propagation"))),
    }
}

pub(super) fn convert_personality(
    personality: Option<&oci::LinuxPersonality>,
    at: At<'_>,
) -> Result<Option<Personality>, Error> {
    let Some(personality) = personality else {
        return Ok(None);
    };
    if personality.flags().iter().flatten().next().is_some() {
        let reason = "the OCI runtime specification has no flags yet";
        return Err(at.key("flags").fault(reason));
    }
    Ok(Some(match personality.domain() {
        oci::LinuxPersonalityDomain::PerLinux => Personality::Linux,
        oci::LinuxPersonalityDomain::PerLinux32 => Personality::Linux32,
    }))
}
