//! What is taken from a layer and what is not.

/// How layers are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpacking {
    pub form: Form,
    pub limits: Limits,
    pub owners: Owners,
    pub devices: Devices,
}

/// What becomes of what a layer removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As overlayfs has it in `trusted.overlay.*`, which only root of the first user namespace can set.
    Overlay,
    /// As overlayfs mounted with `userxattr` has it (Linux 5.11).
    UserOverlay,
    /// It is listed in [`super::Unpacked::removed`].
    Flat,
}

/// Against bombs. All are of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive, and of the files in it with their holes.
    pub size: u64,
    pub entries: u64,
    /// How many times larger than the blob the archive may be, from 64 MiB on. Gzip comes to 1,032 at
    /// most, zstd of a file full of zeros to ten times that: by default there is none.
    pub ratio: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size: 64 << 30,
            entries: 4_000_000,
            ratio: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The ids of the layer, which this user namespace must have.
    AsWritten,
    /// All is the caller's, who has no other ids. Counted.
    One,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    Make,
    /// Left out and counted: without privilege they cannot be made.
    Skip,
    Refuse,
}

/// What becomes of an extended attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// Left out and counted.
    Drop,
    Refuse,
}

/// `user.*` is a program's own, and `security.capability` what a file can do, which only root can give.
/// Labels of SELinux are those of the machine that built the layer: engines leave them out, too. What the
/// kernel obeys otherwise (`trusted.*`, where overlayfs keeps its own, other modules' `security.*`, access
/// lists in `system.*`) is refused, since leaving it out could make a file more open than it is meant to be.
/// Access lists as star writes them (`SCHILY.acl.*`) are no attributes; they are passed over, as in all engines.
pub(super) fn xattr(name: &[u8], owners: Owners) -> Verdict {
    match name {
        b"security.capability" if owners == Owners::One => Verdict::Drop,
        b"security.capability" => Verdict::Keep,
        b"security.selinux" => Verdict::Drop,
        name if name.starts_with(b"user.overlay.") => Verdict::Refuse,
        name if name.starts_with(b"user.") => Verdict::Keep,
        _ => Verdict::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_obeys_is_not_taken_from_a_layer() {
        for (name, as_root, alone) in [
            ("user.mime_type", Verdict::Keep, Verdict::Keep),
            ("security.capability", Verdict::Keep, Verdict::Drop),
            ("security.selinux", Verdict::Drop, Verdict::Drop),
            ("user.overlay.opaque", Verdict::Refuse, Verdict::Refuse),
            ("trusted.overlay.redirect", Verdict::Refuse, Verdict::Refuse),
            ("trusted.x", Verdict::Refuse, Verdict::Refuse),
            ("security.ima", Verdict::Refuse, Verdict::Refuse),
            ("system.posix_acl_access", Verdict::Refuse, Verdict::Refuse),
            ("nonsense", Verdict::Refuse, Verdict::Refuse),
        ] {
            assert_eq!(xattr(name.as_bytes(), Owners::AsWritten), as_root, "{name}");
            assert_eq!(xattr(name.as_bytes(), Owners::One), alone, "{name}");
        }
    }
}
