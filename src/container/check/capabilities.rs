//! What this process may do, and what it can therefore do for a container and give to one.

use caps::{CapSet, Capability};

use super::{Finding, Weight, setting, words};
use crate::sys::identity;

/// What is refused where bulkhead itself has not got the capability.
fn consequence(capability: Capability) -> Option<&'static str> {
    use Capability as C;
    Some(match capability {
        C::CAP_SYS_ADMIN => "namespaces and mounts can be made in a user namespace only",
        C::CAP_SYS_RESOURCE => "rlimits above the hard limit and lowered OOM scores are refused",
        C::CAP_SETUID => "processes cannot run as another user",
        C::CAP_SETGID => "processes cannot run as another group",
        C::CAP_SETPCAP => "capabilities cannot be taken from a container's bounding set",
        C::CAP_SETFCAP => "user namespaces that map the host's root are refused (Linux 5.12)",
        C::CAP_MKNOD => "device nodes cannot be made",
        C::CAP_SYS_CHROOT => "--no-pivot is refused",
        C::CAP_CHOWN => "files cannot be given to the container's user",
        C::CAP_DAC_OVERRIDE => "roots that this user cannot read and write are refused",
        C::CAP_NET_ADMIN => "network devices cannot be set up",
        C::CAP_KILL => "processes of other users cannot be signalled",
        C::CAP_SYS_PTRACE => "namespaces of other users' processes cannot be joined",
        C::CAP_SYS_NICE => "real-time scheduling and higher priorities are refused",
        _ => return None,
    })
}

/// Whether namespaces can be made without a user namespace.
pub(super) fn is_privileged() -> bool {
    let bit = Capability::CAP_SYS_ADMIN.bitmask();
    identity::capabilities().is_ok_and(|sets| sets.effective & bit != 0)
}

pub(super) fn all(privileged: bool) -> Vec<Finding> {
    let last: u32 = setting("/proc/sys/kernel/cap_last_cap")
        .and_then(|n| n.parse().ok())
        .unwrap_or(40);
    let effective = match identity::capabilities() {
        Ok(sets) => sets.effective,
        Err(errno) => {
            let found = format!("not known: {}", words(errno));
            let means = "what containers are refused shows when they start";
            return vec![Finding::new(Weight::Lacking, "capabilities", found, means)];
        }
    };
    let bounding = caps::read(None, CapSet::Bounding).unwrap_or_default();
    let bounding = bounding.iter().fold(0, |all, c| all | c.bitmask());
    if !privileged {
        return vec![unprivileged(effective)];
    }
    missing(last, effective, bounding)
}

fn unprivileged(effective: u64) -> Finding {
    let found = format!("{} of them, without CAP_SYS_ADMIN", effective.count_ones());
    let means = "containers run with a user namespace in their config only";
    Finding::new(Weight::Lacking, "capabilities", found, means)
}

/// One finding for each that is not there, or one that says that all are.
fn missing(last: u32, effective: u64, bounding: u64) -> Vec<Finding> {
    let known = sorted();
    let findings: Vec<_> = (0..=last)
        .filter_map(|number| {
            let capability = known.iter().find(|c| u32::from(c.index()) == number);
            let name = capability.map_or_else(|| format!("CAP_{number}"), ToString::to_string);
            let bit = 1u64.checked_shl(number)?;
            let found = match (effective & bit != 0, bounding & bit != 0) {
                (true, true) => return None,
                (true, false) => "not in the bounding set",
                (false, _) => "missing",
            };
            let acts = capability.and_then(|c| consequence(*c));
            let means = match acts.filter(|_| effective & bit == 0) {
                Some(text) => format!("{text}; no container can have it"),
                None => "no container can have it".into(),
            };
            Some(Finding::new(Weight::Lacking, name, found, means))
        })
        .collect();
    if findings.is_empty() {
        let found = format!("all {}", last + 1);
        let means = "a container can be given any";
        return vec![Finding::new(Weight::Good, "capabilities", found, means)];
    }
    findings
}

fn sorted() -> Vec<Capability> {
    let mut known: Vec<_> = caps::all().into_iter().collect();
    known.sort_by_key(Capability::index);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = (1 << 41) - 1;

    #[test]
    fn each_missing_capability_is_named_with_what_follows() {
        let no_resource = ALL & !Capability::CAP_SYS_RESOURCE.bitmask();
        let findings = missing(40, no_resource, no_resource);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].subject, "CAP_SYS_RESOURCE");
        assert!(findings[0].means.contains("OOM scores"), "{findings:?}");
        assert!(findings[0].means.contains("no container can have it"));
    }

    #[test]
    fn what_is_only_not_bounding_is_still_ours() {
        let findings = missing(40, ALL, ALL & !Capability::CAP_MKNOD.bitmask());
        assert_eq!(findings[0].found, "not in the bounding set");
        assert_eq!(findings[0].means, "no container can have it");
    }

    #[test]
    fn a_whole_set_is_one_good_finding() {
        let findings = missing(40, ALL, ALL);
        assert_eq!((findings.len(), findings[0].weight), (1, Weight::Good));
        assert_eq!(missing(41, ALL, ALL)[0].subject, "CAP_41");
    }
}
