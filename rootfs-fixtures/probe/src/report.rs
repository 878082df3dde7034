//! What a process inside the container can see of itself and its surroundings.

use crate::{calls, memory};
use serde_json::{Map, Value, json};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

const RLIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

const IOPRIO_WHO_PROCESS: i64 = 1;

/// What cannot be told (no /proc, a call refused) is null.
pub fn everything() -> Value {
    let (users, groups) = memory::identity();
    let (hostname, domainname) = memory::uts();
    let (ignored, blocked) = memory::signals();
    let args: Vec<String> = std::env::args().collect();
    let env: Vec<String> = std::env::vars_os()
        .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy()))
        .collect();
    json!({
        "args": args,
        "env": env,
        "cwd": std::env::current_dir().ok(),
        "exe": fs::read_link("/proc/self/exe").ok(),
        "pid": std::process::id(),
        "ppid": std::os::unix::process::parent_id(),
        "session": calls::call(libc::SYS_getsid, &[]).ok(),
        "process_group": calls::call(libc::SYS_getpgid, &[]).ok(),
        "controlling_terminal": fs::File::open("/dev/tty").is_ok(),
        "uid": users[0], "euid": users[1], "suid": users[2],
        "gid": groups[0], "egid": groups[1], "sgid": groups[2],
        "groups": memory::groups().ok(),
        "umask": umask(),
        "capabilities": capabilities(),
        "no_new_privs": memory::prctl(libc::PR_GET_NO_NEW_PRIVS, 0).ok().map(|on| on == 1),
        "securebits": memory::prctl(libc::PR_GET_SECUREBITS, 0).ok(),
        "seccomp": status("Seccomp").and_then(|mode| mode.parse::<u8>().ok()),
        "seccomp_filters": status("Seccomp_filters").and_then(|count| count.parse::<u32>().ok()),
        "dumpable": memory::prctl(libc::PR_GET_DUMPABLE, 0).ok(),
        "parent_death_signal": memory::parent_death_signal().ok(),
        "signals_ignored": ignored,
        "signals_blocked": blocked,
        "rlimits": rlimits(),
        "oom_score_adj": file("/proc/self/oom_score_adj").and_then(|n| n.parse::<i32>().ok()),
        "personality": calls::call(libc::SYS_personality, &[0xffff_ffff]).ok(),
        "affinity": memory::affinity(),
        "scheduler": memory::scheduler().ok(),
        "io_priority": calls::call(libc::SYS_ioprio_get, &[IOPRIO_WHO_PROCESS, 0]).ok(),
        "nice": calls::call(libc::SYS_getpriority, &[]).ok().map(|raw| 20 - raw),
        "session_keyring": session_keyring(),
        "hostname": hostname,
        "domainname": domainname,
        "namespaces": namespaces(),
        "timens_offsets": timens_offsets(),
        "cgroup": file("/proc/self/cgroup").map(|text| lines(&text)),
        "mounts": mounts(),
        "descriptors": descriptors(),
        "dev": nodes(Path::new("/dev")),
        "root": entries("/"),
    })
}

fn file(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim_end().into())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(String::from).collect()
}

fn entries(path: &str) -> Option<Vec<String>> {
    let entries = fs::read_dir(path).ok()?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Some(names)
}

fn status(field: &str) -> Option<String> {
    let text = file("/proc/self/status")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().into())
}

/// Four octal digits, as shells print it.
fn umask() -> String {
    let old = calls::call(libc::SYS_umask, &[0o077]).unwrap_or(0);
    let _ = calls::call(libc::SYS_umask, &[old]);
    format!("{old:04o}")
}

fn rlimits() -> Map<String, Value> {
    let limit = |(kind, name): (usize, &&str)| {
        let (soft, hard) = memory::rlimit(kind as libc::__rlimit_resource_t).ok()?;
        Some((
            format!("RLIMIT_{name}"),
            json!({ "soft": soft, "hard": hard }),
        ))
    };
    RLIMITS.iter().enumerate().filter_map(limit).collect()
}

fn capabilities() -> Value {
    let names = |held: &dyn Fn(usize) -> bool| -> Vec<String> {
        let held = CAPABILITIES
            .iter()
            .enumerate()
            .filter(|(bit, _)| held(*bit));
        held.map(|(_, name)| format!("CAP_{name}")).collect()
    };
    let asked = |option: libc::c_int, bit: usize| {
        let arguments = [
            i64::from(option),
            libc::PR_CAP_AMBIENT_IS_SET.into(),
            bit as i64,
        ];
        match option {
            libc::PR_CAP_AMBIENT => {
                calls::call(libc::SYS_prctl, &arguments).is_ok_and(|on| on == 1)
            }
            _ => memory::prctl(option, bit as u64).is_ok_and(|on| on == 1),
        }
    };
    let sets = memory::capabilities().unwrap_or_default();
    json!({
        "effective": names(&|bit| sets[0] >> bit & 1 == 1),
        "permitted": names(&|bit| sets[1] >> bit & 1 == 1),
        "inheritable": names(&|bit| sets[2] >> bit & 1 == 1),
        "bounding": names(&|bit| asked(libc::PR_CAPBSET_READ, bit)),
        "ambient": names(&|bit| asked(libc::PR_CAP_AMBIENT, bit)),
    })
}

/// The serial of the session keyring, or null where there is none or it may not be asked.
fn session_keyring() -> Option<i64> {
    const KEYCTL_GET_KEYRING_ID: i64 = 0;
    const KEY_SPEC_SESSION_KEYRING: i64 = -3;
    calls::call(
        libc::SYS_keyctl,
        &[KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0],
    )
    .ok()
}

/// Inode numbers by the names of /proc/self/ns.
fn namespaces() -> Map<String, Value> {
    let names = entries("/proc/self/ns").unwrap_or_default();
    let inode = |name: String| {
        let link = fs::read_link(Path::new("/proc/self/ns").join(&name)).ok()?;
        let link = link.to_string_lossy().into_owned();
        let inode: u64 = link.split(['[', ']']).nth(1)?.parse().ok()?;
        Some((name, json!(inode)))
    };
    names.into_iter().filter_map(inode).collect()
}

/// Seconds and nanoseconds by clock.
fn timens_offsets() -> Map<String, Value> {
    let text = file("/proc/self/timens_offsets").unwrap_or_default();
    let offset = |line: &str| {
        let mut words = line.split_whitespace();
        let clock = words.next()?.to_owned();
        let numbers: Vec<i64> = words.filter_map(|word| word.parse().ok()).collect();
        Some((clock, json!(numbers)))
    };
    text.lines().filter_map(offset).collect()
}

/// proc(5), mountinfo; octal escapes are undone.
fn mounts() -> Option<Vec<Value>> {
    let text = file("/proc/self/mountinfo")?;
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let (left, right): (Vec<&str>, Vec<&str>) =
            (left.split(' ').collect(), right.splitn(3, ' ').collect());
        Some(json!({
            "id": left[0].parse::<u64>().ok(),
            "parent": left[1].parse::<u64>().ok(),
            "device": left[2],
            "root": unescape(left[3]),
            "target": unescape(left[4]),
            "options": left[5].split(',').collect::<Vec<_>>(),
            "propagation": left[6..],
            "type": right[0],
            "source": unescape(right[1]),
            "data": right[2].split(',').collect::<Vec<_>>(),
        }))
    };
    Some(text.lines().filter_map(mount).collect())
}

fn unescape(text: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    escapes
        .iter()
        .fold(text.into(), |text: String, (code, c)| text.replace(code, c))
}

/// What each descriptor refers to, without the one that reads the list.
fn descriptors() -> Map<String, Value> {
    let names = entries("/proc/self/fd").unwrap_or_default();
    let target = |name: String| {
        let target = fs::read_link(Path::new("/proc/self/fd").join(&name)).ok()?;
        Some((
            name,
            json!(String::from_utf8_lossy(target.as_os_str().as_bytes())),
        ))
    };
    names.into_iter().filter_map(target).collect()
}

fn nodes(dir: &Path) -> Map<String, Value> {
    let mut found = Map::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Some(node) = node(&path) {
            found.insert(path.to_string_lossy().into_owned(), node);
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.append(&mut nodes(&path));
        }
    }
    found
}

/// Type, numbers, mode and owner of one file, not following a link.
pub fn node(path: &Path) -> Option<Value> {
    let about = fs::symlink_metadata(path).ok()?;
    let kind = about.file_type();
    let kinds = [
        (kind.is_char_device(), "char"),
        (kind.is_block_device(), "block"),
        (kind.is_fifo(), "fifo"),
        (kind.is_socket(), "socket"),
        (kind.is_dir(), "directory"),
        (kind.is_symlink(), "link"),
    ];
    let kind = kinds
        .iter()
        .find(|(is, _)| *is)
        .map_or("file", |(_, name)| *name);
    let device = matches!(kind, "char" | "block");
    Some(json!({
        "type": kind,
        "major": device.then(|| libc::major(about.rdev())),
        "minor": device.then(|| libc::minor(about.rdev())),
        "mode": format!("{:04o}", about.mode() & 0o7777),
        "uid": about.uid(),
        "gid": about.gid(),
        "size": about.size(),
        "link": fs::read_link(path).ok(),
    }))
}
