//! `mounts`: what is to be mounted where, and with which attributes.

use std::ffi::CString;
use std::path::Path;

use super::container::{IdMaps, Namespace};
use super::document::{self, Objects};
use super::error::{At, Error};
use super::idmap;
use super::options::{self, Word};
use super::units::{AbsPath, InRoot};

/// One entry of `mounts`.
#[derive(Clone, Debug)]
pub struct Mount {
    pub target: InRoot,
    pub what: What,
    /// Attributes of this mount alone.
    pub attributes: Attributes,
    /// The `r*` options: attributes of this mount and of all below it (`mount_setattr` with
    /// `AT_RECURSIVE`).
    pub recursive: Attributes,
    /// Applied in order after the mount is in place.
    pub propagation: Vec<Propagation>,
    /// Copy what the root has at the target into a fresh tmpfs (`tmpcopyup`).
    pub copy_up: bool,
    /// Other ids than the files have: of a bind only.
    pub ids: Option<ShownIds>,
}

impl Mount {
    /// What lies at `source`, without what is mounted below it.
    pub fn bind(target: InRoot, source: AbsPath) -> Self {
        Self {
            target,
            what: What::Bind {
                source,
                recursive: false,
            },
            attributes: Attributes::default(),
            recursive: Attributes::default(),
            propagation: Vec::new(),
            copy_up: false,
            ids: None,
        }
    }
}

/// With which ids files are shown, and written by whoever has these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownIds {
    pub by: ShownBy,
    /// Also in what is mounted below (`ridmap`).
    pub recursive: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownBy {
    /// The file's id is the container's side of a map, and is shown as the host's.
    Maps(IdMaps),
    /// The maps of a user namespace that is there.
    Namespace(AbsPath),
}

#[derive(Clone, Debug)]
pub enum What {
    /// A part of the host's tree.
    Bind { source: AbsPath, recursive: bool },
    /// A new filesystem, or one by its device.
    Filesystem(Filesystem),
    /// What is mounted there by now, with other attributes, and with these options for its
    /// filesystem unless it is a bind.
    Remount(Vec<FsOption>),
    /// The container's own groups: what is mounted depends on the host's hierarchies.
    Cgroup,
}

#[derive(Clone, Debug)]
pub struct Filesystem {
    /// As the kernel names it: `tmpfs`, `proc`, `ext4`.
    pub kind: CString,
    /// `source`, where given.
    pub source: Option<CString>,
    /// For the superblock: options that are no mount attribute, in order.
    pub options: Vec<FsOption>,
}

/// One call of `fsconfig(2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FsOption {
    /// `newinstance`
    Flag(CString),
    /// `mode=755`
    Value(CString, CString),
}

/// Bits of `MOUNT_ATTR_*` (`mount_setattr(2)`) to set and to clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
}

/// How mount events travel, for one mount or with all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    pub kind: PropagationKind,
    pub recursive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationKind {
    Private,
    Slave,
    Shared,
    Unbindable,
}

/// What a mount is seen against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    /// Where the relative source of a bind is taken from; absolute.
    pub bundle: &'a Path,
    pub user: &'a Namespace,
    pub id_maps: &'a IdMaps,
}

pub(super) fn convert(
    list: Objects<document::Mount>,
    around: Around<'_>,
) -> Result<Vec<Mount>, Error> {
    let at = At::Top.key("mounts");
    let list = list.unwrap_or_default();
    let mut mounts = Vec::with_capacity(list.len());
    for (index, mount) in list.iter().enumerate() {
        mounts.push(convert_one(mount, around, at.index(index))?);
    }
    Ok(mounts)
}

fn convert_one(mount: &document::Mount, around: Around<'_>, at: At<'_>) -> Result<Mount, Error> {
    let target = convert_target(&mount.destination, at)?;
    let asked = read_options(mount, at.key("options"))?;
    let what = convert_what(mount, around.bundle, &asked, at)?;
    let is_bind = matches!(what, What::Bind { .. });
    let ids = idmap::convert(mount, asked.map_ids, is_bind, around, at)?;
    if let Some(kind) = takes_no_options(&asked, &what) {
        warn_of_options(mount, kind, at.key("options"));
    }
    check_proc(&target, &what).map_err(|reason| at.key("destination").fault(reason))?;

    let is_tmpfs = matches!(&what, What::Filesystem(fs) if fs.kind.as_bytes() == b"tmpfs");
    if asked.copy_up && !is_tmpfs {
        return Err(at.key("options").fault("tmpcopyup is for a tmpfs only"));
    }
    Ok(Mount {
        target,
        what,
        attributes: asked.attributes,
        recursive: asked.recursive,
        propagation: asked.propagation,
        copy_up: asked.copy_up,
        ids,
    })
}

fn convert_target(destination: &Path, at: At<'_>) -> Result<InRoot, Error> {
    let at = at.key("destination");
    let target = InRoot::new(destination).map_err(|reason| at.fault(reason))?;
    if target.is_root() {
        return Err(at.fault("the root is no target for a mount; root.path says what it is"));
    }
    if !destination.is_absolute() {
        let shown = destination.display();
        log::warn!("config.json: {at}: {shown:?} is not absolute; taken from the root");
    }
    Ok(target)
}

/// What the options of one mount say together.
#[derive(Default)]
struct Asked {
    attributes: Attributes,
    recursive: Attributes,
    propagation: Vec<Propagation>,
    copy_up: bool,
    remount: bool,
    /// Whether with all below, where it is a bind.
    bind: Option<bool>,
    /// `idmap`, or with all below.
    map_ids: Option<bool>,
    /// For the filesystem, in order.
    options: Vec<FsOption>,
}

fn read_options(mount: &document::Mount, at: At<'_>) -> Result<Asked, Error> {
    let mut asked = Asked::default();
    for (index, word) in mount.options.iter().flatten().enumerate() {
        let at = at.index(index);
        idmap::refuse_mappings(word).map_err(|reason| at.fault(reason))?;
        match options::meaning(word) {
            None => read_data(word, &mut asked.options).map_err(|reason| at.fault(reason))?,
            Some(word_means) => asked
                .take(word, word_means)
                .map_err(|reason| at.fault(reason))?,
        }
    }
    Ok(asked)
}

/// What has no filesystem of its own to give options to, in words.
fn takes_no_options(asked: &Asked, what: &What) -> Option<&'static str> {
    match what {
        What::Bind { .. } => Some("a bind mount"),
        What::Remount(_) if asked.bind.is_some() => Some("the remount of a bind"),
        What::Cgroup => Some("a cgroup mount"),
        What::Remount(_) | What::Filesystem(_) => None,
    }
}

/// The kernel and runc pass over such words in silence, and documents are full of them; but one may
/// be `noexec` with two letters swapped.
fn warn_of_options(mount: &document::Mount, kind: &str, at: At<'_>) {
    for (index, word) in mount.options.iter().flatten().enumerate() {
        let for_filesystem = matches!(options::meaning(word), None | Some(Word::Superblock));
        if for_filesystem && !word.is_empty() {
            let at = at.index(index);
            log::warn!("config.json: {at}: {word:?} means nothing to {kind} and is left out");
        }
    }
}

impl Asked {
    fn take(&mut self, word: &str, means: Word) -> Result<(), &'static str> {
        match means {
            Word::Nothing => {}
            Word::Here(change) => change.apply(&mut self.attributes),
            Word::Below(change) => change.apply(&mut self.recursive),
            Word::Access(change) => {
                change.apply(&mut self.attributes);
                self.options.push(FsOption::Flag(c_string(word)?));
            }
            Word::Superblock => self.options.push(FsOption::Flag(c_string(word)?)),
            Word::Propagate(kind, recursive) => {
                self.propagation.push(Propagation { kind, recursive });
            }
            Word::Bind { recursive } => {
                self.bind = Some(recursive || self.bind == Some(true));
            }
            Word::MapIds { recursive } => {
                self.map_ids = Some(recursive || self.map_ids == Some(true));
            }
            Word::CopyUp => self.copy_up = true,
            Word::Remount => self.remount = true,
        }
        Ok(())
    }
}

/// A word for the filesystem. `mount(2)` was given all of them with commas between, so one word
/// may hold several; overlay escapes a comma that belongs to a path.
fn read_data(word: &str, into: &mut Vec<FsOption>) -> Result<(), &'static str> {
    let mut escaped = false;
    let parts = word.split(|c| {
        let ends = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    for part in parts.filter(|part| !part.is_empty()) {
        into.push(match part.split_once('=') {
            None => FsOption::Flag(c_string(part)?),
            Some(("", _)) => return Err("an option has no name before its ="),
            Some((key, value)) => FsOption::Value(c_string(key)?, c_string(value)?),
        });
    }
    Ok(())
}

fn c_string(text: &str) -> Result<CString, &'static str> {
    CString::new(text).map_err(|_| "contains a NUL byte")
}

fn convert_what(
    mount: &document::Mount,
    bundle: &Path,
    asked: &Asked,
    at: At<'_>,
) -> Result<What, Error> {
    let kind = mount.kind.as_deref().unwrap_or_default();
    let source = mount.source.as_deref().unwrap_or(Path::new(""));
    let bind = asked.bind.or((kind == "bind").then_some(false));

    if asked.remount {
        let options = if bind.is_some() {
            &[][..]
        } else {
            &asked.options
        };
        return Ok(What::Remount(options.to_vec()));
    }
    if let Some(recursive) = bind {
        let at = at.key("source");
        if source.as_os_str().is_empty() {
            return Err(at.fault("a bind mount needs one"));
        }
        // The kernel takes the options of the filesystem no second time: a bind has none.
        let source = AbsPath::new(bundle.join(source)).map_err(|reason| at.fault(reason))?;
        return Ok(What::Bind { source, recursive });
    }
    match kind {
        "" => Err(at
            .key("type")
            .fault("needed where no option is bind or rbind")),
        "cgroup" | "cgroup2" => Ok(What::Cgroup),
        _ => {
            let fault = |key, reason: &str| at.key(key).fault(reason);
            let mut options = asked.options.clone();
            if VIRTUAL.contains(&kind) {
                options.retain(|option| !is_access(option));
            }
            let source = source.to_str().filter(|source| !source.is_empty());
            Ok(What::Filesystem(Filesystem {
                kind: c_string(kind).map_err(|reason| fault("type", reason))?,
                source: source
                    .map(c_string)
                    .transpose()
                    .map_err(|reason| fault("source", reason))?,
                options,
            }))
        }
    }
}

/// Filesystems whose instance is shared with other mounts, or is still to be filled with targets
/// of later mounts. There `ro` is an attribute of the mount alone: the state of the filesystem
/// would reach the others (a sysfs of the same network namespace) or stop us.
const VIRTUAL: &[&str] = &[
    "proc", "sysfs", "tmpfs", "ramfs", "devtmpfs", "devpts", "mqueue",
];

fn is_access(option: &FsOption) -> bool {
    matches!(option, FsOption::Flag(word) if matches!(word.as_bytes(), b"ro" | b"rw"))
}

/// What lxcfs and its like put over single files of a procfs; runc allows the same.
const OVER_PROC: &[&str] = &[
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/loadavg",
    "proc/meminfo",
    "proc/net/dev",
    "proc/slabinfo",
    "proc/stat",
    "proc/swaps",
    "proc/sys/crypto/fips_enabled",
    "proc/sys/kernel/ns_last_pid",
    "proc/uptime",
];

/// Nothing may stand where the runtime and the container expect a procfs, or in front of parts of
/// it (CVE-2019-16884: a false /proc took the writes of a security label). Names only: whether a
/// bind over /proc is a procfs, and where a link leads, shows when it is opened.
fn check_proc(target: &InRoot, what: &What) -> Result<(), String> {
    if !target.is_in("proc") {
        return Ok(());
    }
    let is_top = target.as_path() == Path::new("proc");
    let is_listed = || {
        OVER_PROC
            .iter()
            .any(|name| target.as_path() == Path::new(name))
    };
    match what {
        What::Filesystem(fs) if is_top && fs.kind.as_bytes() == b"proc" => Ok(()),
        What::Bind { .. } if is_top || is_listed() => Ok(()),
        What::Remount(_) => Ok(()),
        _ if is_top => Err(format!("{target} can only be a proc filesystem")),
        _ => Err(format!(
            "{target} is inside /proc, where this cannot be mounted"
        )),
    }
}
