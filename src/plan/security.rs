//! What security modules of the kernel make of the program: an AppArmor profile, SELinux labels.

use std::ffi::{CStr, CString};

use super::host::Host;
use super::step::{Labelled, Step};
use super::{Error, Planner};
use crate::spec::Container;

/// Asked for, and there.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    profile: Option<CString>,
    pub(super) process: Option<CString>,
    pub(super) mounts: Option<CString>,
}

impl Labels {
    pub(super) fn of(container: &Container, host: &Host) -> Result<Self, Error> {
        let process = container.process.as_ref();
        let mut profile = process.and_then(|process| process.apparmor_profile.clone());
        if !host.has_apparmor {
            // It is what everything is there. Where there are profiles, the runtime may have one.
            profile = profile.filter(|name| name.as_c_str() != c"unconfined");
            if profile.is_some() {
                return Err(Error::NoAppArmor);
            }
        }
        let label = process.and_then(|process| process.selinux_label.clone());
        let mounts = container.mount_label.clone();
        for (field, label) in [
            ("process.selinuxLabel", &label),
            ("linux.mountLabel", &mounts),
        ] {
            if label.is_some() && !host.has_selinux {
                return Err(Error::NoSelinux { field });
            }
        }
        Ok(Self {
            profile,
            process: label,
            mounts,
        })
    }
}

impl Planner<'_> {
    /// While /proc is the host's: what is mounted there later may lead a write astray
    /// (CVE-2019-16884).
    pub(super) fn hold_proc(&mut self) {
        if self.labels.profile.is_some() || self.labels.process.is_some() {
            self.push(Step::HoldProc);
        }
    }

    /// Before the hooks of the container's side, which are the image's programs: they inherit it.
    pub(super) fn confine(&mut self) {
        if let Some(label) = self.labels.process.clone() {
            self.label(Labelled::Program, label);
        }
        if let Some(profile) = self.labels.profile.clone() {
            self.push(Step::Profile(profile));
        }
    }

    /// Keys that are made while it is set have the label of the process.
    pub(super) fn label_keys(&mut self, make: Step) {
        let Some(label) = self.labels.process.clone() else {
            return self.push(make);
        };
        self.label(Labelled::Keys, label);
        self.push(make);
        self.label(Labelled::Keys, CString::default());
    }

    fn label(&mut self, what: Labelled, label: CString) {
        self.push(Step::Label { what, label });
    }

    /// Whether all files of a new filesystem have the label for mounts. Those of the kernel's own have
    /// labels by what they are (as runc has it). A mqueue is made with its ipc namespace, before a label
    /// can be asked for: "same superblock, different security settings" says the kernel. runc then gives
    /// the label to its directory, and not to the queues; here that keeps the policy's, too.
    pub(super) fn context(&self, kind: &CStr) -> Option<CString> {
        let has_its_own = matches!(kind.to_bytes(), b"proc" | b"sysfs" | b"mqueue");
        self.labels.mounts.clone().filter(|_| !has_its_own)
    }
}
