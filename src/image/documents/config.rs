//! An image's config: what its layers must come to, and how its author wants it run.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Error, check_size, digest};
use crate::image::{Digest, Platform};

/// What a config says, as far as it concerns us.
#[derive(Clone, Debug)]
pub struct Config {
    pub platform: Platform,
    /// Of the layers' tar streams, bottom first.
    pub diff_ids: Vec<Digest>,
    /// RFC 3339, as its author wrote it.
    pub created: Option<String>,
    pub author: Option<String>,
    pub process: Process,
}

/// The wishes for the process (config.md, `config`). No string has a NUL in it, and every entry of `env`
/// has a name and a `=`; else they are as the author wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `user`, `uid`, `user:group`, …: looked up in the image's own passwd and group. May be empty.
    pub user: String,
    pub env: Vec<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// Empty where none is given.
    pub working_dir: String,
    pub stop_signal: Option<String>,
    /// `80/tcp`, `53/udp` or `80`.
    pub exposed_ports: Vec<String>,
    pub volumes: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Raw {
    os: String,
    architecture: String,
    variant: Option<String>,
    created: Option<String>,
    author: Option<String>,
    rootfs: RawRootfs,
    config: Option<RawProcess>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Option<Vec<String>>,
}

/// Docker writes `null` where there is nothing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawProcess {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
    exposed_ports: Option<BTreeMap<String, IgnoredAny>>,
    volumes: Option<BTreeMap<String, IgnoredAny>>,
    labels: Option<BTreeMap<String, String>>,
}

impl Config {
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let what = "the config";
        check_size(what, bytes)?;
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|cause| Error::Json { what, cause })?;
        if raw.rootfs.kind != "layers" {
            return Err(Error::Value {
                field: "rootfs.type".into(),
                cause: "it is not \"layers\"",
            });
        }
        let diff_ids = raw.rootfs.diff_ids.unwrap_or_default();
        let diff_ids = diff_ids.iter().enumerate();
        let diff_ids = diff_ids
            .map(|(number, text)| digest(format!("rootfs.diff_ids[{number}]"), text))
            .collect::<Result<_, _>>()?;
        let variant = raw.variant.unwrap_or_default();
        Ok(Self {
            platform: Platform::new(&raw.os, &raw.architecture, &variant),
            diff_ids,
            created: raw.created,
            author: raw.author,
            process: process(raw.config.unwrap_or_default())?,
        })
    }
}

fn process(raw: RawProcess) -> Result<Process, Error> {
    let keys = |map: Option<BTreeMap<String, IgnoredAny>>| {
        map.unwrap_or_default().into_keys().collect::<Vec<_>>()
    };
    let process = Process {
        user: raw.user.unwrap_or_default(),
        env: raw.env.unwrap_or_default(),
        entrypoint: raw.entrypoint.unwrap_or_default(),
        cmd: raw.cmd.unwrap_or_default(),
        working_dir: raw.working_dir.unwrap_or_default(),
        stop_signal: raw.stop_signal.filter(|signal| !signal.is_empty()),
        exposed_ports: keys(raw.exposed_ports),
        volumes: keys(raw.volumes),
        labels: raw.labels.unwrap_or_default(),
    };

    let lists = [
        ("Env", &process.env),
        ("Entrypoint", &process.entrypoint),
        ("Cmd", &process.cmd),
        ("ExposedPorts", &process.exposed_ports),
        ("Volumes", &process.volumes),
    ];
    for (name, list) in lists {
        list.iter().try_for_each(|text| has_no_nul(name, text))?;
    }
    has_no_nul("User", &process.user)?;
    has_no_nul("WorkingDir", &process.working_dir)?;
    has_no_nul("StopSignal", process.stop_signal.as_deref().unwrap_or(""))?;
    for text in process.labels.iter().flat_map(|(key, value)| [key, value]) {
        has_no_nul("Labels", text)?;
    }
    match process
        .env
        .iter()
        .any(|entry| entry.find('=').is_none_or(|at| at == 0))
    {
        true => Err(Error::Value {
            field: "config.Env".into(),
            cause: "an entry is not NAME=VALUE",
        }),
        false => Ok(process),
    }
}

fn has_no_nul(name: &str, text: &str) -> Result<(), Error> {
    match text.contains('\0') {
        true => Err(Error::Value {
            field: format!("config.{name}"),
            cause: "a text has a NUL in it",
        }),
        false => Ok(()),
    }
}
