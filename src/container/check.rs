//! What this host offers to containers and what it lacks, each with what that means for who runs
//! them. It is asked of the kernel where the kernel can be asked: namespaces are made, filesystems
//! opened and a guest run, in children that end at once. Nothing of it stays.

mod capabilities;
mod groups;
mod kernel;
mod namespaces;
mod security;
mod virtual_machine;

use nix::errno::Errno;
use serde::Serialize;

/// How much depends on what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// It is there.
    Good,
    /// Some containers will be refused or get less.
    Lacking,
    /// No container runs without it, unless a flag says to do without.
    Fatal,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, the same on every host: `kernel`, `namespace user`, `CAP_SYS_RESOURCE`.
    pub subject: String,
    pub weight: Weight,
    /// What the host has.
    pub found: String,
    /// What follows from it.
    pub means: String,
}

impl Finding {
    fn new(
        weight: Weight,
        subject: impl Into<String>,
        found: impl Into<String>,
        means: impl Into<String>,
    ) -> Self {
        Self {
            subject: subject.into(),
            weight,
            found: found.into(),
            means: means.into(),
        }
    }
}

/// Looks at everything, in the order in which it is told. Must be called while this process has one
/// thread: it clones.
pub fn survey() -> Vec<Finding> {
    let privileged = capabilities::is_privileged();
    let mut all = vec![kernel::version()];
    all.extend(namespaces::all(privileged));
    all.extend(groups::all());
    all.extend(security::all());
    all.extend(kernel::filesystems());
    all.push(kernel::id_mapped_mounts(privileged));
    all.push(virtual_machine::kvm());
    all.extend(capabilities::all(privileged));
    all
}

/// Whether a container can run here at all.
pub fn containers_run(findings: &[Finding]) -> bool {
    findings.iter().all(|f| f.weight != Weight::Fatal)
}

/// The system's sentence in the house's spelling, without a capital.
fn words(errno: Errno) -> String {
    errno.desc().to_ascii_lowercase()
}

/// The text of a small file of proc or sys, without the line's end; `None` where there is none.
fn setting(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_end().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fatal_finding_is_enough() {
        let find = |weight| Finding::new(weight, "x", "y", "z");
        let mut findings = vec![find(Weight::Good), find(Weight::Lacking)];
        assert!(containers_run(&findings));
        findings.push(find(Weight::Fatal));
        assert!(!containers_run(&findings));
    }

    #[test]
    fn every_finding_says_what_it_is_about_and_what_follows() {
        let findings = survey();
        for f in &findings {
            assert!(
                !f.subject.is_empty() && !f.found.is_empty() && !f.means.is_empty(),
                "{f:?}"
            );
            assert!(!f.means.ends_with('.'), "{f:?}");
        }
        let mut subjects: Vec<_> = findings.iter().map(|f| &f.subject).collect();
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), findings.len(), "a subject twice");
    }
}
