//! `linux.resources` and `linux.cgroupsPath` to [`Limits`] and [`GroupPath`].

mod block_io;
mod cpu;
mod devices;
mod memory;

use std::collections::BTreeMap;

use super::document::{HugepageLimit, Network as AskedNetwork, Objects, Pids, Rdma as AskedRdma};
use super::document::{Object, Resources};
use super::error::{At, Error};
use super::limits::{BlockIo, ControlFile, Cpu, GroupPath, HugePages, Limits, Memory, Network};
use super::limits::{Priority, Rdma};
use super::units::{Bytes, InRoot, Limit, Micros};

/// What a `pids.limit` of 0 says.
#[derive(Clone, Copy)]
pub(super) enum NoPids {
    Unset,
    /// The one process that is there may not fork.
    One,
}

impl NoPids {
    /// Before 1.3 of the OCI engines wrote 0 for no limit (CRI-O before 1.29, Podman for `-1`), and
    /// runc took it for unset. Since then (config-linux.md, "Pids"; runc 1.4) it is a number.
    pub(super) fn of_version(oci_version: &str) -> Self {
        let minor = oci_version.split('.').nth(1);
        match minor.and_then(|minor| minor.parse().ok()) {
            Some(0..=2) => Self::Unset,
            _ => Self::One,
        }
    }
}

pub(super) fn convert(
    resources: Option<Resources>,
    no_pids: NoPids,
    at: At<'_>,
) -> Result<Limits, Error> {
    let Some(resources) = resources else {
        return Ok(Limits::default());
    };
    let memory = resources.memory.as_deref();
    let cpu = resources.cpu.as_deref();
    let block_io = resources.block_io.as_deref();
    let network = resources.network.map(Object::members);
    Ok(Limits {
        memory: memory.map_or(Ok(Memory::default()), |memory| {
            memory::convert(memory, at.key("memory"))
        })?,
        cpu: cpu.map_or(Ok(Cpu::default()), |cpu| cpu::convert(cpu, at.key("cpu")))?,
        pids: convert_pids(resources.pids.as_deref(), no_pids),
        block_io: block_io.map_or(Ok(BlockIo::default()), |block_io| {
            block_io::convert(block_io, at.key("blockIO"))
        })?,
        huge_pages: convert_huge_pages(resources.hugepage_limits, at.key("hugepageLimits"))?,
        network: network.map_or(Ok(Network::default()), |network| {
            convert_network(network, at.key("network"))
        })?,
        rdma: convert_rdma(resources.rdma, at.key("rdma"))?,
        unified: convert_unified(resources.unified, at.key("unified"))?,
        devices: devices::convert(resources.devices, at.key("devices"))?,
    })
}

fn convert_pids(pids: Option<&Pids>, no_pids: NoPids) -> Option<Limit<u64>> {
    Some(match (pids?.limit?, no_pids) {
        (0, NoPids::Unset) => return None,
        // As runc writes it: systemd refuses a TasksMax of 0.
        (0, NoPids::One) => Limit::At(1),
        (limit, _) => u64::try_from(limit).map_or(Limit::None, Limit::At),
    })
}

/// The name as the kernel has it in its files (config-linux.md): a number that begins with 1 to 9, and
/// KB, MB or GB. Which sizes there are only the kernel knows.
fn convert_huge_pages(list: Objects<HugepageLimit>, at: At<'_>) -> Result<Vec<HugePages>, Error> {
    let is_size = |size: &str| {
        let units = ["KB", "MB", "GB"];
        let number = units.iter().find_map(|unit| size.strip_suffix(unit));
        number.is_some_and(|n| {
            !n.is_empty() && !n.starts_with('0') && n.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let mut limits = Vec::new();
    for (index, one) in list.into_iter().flatten().enumerate() {
        let HugepageLimit { page_size, limit } = one.members();
        if !is_size(&page_size) {
            let reason = format_args!("{page_size:?} is no size like 64KB, 2MB or 1GB");
            return Err(at.index(index).key("pageSize").fault(reason));
        }
        let limit = Bytes(limit);
        limits.push(HugePages { page_size, limit });
    }
    Ok(limits)
}

fn convert_network(network: AskedNetwork, at: At<'_>) -> Result<Network, Error> {
    let at = at.key("priorities");
    let mut priorities = Vec::new();
    for (index, one) in network.priorities.into_iter().flatten().enumerate() {
        let (interface, priority) = (one.members(), at.index(index));
        let at = priority.key("name");
        check_word(&interface.name, at)?;
        priorities.push(Priority {
            interface: interface.name,
            priority: interface.priority,
        });
    }
    Ok(Network {
        class_id: network.class_id.filter(|&class| class != 0),
        priorities,
    })
}

fn convert_rdma(
    map: Option<BTreeMap<String, Object<AskedRdma>>>,
    at: At<'_>,
) -> Result<Vec<Rdma>, Error> {
    let mut limits = Vec::new();
    for (device, one) in map.into_iter().flatten() {
        let at = at.key(&device);
        check_word(&device, at)?;
        let (handles, objects) = (one.hca_handles, one.hca_objects);
        if handles.or(objects).is_none() {
            return Err(at.fault("neither hcaHandles nor hcaObjects"));
        }
        limits.push(Rdma {
            device,
            handles,
            objects,
        });
    }
    Ok(limits)
}

/// A name that stands before a blank in a line for the kernel.
fn check_word(name: &str, at: At<'_>) -> Result<(), Error> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(at.fault(format_args!("{name:?} is no name of a device")));
    }
    Ok(())
}

fn convert_unified(
    map: Option<BTreeMap<String, String>>,
    at: At<'_>,
) -> Result<BTreeMap<ControlFile, String>, Error> {
    let map = map.into_iter().flatten();
    map.map(|(name, value)| {
        let file = ControlFile::new(&name).map_err(|reason| at.key(&name).fault(reason))?;
        if value.trim().is_empty() {
            return Err(at.key(&name).fault("no value"));
        }
        Ok((file, value))
    })
    .collect()
}

/// `..` stops at the root of the hierarchy, as a name: no path leads out of it.
pub(super) fn convert_path(path: Option<String>, at: At<'_>) -> Result<GroupPath, Error> {
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return Ok(GroupPath::Default);
    };
    let clean = InRoot::new(&path).map_err(|reason| at.fault(reason))?;
    if clean.is_root() {
        return Err(at.fault(format_args!("{path:?} names no group of its own")));
    }
    let clean = clean.to_string();
    Ok(if path.starts_with('/') {
        GroupPath::Absolute(clean)
    } else {
        GroupPath::Relative(clean[1..].to_owned())
    })
}
