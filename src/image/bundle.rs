//! config.json of a container of an image, for any OCI runtime (image-spec, conversion.md): the image's
//! wishes upon the defaults, and the caller's upon both.

mod annotations;

use std::path::Path;

use caps::Capability;
use serde_json::{Map, Value, json};

use super::documents::{Config, Process};
use super::users::{self, Identity, Users};
use crate::spec::container::{IdMap, IdMaps};
use crate::spec::defaults::{self, CAPABILITIES, push};
use crate::spec::units::{InRoot, PathError};
pub use annotations::{RESERVED, is_reserved};

/// Docker's, for images that say none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is mounted here is the kernel's; nothing of an image is seen in it, also where it calls it a volume.
const KERNELS: [&str; 3] = ["/dev", "/proc", "/sys"];

/// What the caller says. Values go into config.json, which is checked like any other.
#[derive(Clone, Debug)]
pub struct Settings {
    /// In the place of the image's, whose Cmd goes with it.
    pub entrypoint: Option<Vec<String>>,
    /// In the place of the image's Cmd; none leave it.
    pub args: Vec<String>,
    /// `NAME=VALUE` beside the image's, or in their place; `NAME` takes one away.
    pub env: Vec<String>,
    pub user: Option<String>,
    pub cwd: Option<String>,
    /// `None`: the host's.
    pub hostname: Option<String>,
    pub terminal: bool,
    pub read_only: bool,
    pub labels: Vec<(String, String)>,
    pub stop_signal: Option<String>,
    pub capabilities: Vec<Capability>,
    pub seccomp: Seccomp,
    pub network: Network,
    /// Of config.json's `mounts`, after the default ones.
    pub mounts: Vec<Value>,
    /// Members of `linux.resources`.
    pub resources: Map<String, Value>,
    /// Of `process.rlimits`.
    pub rlimits: Vec<Value>,
    /// For a container with a user namespace.
    pub id_maps: Option<IdMaps>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// Ours, for the container's capabilities.
    Default,
    Unconfined,
    /// `linux.seccomp` as it is.
    Profile(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A namespace with nothing but the loopback interface.
    None,
    Host,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            entrypoint: None,
            args: Vec::new(),
            env: Vec::new(),
            user: None,
            cwd: None,
            hostname: None,
            terminal: false,
            read_only: false,
            labels: Vec::new(),
            stop_signal: None,
            capabilities: CAPABILITIES.to_vec(),
            seccomp: Seccomp::Default,
            network: Network::None,
            mounts: Vec::new(),
            resources: Map::new(),
            rlimits: Vec::new(),
            id_maps: None,
        }
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error(transparent)]
    User(#[from] users::Error),
    #[error("the image names no program (Entrypoint, Cmd): say one behind its name")]
    NoProgram,
    #[error("working directory: {0}")]
    WorkingDir(PathError),
    #[error("the image's volume {path:?}: {cause}")]
    Volume { path: String, cause: PathError },
}

/// The document of a container of the image with this config, whose root is `rootfs` beside it. `users`
/// are those of its root.
pub fn document(config: &Config, users: &Users, settings: &Settings) -> Result<Value, Error> {
    let image = &config.process;
    let user = settings.user.as_deref().unwrap_or(&image.user);
    let identity = users.find(user)?;
    let mut document = defaults::document();
    document["process"] = process(&document["process"], image, &identity, settings)?;
    document["root"]["readonly"] = settings.read_only.into();
    if let Some(hostname) = &settings.hostname {
        document["hostname"] = hostname.as_str().into();
    }
    document["annotations"] = json!(annotations::of(config, settings));

    let mut mounts = volumes(image, settings)?;
    mounts.extend(settings.mounts.iter().cloned());
    // What is mounted in another is mounted after it, whatever the order of the flags; as for Docker.
    mounts.sort_by_key(|mount| depth(mount["destination"].as_str().unwrap_or_default()));
    for mount in mounts {
        push(&mut document["mounts"], mount);
    }
    isolate(&mut document, settings);
    Ok(document)
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|name| !name.is_empty()).count()
}

fn process(
    default: &Value,
    image: &Process,
    identity: &Identity,
    settings: &Settings,
) -> Result<Value, Error> {
    let mut process = default.clone();
    process["args"] = args(image, settings)?.into();
    process["env"] = env(image, identity, settings).into();
    process["cwd"] = cwd(image, settings)?.into();
    process["user"] = json!({ "uid": identity.uid, "gid": identity.gid });
    // A user who may map no other group may set none (user_namespaces(7)).
    let maps = settings.id_maps.as_ref();
    if !maps.is_some_and(|maps| matches!(maps.gids[..], [one] if one.size == 1)) {
        process["user"]["additionalGids"] = identity.groups.clone().into();
    }
    process["terminal"] = settings.terminal.into();
    let names = settings.capabilities.iter().map(ToString::to_string);
    process["capabilities"] = defaults::sets(names.collect());
    if !settings.rlimits.is_empty() {
        process["rlimits"] = settings.rlimits.clone().into();
    }
    Ok(process)
}

fn args(image: &Process, settings: &Settings) -> Result<Vec<String>, Error> {
    let (head, cmd) = match &settings.entrypoint {
        Some(entrypoint) => (entrypoint, &settings.args),
        None if settings.args.is_empty() => (&image.entrypoint, &image.cmd),
        None => (&image.entrypoint, &settings.args),
    };
    let all: Vec<String> = head.iter().chain(cmd).cloned().collect();
    match all.is_empty() {
        true => Err(Error::NoProgram),
        false => Ok(all),
    }
}

/// The image's variables, those that every container has where it has none, and the caller's.
fn env(image: &Process, identity: &Identity, settings: &Settings) -> Vec<String> {
    let mut env = vec![PATH.to_owned(), format!("HOME={}", identity.home)];
    env.extend(
        settings
            .hostname
            .iter()
            .map(|name| format!("HOSTNAME={name}")),
    );
    env.extend(settings.terminal.then(|| "TERM=xterm".to_owned()));
    let name = |entry: &str| entry.split('=').next().map(str::to_owned);
    for entry in image.env.iter().chain(&settings.env) {
        match env.iter_mut().find(|other| name(other) == name(entry)) {
            Some(other) => other.clone_from(entry),
            None => env.push(entry.clone()),
        }
    }
    env.retain(|entry| entry.contains('='));
    env
}

/// Absolute, with `..` taken for a name; one that is missing is made in the root, as Docker does.
fn cwd(image: &Process, settings: &Settings) -> Result<String, Error> {
    let given = settings.cwd.as_deref().unwrap_or(&image.working_dir);
    match given {
        "" => Ok("/".into()),
        given => inside(given).map_err(Error::WorkingDir),
    }
}

/// The path as the inside names it (CVE-2022-23648: a volume at `..` is no way out).
fn inside(path: &str) -> Result<String, PathError> {
    Ok(InRoot::new(path)?.to_string())
}

/// What an image declares a volume is part of the container's own changes: it begins with what the image
/// has there, nobody else sees it, and it goes with the container, as Docker's anonymous volumes do under
/// `--rm`. It can be written to also where the rest of the root cannot.
fn volumes(image: &Process, settings: &Settings) -> Result<Vec<Value>, Error> {
    if !settings.read_only {
        return Ok(Vec::new());
    }
    let mut mounts = Vec::new();
    for path in &image.volumes {
        let inside = inside(path).map_err(|cause| Error::Volume {
            path: path.clone(),
            cause,
        })?;
        let is_taken = |mount: &Value| mount["destination"] == inside;
        let is_ours = KERNELS
            .iter()
            .any(|own| Path::new(&inside).starts_with(own));
        if inside != "/" && !is_ours && !settings.mounts.iter().any(is_taken) {
            mounts.push(json!({
                "destination": inside, "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "nodev", "tmpcopyup"],
            }));
        }
    }
    Ok(mounts)
}

fn isolate(document: &mut Value, settings: &Settings) {
    let linux = &mut document["linux"];
    let profile = match &settings.seccomp {
        Seccomp::Default => Some(defaults::seccomp(&settings.capabilities)),
        Seccomp::Profile(profile) => Some(profile.clone()),
        Seccomp::Unconfined => None,
    };
    if let Some(profile) = profile {
        linux["seccomp"] = profile;
    }
    for (key, value) in &settings.resources {
        linux["resources"][key] = value.clone();
    }
    if settings.network == Network::Host
        && let Some(namespaces) = linux["namespaces"].as_array_mut()
    {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    let Some(maps) = &settings.id_maps else {
        return;
    };
    push(&mut linux["namespaces"], json!({ "type": "user" }));
    linux["uidMappings"] = mappings(&maps.uids);
    linux["gidMappings"] = mappings(&maps.gids);
    fit_mounts(document, settings, maps);
}

fn mappings(maps: &[IdMap]) -> Value {
    let line =
        |map: &IdMap| json!({ "containerID": map.container, "hostID": map.host, "size": map.size });
    maps.iter().map(line).collect()
}

/// What the root of a user namespace cannot have: terminals of a group that is not mapped, and a sysfs of
/// a network that is not his (sysfs(5) shows the interfaces of who mounts it).
fn fit_mounts(document: &mut Value, settings: &Settings, maps: &IdMaps) {
    let has_tty = maps
        .gids
        .iter()
        .any(|map| (map.container..map.container.saturating_add(map.size)).contains(&5));
    let Some(mounts) = document["mounts"].as_array_mut() else {
        return;
    };
    for mount in mounts {
        match mount["type"].as_str() {
            Some("devpts") if !has_tty => {
                if let Some(options) = mount["options"].as_array_mut() {
                    options.retain(|option| option != "gid=5");
                }
            }
            Some("sysfs") if settings.network == Network::Host => {
                mount["type"] = "none".into();
                mount["source"] = "/sys".into();
                push(&mut mount["options"], "rbind".into());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
