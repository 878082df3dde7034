//! config.json to [`Container`]: the one place that sees `oci_spec`.
//!
//! The document is untrusted in form: every fault is named by its path in the JSON, and what
//! leaves this module cannot be wrong.

pub mod container;
pub mod defaults;
mod document;
mod error;
mod hooks;
mod idmap;
pub mod intel_rdt;
mod kernel;
pub mod limits;
mod locate;
pub mod mounts;
mod namespaces;
pub mod net_devices;
pub mod numbers;
pub mod options;
pub mod overlay;
mod process;
mod resources;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod unit;
pub mod units;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime as oci;

pub use container::Container;
use container::{Process, Root};
use document::{Document, Linux, Object};
use error::At;
pub use error::Error;
use limits::Limits;
use mounts::Around;
use resources::NoPids;
use seccomp::Profile;
pub use units::Id;

/// What an engine writes is some 10 KB, 200 KB with a large seccomp profile.
const LARGEST: u64 = 16 << 20;

/// Reads the container that `bundle` describes: its config.json, or `config` if given, which is
/// taken from the bundle where it is relative.
pub fn load(bundle: &Path, config: Option<&Path>) -> Result<Container, Error> {
    parse(&read(bundle, config)?, bundle)
}

/// The text that [`load`] parses.
pub fn read(bundle: &Path, config: Option<&Path>) -> Result<Vec<u8>, Error> {
    let name = config.unwrap_or(Path::new("config.json"));
    let path = bundle.join(name);
    let fault = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(name.to_owned()),
        _ => Error::Read {
            path: path.clone(),
            source,
        },
    };
    // A FIFO in its place must not hold us up, nor a terminal become ours.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(&path)
        .map_err(fault)?;
    let about = file.metadata().map_err(fault)?;
    if !about.is_file() {
        return Err(Error::NotAFile(path));
    }
    // One byte more shows a file that has grown since.
    let expected = about.len().min(LARGEST) + 1;
    let mut json = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    file.take(LARGEST + 1)
        .read_to_end(&mut json)
        .map_err(fault)?;
    if json.len() as u64 > LARGEST {
        return Err(Error::Large {
            path,
            limit: LARGEST,
        });
    }
    Ok(json)
}

/// As [`load`], from the text of the document. `bundle` is where relative paths begin.
pub fn parse(json: &[u8], bundle: &Path) -> Result<Container, Error> {
    let document = document::read(json)?;
    let bundle = std::path::absolute(bundle).map_err(|source| Error::Read {
        path: bundle.to_owned(),
        source,
    })?;
    convert(document, &bundle)
}

/// New limits for a container that has some: an object of `linux.resources` by itself. What is not
/// mentioned is to stay as it is; the numbers are those of the newest OCI.
pub fn parse_resources(json: &[u8]) -> Result<Limits, Error> {
    let resources = document::read_resources(json)?;
    resources::convert(resources, NoPids::One, At::Resources)
}

/// New lines for the class of service of a container that has one, as two fields of `linux.intelRdt`
/// have them.
pub fn parse_schemata(cache: Option<&str>, bandwidth: Option<&str>) -> Result<Vec<String>, Error> {
    intel_rdt::convert_schemata(cache, bandwidth, At::Rdt)
}

/// A process for a container that is there: an object of `process` by itself. Its user has to be in the
/// container's maps, and what confines the container's own process confines it where it is silent.
pub fn parse_process(json: &[u8], container: &Container) -> Result<Process, Error> {
    let document = document::read_process(json)?;
    let has_capabilities = document.capabilities.is_some();
    let mut process = process::convert(document, &container.id_maps, At::Process)?;
    if let Some(first) = &container.process {
        process.inherit(first, has_capabilities);
    }
    if let Some(scheduler) = &process.scheduler {
        let asks = container
            .seccomp
            .as_ref()
            .is_some_and(|p| p.agent.is_some());
        scheduling::check_agent(scheduler, asks, At::Process.key("scheduler"))?;
    }
    Ok(process)
}

fn convert(document: Document, bundle: &Path) -> Result<Container, Error> {
    let oci_version = convert_version(document.oci_version.as_deref())?;
    refuse_foreign(&document)?;
    let root = document.root.as_deref();
    let process = document.process.map(Object::members);
    let hooks = document.hooks.map(Object::members);
    let linux = document.linux.map_or_else(Linux::default, Object::members);
    let at = At::Top.key("linux");
    let resources = linux.resources.map(Object::members);
    let no_pids = NoPids::of_version(&oci_version);
    let personality = linux.personality.as_deref();
    let intel_rdt = linux.intel_rdt.as_deref();
    let memory_policy = linux.memory_policy.as_deref();

    // What the other parts are checked against.
    let namespaces = namespaces::convert(linux.namespaces, at.key("namespaces"))?;
    let (uids, gids) = (linux.uid_mappings, linux.gid_mappings);
    let id_maps = namespaces::convert_id_maps(uids, gids, &namespaces.user, at)?;

    let around = Around {
        bundle,
        user: &namespaces.user,
        id_maps: &id_maps,
    };
    let process = process
        .map(|process| process::convert(process, &id_maps, At::Top.key("process")))
        .transpose()?;
    let hooks = hooks::convert(hooks)?;
    let scheduler = process
        .as_ref()
        .and_then(|process| process.scheduler.as_ref());
    let seccomp = convert_seccomp(linux.seccomp)?;
    if let Some(scheduler) = scheduler {
        let at = At::Top.key("process");
        let asks = seccomp
            .as_ref()
            .is_some_and(|profile| profile.agent.is_some());
        scheduling::check_agent(scheduler, asks, at.key("scheduler"))?;
        if !hooks.start_container.is_empty() {
            scheduling::check_hooks(scheduler, at.key("scheduler"))?;
        }
    }

    Ok(Container {
        oci_version,
        root: convert_root(root, linux.rootfs_propagation, bundle)?,
        process,
        hostname: namespaces::convert_name(document.hostname, "hostname", &namespaces)?,
        domainname: namespaces::convert_name(document.domainname, "domainname", &namespaces)?,
        mounts: mounts::convert(document.mounts, around)?,
        time_offsets: namespaces::convert_offsets(
            linux.time_offsets,
            &namespaces.time,
            at.key("timeOffsets"),
        )?,
        devices: kernel::convert_devices(linux.devices, at.key("devices"))?,
        sysctls: kernel::convert_sysctls(linux.sysctl, &namespaces, at.key("sysctl"))?,
        masked_paths: kernel::convert_paths(linux.masked_paths, at.key("maskedPaths"))?,
        readonly_paths: kernel::convert_paths(linux.readonly_paths, at.key("readonlyPaths"))?,
        personality: kernel::convert_personality(personality, at.key("personality"))?,
        intel_rdt: intel_rdt
            .map(|rdt| intel_rdt::convert(rdt, at.key("intelRdt")))
            .transpose()?,
        net_devices: net_devices::convert(linux.net_devices, &namespaces, at.key("netDevices"))?,
        mount_label: process::convert_label(linux.mount_label, at.key("mountLabel"))?,
        memory_policy: memory_policy
            .map(|policy| scheduling::convert_memory_policy(policy, at.key("memoryPolicy")))
            .transpose()?,
        seccomp,
        group_path: resources::convert_path(linux.cgroups_path, at.key("cgroupsPath"))?,
        limits: resources::convert(resources, no_pids, at.key("resources"))?,
        hooks,
        annotations: convert_annotations(document.annotations)?,
        namespaces,
        id_maps,
    })
}

/// SemVer 2.0.0 of major 1: all of that major are compatible (spec.md).
fn convert_version(version: Option<&str>) -> Result<String, Error> {
    let at = At::Top.key("ociVersion");
    let Some(version) = version else {
        return Err(at.fault("missing"));
    };
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let tail = &version[core.len()..];
    let numbers: Vec<&str> = core.split('.').collect();
    let is_number = |part: &&str| {
        let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        plain && (part.len() == 1 || !part.starts_with('0'))
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-+.".contains(&b);
    let is_version = numbers.len() == 3
        && numbers.iter().all(is_number)
        && tail.len() != 1
        && tail.bytes().all(plain);
    if !is_version {
        return Err(at.fault(format_args!("{version:?} is no version like 1.0.2")));
    }
    if numbers[0] != "1" {
        return Err(at.fault(format_args!("{version} is not supported: only 1.x.y is")));
    }
    Ok(version.to_owned())
}

fn refuse_foreign(document: &Document) -> Result<(), Error> {
    for (key, part) in [
        ("vm", &document.vm),
        ("solaris", &document.solaris),
        ("windows", &document.windows),
        ("zos", &document.zos),
        ("freebsd", &document.freebsd),
    ] {
        At::Top
            .key(key)
            .refuse_if(part.as_ref().is_some_and(|part| !part.is_empty()))?;
    }
    Ok(())
}

fn convert_root(
    root: Option<&oci::Root>,
    propagation: Option<String>,
    bundle: &Path,
) -> Result<Root, Error> {
    let at = At::Top.key("root");
    let Some(root) = root else {
        return Err(at.fault("missing: a container on Linux needs one"));
    };
    let at = at.key("path");
    if root.path().as_os_str().is_empty() {
        return Err(at.fault("missing or empty"));
    }
    let given: PathBuf = bundle.join(root.path());
    let fault = |source: io::Error| at.fault(format_args!("{}: {source}", given.display()));
    let path = fs::canonicalize(&given).map_err(fault)?;
    if !fs::metadata(&path).map_err(fault)?.is_dir() {
        return Err(at.fault(format_args!("{} is not a directory", given.display())));
    }
    let linux = At::Top.key("linux");
    Ok(Root {
        path,
        overlay: overlay::load(bundle)?,
        readonly: root.readonly().unwrap_or(false),
        propagation: kernel::convert_propagation(propagation, linux.key("rootfsPropagation"))?,
    })
}

fn convert_seccomp(profile: Option<Object<document::Seccomp>>) -> Result<Option<Profile>, Error> {
    let at = At::Top.key("linux");
    let at = at.key("seccomp");
    let Some(profile) = profile.map(Object::members) else {
        return Ok(None);
    };
    let calls = profile.syscalls.unwrap_or_default();
    let Some(default_action) = profile.default_action else {
        if calls.is_empty() {
            return Ok(None);
        }
        return Err(at.key("defaultAction").fault("missing"));
    };
    let mut whole = oci::LinuxSeccomp::default();
    whole
        .set_default_action(default_action)
        .set_default_errno_ret(profile.default_errno_ret)
        .set_architectures(profile.architectures)
        .set_flags(profile.flags)
        .set_listener_path(
            profile
                .listener_path
                .filter(|path| !path.as_os_str().is_empty()),
        )
        .set_listener_metadata(profile.listener_metadata.filter(|text| !text.is_empty()))
        .set_syscalls(Some(calls.into_iter().map(Object::members).collect()));
    match Profile::try_from(&whole) {
        Ok(profile) => Ok(Some(profile)),
        Err(fault) => Err(Error::Seccomp(fault)),
    }
}

fn convert_annotations(
    annotations: Option<BTreeMap<String, String>>,
) -> Result<BTreeMap<String, String>, Error> {
    let annotations = annotations.unwrap_or_default();
    if annotations.contains_key("") {
        return Err(At::Top.key("annotations").fault("a key is empty"));
    }
    Ok(annotations)
}

#[cfg(test)]
mod tests;
