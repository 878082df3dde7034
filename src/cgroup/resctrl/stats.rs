//! What resctrl counts of a container: the types have the names and the shape that `runc events` prints.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::spec::intel_rdt::{RdtGroups, Whose};

/// What this kernel does not tell is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_info: Option<CacheInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3_cache_schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_info: Option<BandwidthInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_schema_root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_bw_schema: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schemata: Vec<String>,
    /// One for each L3 cache, as the next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mbm_stats: Vec<Bandwidth>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cmt_stats: Vec<Occupancy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct CacheInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    cbm_mask: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_cbm_bits: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_closids: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct BandwidthInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth_gran: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_linear: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_bandwidth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_closids: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Bandwidth {
    #[serde(skip_serializing_if = "Option::is_none")]
    mbm_total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mbm_local_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Occupancy {
    llc_occupancy: u64,
}

impl Stats {
    /// Counts of its monitored group where it has one, else of all in its class.
    pub fn read(groups: &RdtGroups) -> Self {
        let class = groups.class.as_path();
        let root = match groups.whose {
            Whose::Host => class,
            Whose::Container | Whose::Several => class.parent().unwrap_or(class),
        };
        let (of_all, schemata) = (lines(root), lines(class));
        let mut stats = Self {
            l3_cache_info: cache_info(&root.join("info/L3")),
            l3_cache_schema_root: line_of(&of_all, "L3:"),
            l3_cache_schema: line_of(&schemata, "L3:"),
            mem_bw_info: bandwidth_info(&root.join("info/MB")),
            mem_bw_schema_root: line_of(&of_all, "MB:"),
            mem_bw_schema: line_of(&schemata, "MB:"),
            schemata,
            ..Self::default()
        };
        let counted = groups.monitor.as_deref().unwrap_or(class);
        stats.count(&counted.join("mon_data"));
        stats
    }

    /// `mon_data` has a folder for each domain: `mon_L3_00`.
    fn count(&mut self, data: &Path) {
        let entries = fs::read_dir(data).into_iter().flatten().flatten();
        let mut domains: Vec<_> = entries.map(|entry| entry.path()).collect();
        domains.sort_unstable();
        for domain in domains {
            let bandwidth = Bandwidth {
                mbm_total_bytes: value(&domain, "mbm_total_bytes"),
                mbm_local_bytes: value(&domain, "mbm_local_bytes"),
            };
            if bandwidth.mbm_total_bytes.is_some() || bandwidth.mbm_local_bytes.is_some() {
                self.mbm_stats.push(bandwidth);
            }
            let occupancy = value(&domain, "llc_occupancy");
            self.cmt_stats
                .extend(occupancy.map(|llc_occupancy| Occupancy { llc_occupancy }));
        }
    }
}

fn cache_info(info: &Path) -> Option<CacheInfo> {
    info.is_dir().then(|| CacheInfo {
        cbm_mask: value(info, "cbm_mask"),
        min_cbm_bits: value(info, "min_cbm_bits"),
        num_closids: value(info, "num_closids"),
    })
}

fn bandwidth_info(info: &Path) -> Option<BandwidthInfo> {
    info.is_dir().then(|| BandwidthInfo {
        bandwidth_gran: value(info, "bandwidth_gran"),
        delay_linear: value(info, "delay_linear"),
        min_bandwidth: value(info, "min_bandwidth"),
        num_closids: value(info, "num_closids"),
    })
}

/// The kernel pads lines with blanks on the left.
fn lines(class: &Path) -> Vec<String> {
    let text = fs::read_to_string(class.join("schemata")).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn line_of(lines: &[String], resource: &str) -> Option<String> {
    lines
        .iter()
        .find(|line| line.starts_with(resource))
        .cloned()
}

/// A count may be a word: `Unavailable`, `Error`.
fn value<T: FromStr>(folder: &Path, name: &str) -> Option<T> {
    let text = fs::read_to_string(folder.join(name)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let file = root.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }

    fn read(class: &Path, whose: Whose, monitor: Option<&Path>) -> serde_json::Value {
        let groups = RdtGroups {
            class: class.into(),
            whose,
            monitor: monitor.map(Path::to_path_buf),
        };
        serde_json::to_value(Stats::read(&groups)).unwrap()
    }

    #[test]
    fn a_class_tells_what_it_may_use_and_uses() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("schemata", "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n"),
                ("info/L3/cbm_mask", "7ff\n"),
                ("info/L3/min_cbm_bits", "2\n"),
                ("info/L3/num_closids", "16\n"),
                ("info/MB/bandwidth_gran", "10\n"),
                ("info/MB/delay_linear", "1\n"),
                ("info/MB/min_bandwidth", "10\n"),
                ("info/MB/num_closids", "8\n"),
                ("gold/schemata", "    MB:0= 20;1= 70\n    L3:0=7f0;1=01f\n"),
                ("gold/mon_data/mon_L3_01/mbm_total_bytes", "3\n"),
                ("gold/mon_data/mon_L3_01/mbm_local_bytes", "2\n"),
                ("gold/mon_data/mon_L3_01/llc_occupancy", "4096\n"),
                ("gold/mon_data/mon_L3_00/mbm_total_bytes", "1\n"),
                ("gold/mon_data/mon_L3_00/mbm_local_bytes", "Unavailable\n"),
                ("gold/mon_data/mon_L3_00/llc_occupancy", "0\n"),
            ],
        );
        let seen = json!({
            "l3_cache_info": { "cbm_mask": "7ff", "min_cbm_bits": 2, "num_closids": 16 },
            "l3_cache_schema_root": "L3:0=7ff;1=7ff",
            "l3_cache_schema": "L3:0=7f0;1=01f",
            "mem_bw_info": {
                "bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8,
            },
            "mem_bw_schema_root": "MB:0=100;1=100",
            "mem_bw_schema": "MB:0= 20;1= 70",
            "schemata": ["MB:0= 20;1= 70", "L3:0=7f0;1=01f"],
            "mbm_stats": [{ "mbm_total_bytes": 1 }, { "mbm_total_bytes": 3, "mbm_local_bytes": 2 }],
            "cmt_stats": [{ "llc_occupancy": 0 }, { "llc_occupancy": 4096 }],
        });
        assert_eq!(read(&root.path().join("gold"), Whose::Several, None), seen);
    }

    #[test]
    fn what_is_monitored_is_counted_by_itself() {
        let root = tempfile::tempdir().unwrap();
        let own = "mon_groups/box/mon_data/mon_L3_00/llc_occupancy";
        write(
            root.path(),
            &[
                ("schemata", "L3:0=f\n"),
                ("mon_data/mon_L3_00/llc_occupancy", "900\n"),
                (own, "9\n"),
            ],
        );
        let monitor = root.path().join("mon_groups/box");
        let seen = json!({
            "l3_cache_schema_root": "L3:0=f", "l3_cache_schema": "L3:0=f", "schemata": ["L3:0=f"],
            "cmt_stats": [{ "llc_occupancy": 9 }],
        });
        assert_eq!(read(root.path(), Whose::Host, Some(&monitor)), seen);
        let gone = root.path().join("gone/box");
        assert_eq!(read(&gone, Whose::Container, None), json!({}));
    }
}
