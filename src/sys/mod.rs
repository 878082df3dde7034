//! System calls: the home of `unsafe`. One call a function, a safe signature, no policy.
//!
//! What may run between clone and exec says so: it allocates nothing, takes no lock and goes to
//! the kernel directly, since after a raw `clone3` glibc's cached thread id is stale.
#![allow(unsafe_code, reason = "this is the one module that may")]

pub mod alloc;
pub mod apart;
pub mod bpf;
pub mod channel;
pub mod clone;
pub mod courier;
pub mod exec;
pub mod identity;
pub mod kvm;
pub mod loopback;
pub mod mount;
pub mod netlink;
pub mod path;
pub mod poll;
pub mod process;
pub mod report;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod silence;
pub mod sweep;
pub mod terminal;
pub mod time;
pub mod tree;
pub mod users;
pub mod xattr;

use std::borrow::Borrow;
use std::io;

use nix::errno::Errno;

/// The kernel's name for an error, as this program prints it: in lower case.
pub fn reason(errno: Errno) -> String {
    let text = errno.desc();
    let mut chars = text.chars();
    match (chars.next(), text.chars().nth(1)) {
        // An abbreviation keeps its case ("I/O error", "RPC struct is bad").
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_string(),
    }
}

/// Major and minor number of the kernel.
pub fn linux_version() -> Option<(u32, u32)> {
    let name = nix::sys::utsname::uname().ok()?;
    version_of(name.release().to_str()?)
}

/// `6.1.0-18-amd64` is (6, 1).
fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What the kernel said; EIO where it was not the kernel that failed.
pub fn errno(error: impl Borrow<io::Error>) -> Errno {
    Errno::from_raw(error.borrow().raw_os_error().unwrap_or(libc::EIO))
}

/// The result of a raw system call. May run in the child.
fn checked(value: libc::c_long) -> Result<usize, Errno> {
    usize::try_from(value).map_err(|_| Errno::last())
}

/// [`checked`], for calls that answer nothing. May run in the child.
fn done(value: libc::c_long) -> Result<(), Errno> {
    checked(value).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_compared_by_its_first_two_numbers() {
        for (release, version) in [
            ("5.12.0", Some((5, 12))),
            ("6.1.0-18-amd64", Some((6, 1))),
            ("6.18-rc1", Some((6, 18))),
            ("4.19+", Some((4, 19))),
            ("6", None),
            ("linux", None),
        ] {
            assert_eq!(version_of(release), version, "{release}");
        }
    }
}
