//! `process`: what is executed, as whom and with which rights.

use std::collections::HashSet;
use std::ffi::CString;
use std::str::FromStr;

use oci_spec::runtime::PosixRlimitType as Kind;

use super::container::{Capabilities, IdMap, IdMaps, Process, Rlimit, Terminal, User};
use super::document::{self, List, Objects};
use super::error::{At, Error};
use super::scheduling;
use super::units::AbsPath;
use crate::sys::terminal::Size;

pub(super) fn convert(
    process: document::Process,
    maps: &IdMaps,
    at: At<'_>,
) -> Result<Process, Error> {
    let (scheduler, io_priority) = (process.scheduler.as_deref(), process.io_priority.as_deref());
    let affinity = process.exec_cpu_affinity.as_deref();
    let capabilities = process.capabilities.map(document::Object::members);
    let oom_score_adj = convert_score(process.oom_score_adj, at.key("oomScoreAdj"))?;
    let user = process.user.map(document::Object::members);
    let size = process.console_size.as_deref();
    let terminal = match process.terminal {
        Some(true) => Some(convert_terminal(size, at.key("consoleSize"))?),
        _ => None,
    };
    Ok(Process {
        terminal,
        cwd: convert_cwd(process.cwd, at.key("cwd"))?,
        args: convert_args(process.args, at.key("args"))?,
        env: convert_env(process.env, at.key("env"))?,
        user: convert_user(user, maps, at.key("user"))?,
        capabilities: capabilities.map_or_else(Capabilities::default, |sets| {
            convert_capabilities(sets, at.key("capabilities"))
        }),
        rlimits: convert_rlimits(process.rlimits, at.key("rlimits"))?,
        no_new_privileges: process.no_new_privileges.unwrap_or(false),
        oom_score_adj,
        apparmor_profile: convert_label(process.apparmor_profile, at.key("apparmorProfile"))?,
        selinux_label: convert_label(process.selinux_label, at.key("selinuxLabel"))?,
        scheduler: scheduler
            .map(|scheduler| scheduling::convert_scheduler(scheduler, at.key("scheduler")))
            .transpose()?,
        io_priority: io_priority
            .map(|priority| scheduling::convert_io_priority(priority, at.key("ioPriority")))
            .transpose()?,
        exec_affinity: scheduling::convert_affinity(affinity, at.key("execCPUAffinity"))?,
    })
}

/// A name for a security module; an empty one is none.
pub(super) fn convert_label(label: Option<String>, at: At<'_>) -> Result<Option<CString>, Error> {
    let Some(label) = label.filter(|label| !label.is_empty()) else {
        return Ok(None);
    };
    match CString::new(label) {
        Ok(label) => Ok(Some(label)),
        Err(_) => Err(at.fault("contains a NUL byte")),
    }
}

/// A size of nothing is none.
fn convert_terminal(size: Option<&document::ConsoleSize>, at: At<'_>) -> Result<Terminal, Error> {
    let Some(size) = size.filter(|size| size.height != 0 || size.width != 0) else {
        return Ok(Terminal { size: None });
    };
    let side = |key, number: u64| {
        u16::try_from(number)
            .map_err(|_| at.key(key).fault(format_args!("{number} is above 65535")))
    };
    Ok(Terminal {
        size: Some(Size {
            rows: side("height", size.height)?,
            columns: side("width", size.width)?,
        }),
    })
}

fn convert_cwd(cwd: Option<String>, at: At<'_>) -> Result<AbsPath, Error> {
    let cwd = cwd.unwrap_or_default();
    if cwd.is_empty() {
        return Err(at.fault("Cwd property must not be empty"));
    }
    if !cwd.starts_with('/') {
        return Err(at.fault("Cwd must be an absolute path"));
    }
    AbsPath::new(&cwd).map_err(|reason| at.fault(reason))
}

fn convert_args(args: List<String>, at: At<'_>) -> Result<Vec<CString>, Error> {
    let args = args.unwrap_or_default();
    if args.is_empty() {
        return Err(at.fault("args must not be empty"));
    }
    let mut converted = Vec::with_capacity(args.len());
    for (index, arg) in args.into_iter().enumerate() {
        let arg = CString::new(arg).map_err(|_| at.index(index).fault("contains a NUL byte"))?;
        converted.push(arg);
    }
    Ok(converted)
}

/// Of a name that is set twice the last value stays, as in runc: `getenv` would find the first.
fn convert_env(env: List<String>, at: At<'_>) -> Result<Vec<CString>, Error> {
    let env = env.unwrap_or_default();
    for (index, entry) in env.iter().enumerate() {
        // Values may be secrets: only the place is told.
        check_variable(entry).map_err(|reason| at.index(index).fault(reason))?;
    }
    let mut seen = HashSet::with_capacity(env.len());
    let mut keep: Vec<bool> = env
        .iter()
        .rev()
        .map(|entry| seen.insert(entry.split('=').next()))
        .collect();
    drop(seen);
    let mut converted = Vec::with_capacity(env.len());
    for entry in env {
        if keep.pop() == Some(true) {
            converted.push(CString::new(entry).map_err(|_| at.fault("contains a NUL byte"))?);
        }
    }
    Ok(converted)
}

/// `NAME=value`, for a process or a hook.
pub(super) fn check_variable(entry: &str) -> Result<(), &'static str> {
    match entry.split_once('=') {
        _ if entry.contains('\0') => Err("contains a NUL byte"),
        None => Err("has no ="),
        Some(("", _)) => Err("has no name before its ="),
        Some(_) => Ok(()),
    }
}

fn convert_user(user: Option<document::User>, maps: &IdMaps, at: At<'_>) -> Result<User, Error> {
    let Some(user) = user else {
        return Ok(User {
            uid: 0,
            gid: 0,
            additional_gids: Vec::new(),
            umask: None,
        });
    };
    let (uid, gid) = (user.uid.unwrap_or(0), user.gid.unwrap_or(0));
    check_id(uid, &maps.uids).map_err(|reason| at.key("uid").fault(reason))?;
    check_id(gid, &maps.gids).map_err(|reason| at.key("gid").fault(reason))?;

    let additional_gids = user.additional_gids.unwrap_or_default();
    let groups = at.key("additionalGids");
    for (index, &gid) in additional_gids.iter().enumerate() {
        check_id(gid, &maps.gids).map_err(|reason| groups.index(index).fault(reason))?;
    }
    // NGROUPS_MAX of setgroups(2).
    if additional_gids.len() > 65536 {
        return Err(groups.fault("more than 65536, the most the kernel takes"));
    }
    if let Some(umask) = user.umask.filter(|&umask| umask > 0o777) {
        return Err(at
            .key("umask")
            .fault(format_args!("{umask} is above 511 (octal 777)")));
    }
    Ok(User {
        uid,
        gid,
        additional_gids,
        umask: user.umask,
    })
}

/// -1 is "leave it" to the kernel, and an id without a mapping is EINVAL.
fn check_id(id: u32, maps: &[IdMap]) -> Result<(), String> {
    if id == u32::MAX {
        return Err(format!("{id} is no id"));
    }
    let holds = |map: &IdMap| id >= map.container && id - map.container < map.size;
    if !maps.is_empty() && !maps.iter().any(holds) {
        return Err(format!("{id} is not mapped in the user namespace"));
    }
    Ok(())
}

fn convert_capabilities(sets: document::Capabilities, at: At<'_>) -> Capabilities {
    let convert = |names: List<String>, key| {
        let mut bits = 0;
        for (index, name) in names.iter().flatten().enumerate() {
            match caps::Capability::from_str(name) {
                Ok(capability) => bits |= capability.bitmask(),
                Err(_) => {
                    let at = at.key(key);
                    let at = at.index(index);
                    log::warn!("config.json: {at}: unknown capability {name:?} left out");
                }
            }
        }
        bits
    };
    Capabilities {
        bounding: convert(sets.bounding, "bounding"),
        effective: convert(sets.effective, "effective"),
        inheritable: convert(sets.inheritable, "inheritable"),
        permitted: convert(sets.permitted, "permitted"),
        ambient: convert(sets.ambient, "ambient"),
    }
}

fn convert_rlimits(list: Objects<document::Rlimit>, at: At<'_>) -> Result<Vec<Rlimit>, Error> {
    let list = list.unwrap_or_default();
    let mut limits: Vec<Rlimit> = Vec::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let at = at.index(index);
        let (resource, name) = resource(entry.kind);
        if limits.iter().any(|limit| limit.resource == resource) {
            return Err(at
                .key("type")
                .fault(format_args!("RLIMIT_{name} is listed twice")));
        }
        let (soft, hard) = (entry.soft, entry.hard);
        if soft > hard {
            return Err(at
                .key("soft")
                .fault(format_args!("{soft} is above the hard limit {hard}")));
        }
        limits.push(Rlimit {
            resource,
            name,
            soft,
            hard,
        });
    }
    Ok(limits)
}

#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "the C type of the numbers is signed in musl; they are small"
)]
fn resource(kind: Kind) -> (u32, &'static str) {
    let (number, name) = match kind {
        Kind::RlimitAs => (libc::RLIMIT_AS, "AS"),
        Kind::RlimitCore => (libc::RLIMIT_CORE, "CORE"),
        Kind::RlimitCpu => (libc::RLIMIT_CPU, "CPU"),
        Kind::RlimitData => (libc::RLIMIT_DATA, "DATA"),
        Kind::RlimitFsize => (libc::RLIMIT_FSIZE, "FSIZE"),
        Kind::RlimitLocks => (libc::RLIMIT_LOCKS, "LOCKS"),
        Kind::RlimitMemlock => (libc::RLIMIT_MEMLOCK, "MEMLOCK"),
        Kind::RlimitMsgqueue => (libc::RLIMIT_MSGQUEUE, "MSGQUEUE"),
        Kind::RlimitNice => (libc::RLIMIT_NICE, "NICE"),
        Kind::RlimitNofile => (libc::RLIMIT_NOFILE, "NOFILE"),
        Kind::RlimitNproc => (libc::RLIMIT_NPROC, "NPROC"),
        Kind::RlimitRss => (libc::RLIMIT_RSS, "RSS"),
        Kind::RlimitRtprio => (libc::RLIMIT_RTPRIO, "RTPRIO"),
        Kind::RlimitRttime => (libc::RLIMIT_RTTIME, "RTTIME"),
        Kind::RlimitSigpending => (libc::RLIMIT_SIGPENDING, "SIGPENDING"),
        Kind::RlimitStack => (libc::RLIMIT_STACK, "STACK"),
    };
    (number as u32, name)
}

fn convert_score(score: Option<i64>, at: At<'_>) -> Result<Option<i32>, Error> {
    let Some(score) = score else { return Ok(None) };
    match i32::try_from(score) {
        Ok(small) if (-1000..=1000).contains(&small) => Ok(Some(small)),
        _ => Err(at.fault(format_args!("{score} is not from -1000 to 1000"))),
    }
}
