//! Seccomp, and the security modules that config.json can name a profile or label of.

use std::path::Path;

use super::{Finding, Weight, setting};
use crate::sys::seccomp;

/// Results of a filter (`linux/seccomp.h`), with the name that config.json has for each.
const ACTIONS: [(&str, u32); 8] = [
    ("KILL_PROCESS", 0x8000_0000),
    ("KILL_THREAD", 0),
    ("TRAP", 0x0003_0000),
    ("ERRNO", 0x0005_0000),
    ("NOTIFY", 0x7fc0_0000),
    ("TRACE", 0x7ff0_0000),
    ("LOG", 0x7ffc_0000),
    ("ALLOW", 0x7fff_0000),
];

pub(super) fn all() -> Vec<Finding> {
    vec![filters(), module()]
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

/// The list is there where securityfs is mounted; the two that label processes can also be seen by
/// themselves.
fn module() -> Finding {
    let listed = setting("/sys/kernel/security/lsm").unwrap_or_else(|| {
        let apparmor = setting("/sys/module/apparmor/parameters/enabled");
        let selinux = Path::new("/sys/fs/selinux/enforce").exists();
        let seen = [
            ("apparmor", apparmor.as_deref() == Some("Y")),
            ("selinux", selinux),
        ];
        let seen: Vec<_> = seen.into_iter().filter(|(_, is_on)| *is_on).collect();
        seen.into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(",")
    });
    describe(&listed)
}

/// Labels and profiles of config.json are refused in any case as long as none can be set.
fn describe(listed: &str) -> Finding {
    let subject = "security module";
    let names: Vec<_> = listed
        .split(',')
        .filter(|name| matches!(*name, "apparmor" | "selinux"))
        .collect();
    if names.is_empty() {
        let found = "neither AppArmor nor SELinux";
        let means = "containers that name a profile or label are refused";
        return Finding::new(Weight::Lacking, subject, found, means);
    }
    let means = "containers stay in the confinement that bulkhead runs in";
    Finding::new(Weight::Good, subject, names.join(" "), means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_modules_that_label_processes_count() {
        let of = |listed| {
            let finding = describe(listed);
            (finding.weight, finding.found)
        };
        let none = (Weight::Lacking, "neither AppArmor nor SELinux".into());
        assert_eq!(of(""), none);
        assert_eq!(of("lockdown,capability,landlock,yama"), none);
        let apparmor = (Weight::Good, "apparmor".into());
        assert_eq!(of("lockdown,capability,apparmor"), apparmor);
    }
}
