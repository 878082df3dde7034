//! Where records lie when nobody says where.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The state root without `--root`: `/run/bulkhead`, or `$XDG_RUNTIME_DIR/bulkhead` for a user.
///
/// Root of a user namespace counts as a user unless `$USER` is `root`: that is how runc tells
/// `unshare -r` from a container that runs containers.
pub fn default_root() -> PathBuf {
    let user = std::env::var_os("USER");
    let is_user = || {
        !nix::unistd::geteuid().is_root()
            || (user.as_deref() != Some(OsStr::new("root")) && in_user_namespace())
    };
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if !dir.is_empty() && is_user() => Path::new(&dir).join("bulkhead"),
        _ => PathBuf::from("/run/bulkhead"),
    }
}

/// Whether this process is in another user namespace than the first, which maps all ids to
/// themselves (user_namespaces(7)).
pub fn in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| !map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}
