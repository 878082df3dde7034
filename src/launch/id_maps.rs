//! The id maps of the container's user namespace, written from outside (user_namespaces(7)).

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::errno::Errno;
use nix::unistd::{Pid, getegid, geteuid};

use super::outside::write_of;
use super::{Error, Launched, prepare};
use crate::spec::container::{IdMap, IdMaps, map_text};
use crate::sys::users::Vacant;

/// One of the two kinds of ids.
struct Kind {
    field: &'static str,
    file: &'static str,
    /// Who may write for a user (newuidmap(1), newgidmap(1)), and what allows it to.
    tool: &'static str,
    allowed_in: &'static str,
}

const USERS: Kind = Kind {
    field: "linux.uidMappings",
    file: "uid_map",
    tool: "newuidmap",
    allowed_in: "/etc/subuid",
};

const GROUPS: Kind = Kind {
    field: "linux.gidMappings",
    file: "gid_map",
    tool: "newgidmap",
    allowed_in: "/etc/subgid",
};

impl Launched {
    /// Writes the id maps of the child's new user namespace.
    pub fn map_ids(&self, maps: &IdMaps) -> Result<(), Error> {
        map(self.pid, maps)
    }
}

/// A user namespace with these maps, in which nobody lives yet. The caller is the only thread of its
/// process, and dumpable.
pub fn user_namespace(maps: &IdMaps) -> Result<OwnedFd, Error> {
    let vacant = Vacant::make().map_err(prepare("make a user namespace"))?;
    let mapped = map(vacant.pid(), maps);
    let users = vacant.leave().map_err(prepare("open the user namespace"));
    mapped.and(users)
}

fn map(pid: Pid, maps: &IdMaps) -> Result<(), Error> {
    write(pid, &USERS, &maps.uids)?;
    // newgidmap, which maps every other, has CAP_SETGID.
    if !geteuid().is_root() && maps.have_only_group(getegid().as_raw()) {
        write_of(pid, "setgroups", "deny").map_err(prepare("deny setgroups"))?;
    }
    write(pid, &GROUPS, &maps.gids)
}

/// As we are, where the kernel lets us, else by the program that may.
fn write(pid: Pid, kind: &Kind, maps: &[IdMap]) -> Result<(), Error> {
    match write_of(pid, kind.file, &map_text(maps)) {
        Err(Errno::EPERM) if !geteuid().is_root() => write_by_tool(pid, kind, maps),
        written => written.map_err(|errno| Error::MapIds {
            field: kind.field,
            errno,
        }),
    }
}

fn write_by_tool(pid: Pid, kind: &Kind, maps: &[IdMap]) -> Result<(), Error> {
    let fault = |said: String| Error::MapTool {
        field: kind.field,
        tool: kind.tool,
        said,
        allowed_in: kind.allowed_in,
    };
    let numbers = maps.iter().flat_map(|m| [m.container, m.host, m.size]);
    let ran = Command::new(kind.tool)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        // It is setuid root, and callers may give us no PATH at all.
        .env_clear()
        .env(
            "PATH",
            std::env::var_os("PATH")
                .as_deref()
                .unwrap_or(OsStr::new("/usr/bin:/bin")),
        )
        .output();
    match ran {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().trim_start_matches(kind.tool);
            Err(fault(said.trim_start_matches(':').trim().to_owned()))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Err(fault(
            "it is not installed (Debian's package uidmap)".into(),
        )),
        Err(e) => Err(fault(e.to_string())),
    }
}
