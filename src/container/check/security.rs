//! Seccomp, and the security modules that config.json can name a profile or label of.

use std::path::Path;

use super::{Finding, Weight, setting};
use crate::sys::seccomp;

/// Results of a filter (`linux/seccomp.h`), with the name that config.json has for each.
const ACTIONS: [(&str, u32); 7] = [
    ("KILL_PROCESS", 0x8000_0000),
    ("KILL_THREAD", 0),
    ("TRAP", 0x0003_0000),
    ("ERRNO", 0x0005_0000),
    ("TRACE", 0x7ff0_0000),
    ("LOG", 0x7ffc_0000),
    ("ALLOW", 0x7fff_0000),
];

pub(super) fn all() -> Vec<Finding> {
    vec![filters(), apparmor(), selinux()]
}

fn filters() -> Finding {
    let subject = "seccomp";
    let (known, unknown): (Vec<_>, Vec<_>) = ACTIONS
        .into_iter()
        .partition(|(_, action)| seccomp::knows_action(*action));
    let names = |list: Vec<(&str, u32)>| {
        let names: Vec<_> = list.into_iter().map(|(name, _)| name).collect();
        names.join(" ")
    };
    if known.is_empty() {
        let means = "containers that set linux.seccomp are refused, Docker's and Podman's included";
        return Finding::new(Weight::Lacking, subject, "missing", means);
    }
    if unknown.is_empty() {
        let found = "filters with every action";
        return Finding::new(
            Weight::Good,
            subject,
            found,
            "system calls can be refused (linux.seccomp)",
        );
    }
    let means = format!("profiles that use {} are refused", names(unknown));
    Finding::new(Weight::Lacking, subject, names(known), means)
}

/// The list is there where securityfs is mounted; each module can also be seen by itself.
fn is_active(name: &str, alone: bool) -> bool {
    match setting("/sys/kernel/security/lsm") {
        Some(list) => list.split(',').any(|module| module == name),
        None => alone,
    }
}

fn apparmor() -> Finding {
    let enabled = setting("/sys/module/apparmor/parameters/enabled");
    let active = is_active("apparmor", enabled.as_deref() == Some("Y"));
    module("apparmor", active, "process.apparmorProfile", "AppArmor")
}

fn selinux() -> Finding {
    let active = is_active("selinux", Path::new("/sys/fs/selinux/enforce").exists());
    module("selinux", active, "process.selinuxLabel", "SELinux")
}

fn module(subject: &str, active: bool, field: &str, name: &str) -> Finding {
    if active {
        let means = format!("{name} confines containers for which {field} is set");
        return Finding::new(Weight::Good, subject, "active", means);
    }
    let means = format!("containers that set {field} are refused");
    Finding::new(Weight::Lacking, subject, "not active", means)
}
