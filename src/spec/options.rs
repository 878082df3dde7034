//! The words of `mounts[].options` (config.md, "Mounts"): what each asks of the kernel.

use libc::{
    MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME as NOATIME, MOUNT_ATTR_NODEV as NODEV,
    MOUNT_ATTR_NODIRATIME as NODIRATIME, MOUNT_ATTR_NOEXEC as NOEXEC, MOUNT_ATTR_NOSUID as NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW as NOSYMFOLLOW, MOUNT_ATTR_RDONLY as RDONLY,
    MOUNT_ATTR_RELATIME as RELATIME, MOUNT_ATTR_STRICTATIME as STRICTATIME,
};

use super::mounts::Attributes;
use super::mounts::PropagationKind::{self, Private, Shared, Slave, Unbindable};

/// What a word means. A word that is not in [`OPTIONS`] is for the filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// An attribute of this mount alone.
    Here(Change),
    /// The same of this mount and of all below it.
    Below(Change),
    /// `ro` and `rw`: an attribute, and a state of the filesystem too.
    Access(Change),
    /// A state of the filesystem: `fsconfig(2)` knows it by this name.
    Superblock,
    Propagate(PropagationKind, bool),
    Bind {
        recursive: bool,
    },
    /// `idmap` and `ridmap`
    MapIds {
        recursive: bool,
    },
    CopyUp,
    /// Changes what is mounted at the target.
    Remount,
    /// Nothing is left to ask of today's kernel.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set(u64),
    Clear(u64),
    /// Puts this into the field of access times.
    Atime(u64),
    /// Goes back to `relatime`, the kernel's default, unless another word has said otherwise.
    NotAtime(u64),
}

impl Change {
    pub(super) fn apply(self, to: &mut Attributes) {
        match self {
            Set(bits) => {
                to.set |= bits;
                to.clear &= !bits;
            }
            Clear(bits) => {
                to.set &= !bits;
                to.clear |= bits;
            }
            // mount_setattr(2) takes a setting only if the whole field is cleared with it.
            Atime(setting) => {
                to.set = to.set & !MOUNT_ATTR__ATIME | setting;
                to.clear |= MOUNT_ATTR__ATIME;
            }
            NotAtime(setting) => {
                let untouched = to.clear & MOUNT_ATTR__ATIME == 0;
                if untouched || to.set & MOUNT_ATTR__ATIME == setting {
                    Atime(RELATIME).apply(to);
                }
            }
        }
    }
}

use Change::{Atime, Clear, NotAtime, Set};
use Word::{Access, Below, Bind, CopyUp, Here, MapIds, Nothing, Propagate, Remount, Superblock};

/// Sorted by name. `norelatime` asks for what has not existed since Linux 2.6.30, where relatime
/// became the default; `silent` concerns the kernel's log of `mount(2)`; `iversion` has no word in
/// the mount interface of 5.2, and the filesystems that count versions do so by themselves.
pub(super) const OPTIONS: &[(&str, Word)] = &[
    ("async", Superblock),
    ("atime", Here(NotAtime(NOATIME))),
    ("bind", Bind { recursive: false }),
    ("defaults", Nothing),
    ("dev", Here(Clear(NODEV))),
    ("diratime", Here(Clear(NODIRATIME))),
    ("dirsync", Superblock),
    ("exec", Here(Clear(NOEXEC))),
    ("idmap", MapIds { recursive: false }),
    ("iversion", Nothing),
    ("lazytime", Superblock),
    ("loud", Nothing),
    ("mand", Superblock),
    ("noatime", Here(Atime(NOATIME))),
    ("nodev", Here(Set(NODEV))),
    ("nodiratime", Here(Set(NODIRATIME))),
    ("noexec", Here(Set(NOEXEC))),
    ("noiversion", Nothing),
    ("nolazytime", Superblock),
    ("nomand", Superblock),
    ("norelatime", Nothing),
    ("nostrictatime", Here(NotAtime(STRICTATIME))),
    ("nosuid", Here(Set(NOSUID))),
    ("nosymfollow", Here(Set(NOSYMFOLLOW))),
    ("private", Propagate(Private, false)),
    ("ratime", Below(NotAtime(NOATIME))),
    ("rbind", Bind { recursive: true }),
    ("rdev", Below(Clear(NODEV))),
    ("rdiratime", Below(Clear(NODIRATIME))),
    ("relatime", Here(Atime(RELATIME))),
    ("remount", Remount),
    ("rexec", Below(Clear(NOEXEC))),
    ("ridmap", MapIds { recursive: true }),
    ("rnoatime", Below(Atime(NOATIME))),
    ("rnodev", Below(Set(NODEV))),
    ("rnodiratime", Below(Set(NODIRATIME))),
    ("rnoexec", Below(Set(NOEXEC))),
    ("rnorelatime", Nothing),
    ("rnostrictatime", Below(NotAtime(STRICTATIME))),
    ("rnosuid", Below(Set(NOSUID))),
    ("rnosymfollow", Below(Set(NOSYMFOLLOW))),
    ("ro", Access(Set(RDONLY))),
    ("rprivate", Propagate(Private, true)),
    ("rrelatime", Below(Atime(RELATIME))),
    ("rro", Below(Set(RDONLY))),
    ("rrw", Below(Clear(RDONLY))),
    ("rshared", Propagate(Shared, true)),
    ("rslave", Propagate(Slave, true)),
    ("rstrictatime", Below(Atime(STRICTATIME))),
    ("rsuid", Below(Clear(NOSUID))),
    ("rsymfollow", Below(Clear(NOSYMFOLLOW))),
    ("runbindable", Propagate(Unbindable, true)),
    ("rw", Access(Clear(RDONLY))),
    ("shared", Propagate(Shared, false)),
    ("silent", Nothing),
    ("slave", Propagate(Slave, false)),
    ("strictatime", Here(Atime(STRICTATIME))),
    ("suid", Here(Clear(NOSUID))),
    ("symfollow", Here(Clear(NOSYMFOLLOW))),
    ("sync", Superblock),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagate(Unbindable, false)),
];

/// `None`: the word is not the OCI's.
pub(super) fn meaning(word: &str) -> Option<Word> {
    let found = OPTIONS.binary_search_by_key(&word, |&(name, _)| name);
    found.ok().map(|at| OPTIONS[at].1)
}

/// Every word that is understood, sorted: the `mountOptions` of `features`.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|&(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted_and_each_is_found() {
        assert!(names().is_sorted());
        for (name, word) in OPTIONS {
            assert_eq!(meaning(name), Some(*word), "{name}");
        }
        for other in ["", "mode=755", "RO", "newinstance"] {
            assert_eq!(meaning(other), None, "{other}");
        }
    }

    #[test]
    fn a_recursive_word_is_its_plain_word_for_all_below() {
        for (name, word) in OPTIONS {
            let Below(change) = *word else { continue };
            let plain = meaning(&name[1..]);
            assert!(
                plain == Some(Here(change)) || plain == Some(Access(change)),
                "{name}: {plain:?}"
            );
        }
    }

    #[test]
    fn a_mount_has_one_setting_of_access_times() {
        let relatime = (RELATIME, MOUNT_ATTR__ATIME);
        for (words, (set, clear)) in [
            ("noatime", (NOATIME, MOUNT_ATTR__ATIME)),
            ("noatime strictatime", (STRICTATIME, MOUNT_ATTR__ATIME)),
            ("noatime atime", relatime),
            ("atime", relatime),
            ("strictatime relatime", relatime),
            ("strictatime nostrictatime", relatime),
            ("noatime nostrictatime", (NOATIME, MOUNT_ATTR__ATIME)),
            ("noatime norelatime", (NOATIME, MOUNT_ATTR__ATIME)),
            ("nosuid suid", (0, NOSUID)),
            ("suid nosuid nodev", (NOSUID | NODEV, 0)),
            (
                "nodiratime noatime",
                (NODIRATIME | NOATIME, MOUNT_ATTR__ATIME),
            ),
        ] {
            let mut found = Attributes::default();
            for word in words.split(' ') {
                if let Some(Here(change)) = meaning(word) {
                    change.apply(&mut found);
                }
            }
            assert_eq!(found, Attributes { set, clear }, "{words}");
        }
    }
}
