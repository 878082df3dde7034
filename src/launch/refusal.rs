//! Why a kernel makes no namespace, where a setting of the host's is behind it.

use nix::errno::Errno;

use crate::sys::reason;

/// The errno of a clone with new namespaces, in words; `user`: a user's, with one of users.
pub fn explain(errno: Errno, user: bool) -> String {
    match errno {
        // namespaces(7)
        Errno::ENOSPC | Errno::EUSERS => "the limit in /proc/sys/user is reached".into(),
        Errno::EPERM | Errno::EACCES if user => match restriction() {
            Some(setting) => setting.into(),
            None => reason(errno),
        },
        _ => reason(errno),
    }
}

/// What keeps users without privileges from making user namespaces, Debian's switch and Ubuntu's.
pub fn restriction() -> Option<&'static str> {
    let is = |path, value| {
        let setting = std::fs::read_to_string(path);
        setting.is_ok_and(|text| text.trim() == value)
    };
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some("kernel.unprivileged_userns_clone is 0");
    }
    if is(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
    ) {
        return Some("kernel.apparmor_restrict_unprivileged_userns is 1");
    }
    None
}
