//! The kernel itself, and which filesystems and mounts it can make.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::{Finding, Weight, words};
use crate::sys::linux_version;
use crate::sys::mount;
use crate::sys::path::{self, Resolve};
use crate::sys::users;

/// `mount_setattr(2)`, by which every mount of a container gets its attributes.
const OLDEST: (u32, u32) = (5, 12);

pub(super) fn version() -> Finding {
    let Ok(name) = nix::sys::utsname::uname() else {
        return Finding::new(Weight::Fatal, "kernel", "no answer", "uname(2) fails");
    };
    let release = name.release().to_string_lossy().into_owned();
    match linux_version() {
        Some(version) if version >= OLDEST => Finding::new(
            Weight::Good,
            "kernel",
            release,
            "has the mount calls that containers are made with",
        ),
        _ => Finding::new(
            Weight::Fatal,
            "kernel",
            release,
            "no container runs: mount_setattr(2) needs Linux 5.12",
        ),
    }
}

/// What the config of a usual container mounts, and what an image's layers are stacked with. To ask
/// for it makes the kernel load the module, where it is one.
const FILESYSTEMS: [(&CStr, Weight, &str); 7] = [
    (c"proc", Weight::Fatal, "/proc"),
    (c"tmpfs", Weight::Fatal, "/dev"),
    (c"devpts", Weight::Lacking, "terminals"),
    (c"sysfs", Weight::Lacking, "/sys"),
    (c"mqueue", Weight::Lacking, "/dev/mqueue"),
    (c"cgroup2", Weight::Lacking, "a cgroup v2 of its own"),
    (c"overlay", Weight::Lacking, "a root stacked from layers"),
];

pub(super) fn filesystems() -> Vec<Finding> {
    FILESYSTEMS
        .into_iter()
        .map(|(kind, weight, purpose)| {
            let subject = format!("filesystem {}", kind.to_string_lossy());
            match mount::fsopen(kind) {
                Ok(_) => Finding::new(
                    Weight::Good,
                    subject,
                    "there",
                    format!("a container can have {purpose}"),
                ),
                // fsopen(2) wants CAP_SYS_ADMIN: the child of a user namespace will have it.
                Err(Errno::EPERM) => Finding::new(
                    Weight::Good,
                    subject,
                    "not asked, for want of CAP_SYS_ADMIN",
                    format!("{purpose}: in containers with a user namespace, if the kernel has it"),
                ),
                Err(errno) => Finding::new(
                    weight,
                    subject,
                    format!("missing: {}", words(errno)),
                    format!("no container can have {purpose}"),
                ),
            }
        })
        .collect()
}

pub(super) fn id_mapped_mounts(privileged: bool) -> Finding {
    let subject = "id-mapped mounts";
    if !privileged {
        return Finding::new(
            Weight::Lacking,
            subject,
            "not asked, for want of CAP_SYS_ADMIN",
            "this user cannot have them",
        );
    }
    let tried = users::namespace("0 0 1", "0 0 1").map(|users| {
        let on = |tree: Result<OwnedFd, Errno>| {
            tree.and_then(|tree| mount::map_ids(tree.as_fd(), users.as_fd(), false))
        };
        (on(fresh_tmpfs()), on(copy_of_root()))
    });
    let (weight, found, means) = match tried {
        Err(errno) => (
            Weight::Lacking,
            format!("not tried: user namespace: {}", words(errno)),
            "files must belong to the ids that a container's user namespace maps",
        ),
        Ok((Ok(()), Ok(()))) => (
            Weight::Good,
            "on tmpfs and on the host's root".into(),
            "files can be shown with the ids of a user namespace",
        ),
        Ok((Err(errno), Ok(()))) => (
            Weight::Lacking,
            format!("on the host's root; not on tmpfs: {}", words(errno)),
            "a tmpfs cannot be shown with the ids of a user namespace (Linux 6.3)",
        ),
        Ok((Ok(()), Err(errno))) => (
            Weight::Lacking,
            format!("on tmpfs; not on the host's root: {}", words(errno)),
            "files must belong to the ids that a container's user namespace maps",
        ),
        Ok((Err(errno), Err(_))) => (
            Weight::Lacking,
            format!("missing: {}", words(errno)),
            "files must belong to the ids that a container's user namespace maps",
        ),
    };
    Finding::new(weight, subject, found, means)
}

/// Attached nowhere: it goes with its descriptor.
fn fresh_tmpfs() -> Result<OwnedFd, Errno> {
    let context = mount::fsopen(c"tmpfs")?;
    mount::create(context.as_fd())?;
    mount::fsmount(context.as_fd(), 0)
}

/// Attached nowhere: the host's own mount is not touched.
fn copy_of_root() -> Result<OwnedFd, Errno> {
    let root = path::open(path::HERE, c"/", libc::O_PATH, Resolve::Host)?;
    mount::clone_tree(root.as_fd(), c"", false)
}
