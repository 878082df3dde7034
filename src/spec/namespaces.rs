//! `linux.namespaces`, and what is said of the inside of new ones: id maps, clocks, names.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;

use oci_spec::runtime as oci;

use super::container::{IdMap, IdMaps, Namespace, Namespaces, TimeOffsets};
use super::document::{IdMapping, Object, Objects};
use super::error::{At, Error};
use super::units::AbsPath;

/// Lines of a uid_map, since Linux 4.15 (user_namespaces(7)).
const MOST_MAPS: usize = 340;

pub(super) fn convert(list: Objects<oci::LinuxNamespace>, at: At<'_>) -> Result<Namespaces, Error> {
    let mut namespaces = Namespaces::default();
    for (index, entry) in list.iter().flatten().enumerate() {
        let at = at.index(index);
        let (slot, kind) = match entry.typ() {
            oci::LinuxNamespaceType::Pid => (&mut namespaces.pid, "pid"),
            oci::LinuxNamespaceType::Network => (&mut namespaces.network, "network"),
            oci::LinuxNamespaceType::Mount => (&mut namespaces.mount, "mount"),
            oci::LinuxNamespaceType::Ipc => (&mut namespaces.ipc, "ipc"),
            oci::LinuxNamespaceType::Uts => (&mut namespaces.uts, "uts"),
            oci::LinuxNamespaceType::User => (&mut namespaces.user, "user"),
            oci::LinuxNamespaceType::Cgroup => (&mut namespaces.cgroup, "cgroup"),
            oci::LinuxNamespaceType::Time => (&mut namespaces.time, "time"),
        };
        if *slot != Namespace::Share {
            return Err(at.key("type").fault(format_args!("{kind} is listed twice")));
        }
        let path = entry.path().as_deref().map(|path| path.as_os_str());
        *slot = match path.filter(|path| !path.is_empty()) {
            None => Namespace::New,
            Some(path) => {
                Namespace::Join(AbsPath::new(path).map_err(|reason| at.key("path").fault(reason))?)
            }
        };
    }
    if namespaces.mount == Namespace::Share {
        let reason = "a container without a mount namespace is not supported";
        return Err(at.fault(reason));
    }
    Ok(namespaces)
}

impl Namespace {
    /// Whether the container has it to itself or with other containers, and not with the runtime:
    /// what is written there does not reach the host. `name` is its file in /proc/self/ns.
    pub(super) fn is_apart(&self, name: &str) -> bool {
        let identity = |path: &std::path::Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.dev(), file.ino()))
        };
        match self {
            Namespace::Share => false,
            Namespace::New => true,
            Namespace::Join(path) => {
                let ours = identity(&std::path::Path::new("/proc/self/ns").join(name));
                // One that cannot be looked at cannot be joined either; that is said there.
                ours.is_none() || identity(path.as_path()) != ours
            }
        }
    }
}

/// `hostname` and `domainname`; empty is unset.
pub(super) fn convert_name(
    name: Option<String>,
    key: &str,
    namespaces: &Namespaces,
) -> Result<Option<CString>, Error> {
    let at = At::Top.key(key);
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    if !namespaces.uts.is_apart("uts") {
        return Err(at.fault("cannot be set without a uts namespace of its own"));
    }
    // __NEW_UTS_LEN of sethostname(2).
    if name.len() > 64 {
        let length = name.len();
        return Err(at.fault(format_args!(
            "{length} bytes is more than 64, the most the kernel takes"
        )));
    }
    CString::new(name)
        .map(Some)
        .map_err(|_| at.fault("contains a NUL byte"))
}

/// Beside a path the maps describe the joined namespace (containerd and CRI-O give both), and are
/// not written.
pub(super) fn convert_id_maps(
    uids: Objects<IdMapping>,
    gids: Objects<IdMapping>,
    user: &Namespace,
    linux: At<'_>,
) -> Result<IdMaps, Error> {
    let convert = |list: Objects<IdMapping>, key| {
        let at = linux.key(key);
        let list = list.unwrap_or_default();
        match (user, list.is_empty()) {
            (Namespace::Share, false) => Err(at.fault("cannot be used without a user namespace")),
            (Namespace::New, true) => Err(at.fault("a new user namespace needs it")),
            _ => {
                let maps = convert_map(&list, at)?;
                // Until it takes the user of the process, what sets the container up is its root.
                if !maps.is_empty() && !maps.iter().any(|map| map.container == 0) {
                    return Err(at.fault("id 0 of the container is not mapped"));
                }
                Ok(maps)
            }
        }
    };
    Ok(IdMaps {
        uids: convert(uids, "uidMappings")?,
        gids: convert(gids, "gidMappings")?,
    })
}

/// The kernel's own conditions (map_write in kernel/user_namespace.c): it says EINVAL to each.
pub(super) fn convert_map(list: &[Object<IdMapping>], at: At<'_>) -> Result<Vec<IdMap>, Error> {
    if list.len() > MOST_MAPS {
        let count = list.len();
        return Err(at.fault(format_args!(
            "{count} lines are more than {MOST_MAPS}, the most the kernel takes"
        )));
    }
    let mut maps: Vec<IdMap> = Vec::with_capacity(list.len());
    for (index, line) in list.iter().enumerate() {
        let at = at.index(index);
        let map = IdMap {
            container: line.container,
            host: line.host,
            size: line.size,
        };
        if map.size == 0 {
            return Err(at.key("size").fault("0 maps no id"));
        }
        for (key, first) in [("containerID", map.container), ("hostID", map.host)] {
            if first.checked_add(map.size).is_none() {
                let size = map.size;
                return Err(at
                    .key(key)
                    .fault(format_args!("{size} ids from {first} go beyond 4294967294")));
            }
        }
        let overlap = |a: u32, b: u32, size: u32| a < b + map.size && b < a + size;
        for (other, earlier) in maps.iter().enumerate() {
            if overlap(earlier.container, map.container, earlier.size)
                || overlap(earlier.host, map.host, earlier.size)
            {
                return Err(at.fault(format_args!("overlaps entry {other}")));
            }
        }
        maps.push(map);
    }
    Ok(maps)
}

pub(super) fn convert_offsets(
    offsets: Option<BTreeMap<String, Object<oci::LinuxTimeOffset>>>,
    time: &Namespace,
    at: At<'_>,
) -> Result<Option<TimeOffsets>, Error> {
    let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) else {
        return Ok(None);
    };
    if *time != Namespace::New {
        return Err(at.fault("cannot be set without a new time namespace"));
    }
    let mut found = TimeOffsets::default();
    for (clock, offset) in &offsets {
        let at = at.key(clock);
        let nanos = offset.nanosecs().unwrap_or(0);
        if nanos > 999_999_999 {
            return Err(at
                .key("nanosecs")
                .fault(format_args!("{nanos} is a second or more")));
        }
        let offset = Some((offset.secs().unwrap_or(0), nanos));
        match clock.as_str() {
            "monotonic" => found.monotonic = offset,
            "boottime" => found.boottime = offset,
            _ => return Err(at.fault("a time namespace has no such clock")),
        }
    }
    Ok(Some(found))
}
