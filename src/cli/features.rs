//! `features`: what this runtime can do, for engines that ask before they use it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::arguments::Order;
use super::usage::Count;
use super::{Call, Command, context, output, program};
use crate::spec::{options, scheduling, seccomp};

pub(super) const COMMAND: Command = Command {
    name: "features",
    about: "show what this runtime supports",
    arguments: "",
    count: Count::Exactly(0),
    order: Order::Anywhere,
    shielded: false,
    detail: "Prints the features document of the OCI runtime specification.",
    flags: context::none,
    run,
};

/// The names of the runtime-spec's features.md.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: &'static [&'static str],
    mount_options: Vec<&'static str>,
    linux: Linux,
    annotations: BTreeMap<&'static str, &'static str>,
    potentially_unsafe_config_annotations: [&'static str; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: &'static [&'static str],
    capabilities: Vec<String>,
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: IntelRdt,
    memory_policy: MemoryPolicy,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: &'static [&'static str],
    operators: &'static [&'static str],
    archs: &'static [&'static str],
    known_flags: &'static [&'static str],
    supported_flags: &'static [&'static str],
}

#[derive(Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Serialize)]
struct MemoryPolicy {
    modes: [&'static str; 7],
    flags: [&'static str; 3],
}

#[derive(Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

/// Whether the host can is another question (features-linux.md).
const YES: Enabled = Enabled { enabled: true };

fn features() -> Features {
    Features {
        oci_version_min: "1.0.0",
        oci_version_max: program::SPEC,
        hooks: &[
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        ],
        mount_options: options::names().collect(),
        linux: linux(),
        // Engines look for the release of runc whose command line this is.
        annotations: BTreeMap::from([
            // As in runc: that there are such commands, be criu installed by now or not.
            ("org.opencontainers.runc.checkpoint.enabled", "true"),
            ("org.opencontainers.runc.version", program::RUNC),
        ]),
        // By these a document names a file that CRIU obeys, and sets properties of its unit.
        potentially_unsafe_config_annotations: ["org.criu.config", "org.systemd.property."],
    }
}

fn linux() -> Linux {
    let mut capabilities: Vec<caps::Capability> = caps::all().into_iter().collect();
    capabilities.sort_unstable_by_key(caps::Capability::index);
    Linux {
        namespaces: &[
            "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
        ],
        capabilities: capabilities.iter().map(ToString::to_string).collect(),
        cgroup: Cgroup {
            v1: true,
            v2: true,
            systemd: true,
            systemd_user: true,
            rdma: true,
        },
        seccomp: Seccomp {
            enabled: true,
            actions: seccomp::ACTIONS,
            operators: seccomp::OPERATORS,
            archs: seccomp::ARCHS,
            known_flags: seccomp::FLAGS,
            supported_flags: seccomp::FLAGS,
        },
        apparmor: YES,
        selinux: YES,
        intel_rdt: IntelRdt {
            enabled: true,
            schemata: true,
            monitoring: true,
        },
        memory_policy: MemoryPolicy {
            modes: scheduling::memory_policy_modes(),
            flags: scheduling::MEMORY_POLICY_FLAGS,
        },
        mount_extensions: MountExtensions {
            idmap: Enabled { enabled: true },
        },
        net_devices: YES,
    }
}

fn run(_: &Call) -> Result<u8, anyhow::Error> {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, indent);
    features().serialize(&mut writer)?;
    output::print(&(String::from_utf8(text)? + "\n"))?;
    Ok(0)
}
