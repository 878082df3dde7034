//! `linux.intelRdt`: which part of the caches and of the bandwidth of memory a container has.

use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::LinuxIntelRdt;
use serde::{Deserialize, Serialize};

use super::error::{At, Error};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntelRdt {
    pub class: Class,
    /// For the file `schemata`, in order; without any, the class is as somebody has made it.
    pub schemata: Vec<String>,
    /// Whether it is counted by itself, and not with all of its class.
    pub is_monitored: bool,
}

/// A class of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The container's own, which has its id for a name.
    Own,
    Named(String),
    /// The root of the filesystem: the class of all that are in no other (config-linux.md, `/`).
    Default,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "of its own",
            Self::Named(name) => name,
            Self::Default => "that is the default",
        })
    }
}

/// Where a container is in the resctrl filesystem. It is recorded before anything is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdtGroups {
    pub class: PathBuf,
    pub whose: Whose,
    pub monitor: Option<PathBuf>,
}

/// Who has a say in a class that a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// Made for the container; it goes when that goes and nobody else is in it.
    Container,
    /// It has a name by which others enter it too, and stays (as runc has it).
    Several,
    /// The default class: neither made nor changed nor removed.
    Host,
}

/// What else lies beside the classes.
const RESERVED: [&str; 3] = ["info", "mon_data", "mon_groups"];

pub(super) fn convert(asked: &LinuxIntelRdt, at: At<'_>) -> Result<IntelRdt, Error> {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let class = convert_class(set(asked.clos_id()), at.key("closID"))?;
    let (cache, bandwidth) = (asked.l3_cache_schema(), asked.mem_bw_schema());
    let mut schemata = convert_schemata(cache.as_deref(), bandwidth.as_deref(), at)?;
    for (index, line) in asked.schemata().iter().flatten().enumerate() {
        if line.is_empty() || line.contains('\n') {
            return Err(at
                .key("schemata")
                .index(index)
                .fault(format_args!("{line:?} is not one line")));
        }
        schemata.push(line.clone());
    }
    Ok(IntelRdt {
        class,
        schemata,
        is_monitored: asked.enable_monitoring().unwrap_or(false),
    })
}

/// The lines that two fields have; an empty field is unset.
pub(super) fn convert_schemata(
    cache: Option<&str>,
    bandwidth: Option<&str>,
    at: At<'_>,
) -> Result<Vec<String>, Error> {
    let bandwidth = bandwidth.filter(|line| !line.is_empty());
    if let Some(line) = bandwidth
        && (!line.starts_with("MB:") || line.contains('\n'))
    {
        return Err(at
            .key("memBwSchema")
            .fault(format_args!("{line:?} is no line like MB:0=20;1=70")));
    }
    // config-linux.md: the other field says it.
    let is_cache = |line: &&str| bandwidth.is_none() || !line.starts_with("MB:");
    let lines = cache.unwrap_or_default().lines().filter(is_cache);
    let lines = lines.chain(bandwidth).filter(|line| !line.is_empty());
    Ok(lines.map(String::from).collect())
}

fn convert_class(name: Option<String>, at: At<'_>) -> Result<Class, Error> {
    let Some(name) = name else {
        return Ok(Class::Own);
    };
    if name == "/" {
        return Ok(Class::Default);
    }
    let is_odd = name.contains(['/', '\n', '\0']) || matches!(name.as_str(), "." | "..");
    if is_odd || RESERVED.contains(&name.as_str()) {
        return Err(at.fault(format_args!("{name:?} is no name of a class of service")));
    }
    Ok(Class::Named(name))
}
