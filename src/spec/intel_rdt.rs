//! `linux.intelRdt`: which part of the caches and of the bandwidth of memory a container has.

use std::path::PathBuf;

use oci_spec::runtime::LinuxIntelRdt;

use super::error::{At, Error};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntelRdt {
    /// The name of its class of service; `None`: the container's own.
    pub class: Option<String>,
    /// For the file `schemata`, in order; without any, the class is as somebody has made it.
    pub schemata: Vec<String>,
    /// Whether it is counted by itself, and not with all of its class.
    pub is_monitored: bool,
}

/// Where a container is in the resctrl filesystem. It is recorded before anything is made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RdtGroups {
    pub class: PathBuf,
    /// The class is made for this container, and goes when it goes and nobody else is in it.
    pub is_made: bool,
    pub monitor: Option<PathBuf>,
}

/// What else lies beside the classes.
const RESERVED: [&str; 3] = ["info", "mon_data", "mon_groups"];

pub(super) fn convert(asked: &LinuxIntelRdt, at: At<'_>) -> Result<IntelRdt, Error> {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let class = set(asked.clos_id());
    if let Some(name) = &class {
        let is_odd = name.contains(['/', '\n', '\0']) || matches!(name.as_str(), "." | "..");
        if is_odd || RESERVED.contains(&name.as_str()) {
            return Err(at
                .key("closID")
                .fault(format_args!("{name:?} is no name of a class of service")));
        }
    }
    let bandwidth = set(asked.mem_bw_schema());
    if let Some(line) = &bandwidth
        && (!line.starts_with("MB:") || line.contains('\n'))
    {
        return Err(at
            .key("memBwSchema")
            .fault(format_args!("{line:?} is no line like MB:0=20;1=70")));
    }
    let cache = set(asked.l3_cache_schema()).unwrap_or_default();
    // config-linux.md: the other field says it.
    let is_cache = |line: &&str| bandwidth.is_none() || !line.starts_with("MB:");
    let lines = cache.lines().filter(is_cache).map(String::from);
    let mut schemata: Vec<String> = lines.chain(bandwidth.clone()).collect();
    for (index, line) in asked.schemata().iter().flatten().enumerate() {
        if line.is_empty() || line.contains('\n') {
            return Err(at
                .key("schemata")
                .index(index)
                .fault(format_args!("{line:?} is not one line")));
        }
        schemata.push(line.clone());
    }
    schemata.retain(|line| !line.is_empty());
    Ok(IntelRdt {
        class,
        schemata,
        is_monitored: asked.enable_monitoring().unwrap_or(false),
    })
}
