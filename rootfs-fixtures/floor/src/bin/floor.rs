//! `floor ROOTFS`: the least that running `/bin/true` in a container of `runc spec`'s kind takes.
//! It clones into a cgroup v2 where one is mounted, with new pid, network, ipc, uts, mount and
//! cgroup namespaces; makes the mounts, device nodes, links, masks and read-only paths; pivots,
//! executes and waits. It reads no config, keeps no state, protects itself against nothing, drops
//! nothing and limits nothing: no runtime can do its work in less time, and none should be used
//! that does not do more.

use std::ffi::{CStr, CString};
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use floor::calls;
use libc::{
    MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT, MS_SLAVE,
    MS_STRICTATIME,
};

const GROUPS: &CStr = c"/sys/fs/cgroup";

const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"dev/null", 1, 3),
    (c"dev/zero", 1, 5),
    (c"dev/full", 1, 7),
    (c"dev/random", 1, 8),
    (c"dev/urandom", 1, 9),
    (c"dev/tty", 5, 0),
];

const LINKS: [(&CStr, &CStr); 6] = [
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"/proc/kcore", c"dev/core"),
    (c"pts/ptmx", c"dev/ptmx"),
];

const MASKED: [&CStr; 10] = [
    c"proc/acpi",
    c"proc/asound",
    c"proc/kcore",
    c"proc/keys",
    c"proc/latency_stats",
    c"proc/timer_list",
    c"proc/timer_stats",
    c"proc/sched_debug",
    c"sys/firmware",
    c"proc/scsi",
];

const READ_ONLY: [&CStr; 5] = [
    c"proc/bus",
    c"proc/fs",
    c"proc/irq",
    c"proc/sys",
    c"proc/sysrq-trigger",
];

/// How the host's cgroups are mounted, and so what the container sees of them.
enum Groups {
    /// Version 2 alone.
    Unified,
    /// Version 1, perhaps with a version 2 beside it: each is bound, by the names in the folder.
    Hybrid(Vec<CString>),
}

fn main() -> ExitCode {
    let Some(rootfs) = std::env::args_os().nth(1) else {
        eprintln!("usage: floor ROOTFS");
        return ExitCode::from(2);
    };
    match CString::new(rootfs.into_vec())
        .map_err(Error::from)
        .and_then(|rootfs| run(&rootfs))
    {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(rootfs: &CStr) -> Result<u8> {
    let groups = groups()?;
    let group = make_group(&groups)?;
    let fd = group.as_deref().map(calls::open_dir).transpose()?;

    let namespaces = libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP;
    let Some(pid) = calls::clone(namespaces, fd.as_ref().map(AsRawFd::as_raw_fd))? else {
        let error = match enter(rootfs, &groups) {
            Ok(()) => calls::execute(c"/bin/true"),
            Err(error) => error,
        };
        eprintln!("floor: in the container: {error}");
        calls::end(127);
    };
    let ended = calls::wait(pid)?;

    if let Some(group) = group {
        calls::remove_dir(&group)?;
    }
    Ok(u8::try_from(ended.code).unwrap_or(u8::MAX))
}

fn groups() -> Result<Groups> {
    if calls::is_cgroup2(GROUPS) {
        return Ok(Groups::Unified);
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir("/sys/fs/cgroup")? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(CString::new(entry.file_name().into_vec())?);
        }
    }
    Ok(Groups::Hybrid(names))
}

/// A new group of version 2, where there is one to make it in.
fn make_group(groups: &Groups) -> Result<Option<CString>> {
    let parent = match groups {
        Groups::Unified => "/sys/fs/cgroup",
        Groups::Hybrid(_) if calls::is_cgroup2(c"/sys/fs/cgroup/unified") => {
            "/sys/fs/cgroup/unified"
        }
        Groups::Hybrid(_) => return Ok(None),
    };
    let group = CString::new(format!("{parent}/floor-{}", std::process::id()))?;
    calls::make_dir(&group)?;
    Ok(Some(group))
}

/// What the child does before it executes.
fn enter(rootfs: &CStr, groups: &Groups) -> Result<()> {
    calls::set_umask(0);
    calls::mount(c"", c"/", c"", MS_SLAVE | MS_REC, c"")?;
    calls::mount(rootfs, rootfs, c"", MS_BIND | MS_REC, c"")?;
    calls::mount(c"", rootfs, c"", MS_PRIVATE, c"")?;
    calls::change_dir(rootfs)?;

    mount_all()?;
    mount_groups(groups)?;
    fill_dev()?;
    calls::set_hostname(c"floor")?;

    calls::pivot_to_here()?;
    calls::detach(c".")?;
    calls::change_dir(c"/")?;
    mask()?;
    calls::mount(c"", c"/", c"", MS_BIND | MS_REMOUNT | MS_RDONLY, c"")
}

fn mount_all() -> Result<()> {
    let none = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    let no_exec = MS_NOSUID | MS_NOEXEC;
    calls::mount(c"proc", c"proc", c"proc", 0, c"")?;
    calls::mount(
        c"tmpfs",
        c"dev",
        c"tmpfs",
        MS_NOSUID | MS_STRICTATIME,
        c"mode=755,size=65536k",
    )?;
    for dir in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
        calls::make_dir(dir)?;
    }
    let terminals = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
    calls::mount(c"devpts", c"dev/pts", c"devpts", no_exec, terminals)?;
    calls::mount(c"shm", c"dev/shm", c"tmpfs", none, c"mode=1777,size=65536k")?;
    calls::mount(c"mqueue", c"dev/mqueue", c"mqueue", none, c"")?;
    calls::mount(c"sysfs", c"sys", c"sysfs", none | MS_RDONLY, c"")
}

fn mount_groups(groups: &Groups) -> Result<()> {
    let flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
    let Groups::Hybrid(names) = groups else {
        return calls::mount(c"cgroup", c"sys/fs/cgroup", c"cgroup2", flags, c"");
    };
    calls::mount(
        c"tmpfs",
        c"sys/fs/cgroup",
        c"tmpfs",
        flags & !MS_RDONLY,
        c"mode=755",
    )?;
    for name in names {
        let name = name.to_bytes();
        let path = CString::new([b"sys/fs/cgroup/", name].concat())?;
        let host = CString::new([b"/sys/fs/cgroup/", name].concat())?;
        calls::make_dir(&path)?;
        calls::mount(&host, &path, c"", MS_BIND, c"")?;
        calls::mount(c"", &path, c"", flags | MS_BIND | MS_REMOUNT, c"")?;
    }
    let flags = flags | MS_BIND | MS_REMOUNT;
    calls::mount(c"", c"sys/fs/cgroup", c"", flags, c"")
}

fn fill_dev() -> Result<()> {
    for (path, major, minor) in DEVICES {
        calls::make_device(path, major, minor)?;
    }
    for (target, path) in LINKS {
        calls::make_link(target, path)?;
    }
    Ok(())
}

/// What this kernel does not have needs no mask.
fn mask() -> Result<()> {
    let present = |result: Result<()>| match result {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        result => result.map(|()| true),
    };
    for path in MASKED {
        match calls::mount(c"dev/null", path, c"", MS_BIND, c"") {
            // A file cannot be bound to a directory.
            Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
                calls::mount(c"tmpfs", path, c"tmpfs", MS_RDONLY, c"")?;
            }
            result => drop(present(result)?),
        }
    }
    let flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    for path in READ_ONLY {
        if present(calls::mount(path, path, c"", MS_BIND | MS_REC, c""))? {
            calls::mount(c"", path, c"", flags, c"")?;
        }
    }
    Ok(())
}
