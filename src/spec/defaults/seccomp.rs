//! The default profile of system calls.
//!
//! It allows what is listed in `calls.txt` and what a capability that the container has been given is
//! for, and nothing that Docker's default profile (moby 20.10) would not allow. It leaves out more:
//!
//! - `io_uring_*`: what a ring does passes no filter (moby has left it out since 25.0);
//! - sockets of rare domains: `AF_VSOCK` reaches the hypervisor past any network namespace, and `AF_ALG` is
//!   a road into drivers of the kernel's that programs have no need of. With them goes `socketcall`, by which
//!   32-bit programs older than Linux 4.3 make sockets: its arguments lie where no filter can see them;
//! - `vmsplice`, `remap_file_pages`, `fanotify_mark` and the two calls of epoll that never worked.
//!
//! New namespaces are not to be had: they open much of the kernel to users. `clone3` keeps its flags
//! where no filter can see them, and is answered with ENOSYS, so that libc takes `clone`.

use caps::Capability;
use serde_json::{Value, json};

const CALLS: &str = include_str!("calls.txt");

/// What a capability is for. Without it the kernel denies most of these itself; the filter keeps their
/// code out of reach as well.
const BY_CAPABILITY: &[(Capability, &[&str])] = &[
    (Capability::CAP_DAC_READ_SEARCH, &["open_by_handle_at"]),
    (Capability::CAP_SYS_ADMIN, NAMESPACES_AND_MOUNTS),
    (Capability::CAP_SYS_BOOT, &["reboot"]),
    (Capability::CAP_SYS_CHROOT, &["chroot"]),
    (
        Capability::CAP_SYS_MODULE,
        &["delete_module", "finit_module", "init_module"],
    ),
    (
        Capability::CAP_SYS_NICE,
        &["get_mempolicy", "mbind", "set_mempolicy"],
    ),
    (Capability::CAP_SYS_PACCT, &["acct"]),
    (
        Capability::CAP_SYS_PTRACE,
        &[
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
        ],
    ),
    (Capability::CAP_SYS_RAWIO, &["ioperm", "iopl"]),
    (
        Capability::CAP_SYS_TIME,
        &["clock_settime", "settimeofday", "stime"],
    ),
    (Capability::CAP_SYS_TTY_CONFIG, &["vhangup"]),
    (Capability::CAP_SYSLOG, &["syslog"]),
];

const NAMESPACES_AND_MOUNTS: &[&str] = &[
    "bpf",
    "clone",
    "clone3",
    "fanotify_init",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "name_to_handle_at",
    "open_tree",
    "perf_event_open",
    "quotactl",
    "quotactl_fd",
    "setdomainname",
    "sethostname",
    "setns",
    "syslog",
    "umount",
    "umount2",
    "unshare",
];

/// CLONE_NEW*, but for CLONE_NEWTIME, which shares its bit with the signal that a child's end sends and
/// means nothing to `clone` (clone(2)).
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// Bits that are zero in the domains that a socket may be of: 0 to 31, those of every network that
/// programs use (socket(2)). The kernel takes an int and a filter sees 64 bits, so that a comparison with
/// one number could be passed by setting a bit that the kernel drops (the class of CVE-2019-7303).
const DOMAINS: u64 = !31;

/// Execution domains that programs ask for: Linux, 32-bit, both with the release shown as 2.6, and the
/// question which it is (personality(2)).
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// `linux.seccomp` of a container with these capabilities in its bounding set.
pub fn seccomp(capabilities: &[Capability]) -> Value {
    let mut names: Vec<&str> = CALLS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .collect();
    for (capability, calls) in BY_CAPABILITY {
        if capabilities.contains(capability) {
            names.extend(*calls);
        }
    }
    names.sort_unstable();
    names.dedup();

    let mut rules = vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    rules.extend(PERSONALITIES.map(|domain| {
        allow(
            "personality",
            &json!([{"index": 0, "value": domain, "op": "SCMP_CMP_EQ"}]),
        )
    }));
    rules.push(allow("socket", &none_of(DOMAINS)));
    if !capabilities.contains(&Capability::CAP_SYS_ADMIN) {
        rules.push(allow("clone", &none_of(NEW_NAMESPACES)));
        rules.push(
            json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS}),
        );
    }

    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": architectures(),
        "syscalls": rules,
    })
}

fn allow(call: &str, arguments: &Value) -> Value {
    json!({"names": [call], "action": "SCMP_ACT_ALLOW", "args": arguments})
}

/// That the first argument has none of these bits.
fn none_of(bits: u64) -> Value {
    json!([{"index": 0, "value": bits, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}])
}

/// Ours and its 32-bit one. A call of x32 is none of an image that anybody builds.
fn architectures() -> &'static [&'static str] {
    if cfg!(target_arch = "x86_64") {
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    } else {
        &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    }
}
