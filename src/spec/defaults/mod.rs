//! What a container gets that nobody has said more about.

pub mod docker;
mod document;
mod seccomp;

use caps::Capability;

pub use document::{CONFIG, VERSION, document, push, sets};
pub use seccomp::seccomp;

/// Enough for the programs of images that expect to be root of their own files and users: Docker's set
/// without `CAP_MKNOD`, `CAP_NET_RAW` and `CAP_AUDIT_WRITE`, which few of them use and which make nodes
/// of devices, forge packets and write to the host's audit log.
pub const CAPABILITIES: &[Capability] = &[
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
];
