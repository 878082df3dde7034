//! config.json to [`Container`]: the one place that sees `oci_spec`.
//!
//! The document is untrusted in form: every fault is named by its path in the JSON, and what
//! leaves this module cannot be wrong.

pub mod container;
mod document;
mod error;
mod hooks;
mod kernel;
pub mod limits;
mod locate;
pub mod mounts;
mod namespaces;
pub mod options;
mod process;
mod resources;
pub mod seccomp;
pub mod units;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime as oci;

pub use container::Container;
use container::Root;
use document::{Document, Linux, Object};
use error::At;
pub use error::Error;
use seccomp::Profile;
pub use units::Id;

/// What an engine writes is some 10 KB, 200 KB with a large seccomp profile.
const LARGEST: u64 = 16 << 20;

/// Reads the container that `bundle` describes: its config.json, or `config` if given, which is
/// taken from the bundle where it is relative.
pub fn load(bundle: &Path, config: Option<&Path>) -> Result<Container, Error> {
    let name = config.unwrap_or(Path::new("config.json"));
    let path = bundle.join(name);
    let json = read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(name.to_owned()),
        io::ErrorKind::InvalidInput => Error::NotAFile(path.clone()),
        io::ErrorKind::FileTooLarge => Error::Large {
            path: path.clone(),
            limit: LARGEST,
        },
        _ => Error::Read {
            path: path.clone(),
            source,
        },
    })?;
    parse(&json, bundle)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A FIFO in its place must not hold us up, nor a terminal become ours.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if about.len() > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut json = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0) + 1);
    // The size may be another one by now.
    file.take(LARGEST).read_to_end(&mut json)?;
    Ok(json)
}

/// As [`load`], from the text of the document. `bundle` is where relative paths begin.
pub fn parse(json: &[u8], bundle: &Path) -> Result<Container, Error> {
    let document = document::read(json)?;
    let oci_version = convert_version(document.oci_version.as_deref())?;
    refuse_foreign(&document)?;

    let at = At::Top.key("root");
    let bundle = std::path::absolute(bundle).map_err(|source| Error::Read {
        path: bundle.to_owned(),
        source,
    })?;
    let linux = document.linux.map_or_else(Linux::default, Object::members);
    let inside = At::Top.key("linux");
    refuse_unsupported(&linux, inside)?;
    let namespaces = namespaces::convert(linux.namespaces, inside.key("namespaces"))?;
    let user = &namespaces.user;
    let id_maps =
        namespaces::convert_id_maps(linux.uid_mappings, linux.gid_mappings, user, inside)?;
    let resources = linux.resources.map(Object::members);
    let limits = resources::convert(resources, inside.key("resources"))?;
    let process = document.process.map(Object::members);

    Ok(Container {
        oci_version,
        root: convert_root(
            document.root.as_deref(),
            linux.rootfs_propagation,
            &bundle,
            at,
        )?,
        process: process
            .map(|process| process::convert(process, &id_maps))
            .transpose()?,
        hostname: namespaces::convert_name(document.hostname, "hostname", &namespaces)?,
        domainname: namespaces::convert_name(document.domainname, "domainname", &namespaces)?,
        mounts: mounts::convert(document.mounts, &bundle)?,
        time_offsets: namespaces::convert_offsets(
            linux.time_offsets,
            &namespaces.time,
            inside.key("timeOffsets"),
        )?,
        devices: kernel::convert_devices(linux.devices, inside.key("devices"))?,
        sysctls: kernel::convert_sysctls(linux.sysctl, &namespaces, inside.key("sysctl"))?,
        masked_paths: kernel::convert_paths(linux.masked_paths, inside.key("maskedPaths"))?,
        readonly_paths: kernel::convert_paths(linux.readonly_paths, inside.key("readonlyPaths"))?,
        personality: kernel::convert_personality(
            linux.personality.as_deref(),
            inside.key("personality"),
        )?,
        seccomp: convert_seccomp(linux.seccomp)?,
        group_path: resources::convert_path(linux.cgroups_path, inside.key("cgroupsPath"))?,
        limits,
        hooks: hooks::convert(document.hooks.map(Object::members))?,
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

fn refuse_unsupported(linux: &Linux, at: At<'_>) -> Result<(), Error> {
    at.key("mountLabel").refuse_if(
        linux
            .mount_label
            .as_ref()
            .is_some_and(|label| !label.is_empty()),
    )?;
    at.key("netDevices").refuse_if(
        linux
            .net_devices
            .as_ref()
            .is_some_and(|map| !map.is_empty()),
    )?;
    at.key("intelRdt").refuse_if(linux.intel_rdt.is_some())?;
    at.key("memoryPolicy")
        .refuse_if(linux.memory_policy.is_some())
}

fn convert_root(
    root: Option<&oci::Root>,
    propagation: Option<String>,
    bundle: &Path,
    at: At<'_>,
) -> Result<Root, Error> {
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
