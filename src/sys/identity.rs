//! Who a process is and what it may do. All may run in the child, and go to the kernel directly:
//! glibc's own `setuid` and the like first talk to the threads it believes in.

use std::ffi::CStr;

use libc::c_ulong;
use nix::errno::Errno;

use super::done;

fn prctl(option: libc::c_int, a: c_ulong, b: c_ulong) -> Result<(), Errno> {
    // SAFETY: the options used in this file take numbers only.
    done(unsafe { libc::syscall(libc::SYS_prctl, option, a, b, 0, 0) })
}

pub fn set_groups(gids: &[u32]) -> Result<(), Errno> {
    // SAFETY: `gids` is readable for its whole length, which is passed.
    done(unsafe { libc::syscall(libc::SYS_setgroups, gids.len(), gids.as_ptr()) })
}

/// Real, effective and saved at once; the filesystem id follows.
pub fn set_gid(gid: u32) -> Result<(), Errno> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })
}

/// Real, effective and saved at once; the filesystem id follows.
pub fn set_uid(uid: u32) -> Result<(), Errno> {
    // SAFETY: takes only numbers.
    done(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

/// Keeps permitted capabilities over the next change of uid (`PR_SET_KEEPCAPS`).
pub fn keep_capabilities(keep: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_KEEPCAPS, c_ulong::from(keep), 0)
}

/// Takes one capability from the bounding set, for ever. `EINVAL`: the kernel has no such one.
pub fn drop_bounding(capability: u32) -> Result<(), Errno> {
    prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability), 0)
}

/// Adds one to the ambient set; it must be permitted and inheritable.
pub fn raise_ambient(capability: u32) -> Result<(), Errno> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_RAISE as c_ulong,
        c_ulong::from(capability),
    )
}

pub fn clear_ambient() -> Result<(), Errno> {
    prctl(
        libc::PR_CAP_AMBIENT,
        libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong,
        0,
    )
}

/// Three of the five sets, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 bits for each set (capset(2)).
const VERSION: u32 = 0x2008_0522;

/// Low word, then high word.
type Words = [[u32; 3]; 2];

pub fn set_capabilities(sets: &CapabilitySets) -> Result<(), Errno> {
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let words = |shift: u32| {
        [sets.effective, sets.permitted, sets.inheritable]
            .map(|s| u32::try_from((s >> shift) & 0xffff_ffff).expect("masked to 32 bits"))
    };
    let sets: Words = [words(0), words(32)];
    // SAFETY: version 3 reads a header and two blocks of three words, which is what is passed.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) })
}

/// This process's own sets.
pub fn capabilities() -> Result<CapabilitySets, Errno> {
    let mut header = Header {
        version: VERSION,
        pid: 0,
    };
    let mut sets: Words = [[0; 3]; 2];
    // SAFETY: version 3 fills two blocks of three words, for which there is room.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
    let join = |i: usize| u64::from(sets[0][i]) | u64::from(sets[1][i]) << 32;
    Ok(CapabilitySets {
        effective: join(0),
        permitted: join(1),
        inheritable: join(2),
    })
}

pub fn set_no_new_privileges() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}

/// Others of the same user may trace this process, and its /proc directory belongs to that user.
pub fn set_dumpable() -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, 1, 0)
}

/// Others may not trace this process nor open what is below its /proc directory.
pub fn set_undumpable() -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0)
}

/// Which signal this process gets when its parent ends; 0 for none.
pub fn set_parent_death_signal(signal: i32) -> Result<(), Errno> {
    prctl(
        libc::PR_SET_PDEATHSIG,
        c_ulong::from(signal.cast_unsigned()),
        0,
    )
}

/// Orphans among the descendants become this process's children.
pub fn set_subreaper() -> Result<(), Errno> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)
}

pub fn set_umask(mask: u32) {
    // SAFETY: takes only a number and cannot fail.
    unsafe { libc::syscall(libc::SYS_umask, mask) };
}

pub fn new_session() -> Result<(), Errno> {
    // SAFETY: takes nothing.
    done(unsafe { libc::syscall(libc::SYS_setsid) })
}

/// A session keyring of its own under `name` (keyctl(2)); `ENOSYS` where the kernel has no keys.
pub fn new_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` ends in NUL and outlives the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            name.as_ptr(),
        )
    })
}

pub fn set_hostname(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is readable for the length passed.
    done(unsafe { libc::syscall(libc::SYS_sethostname, name.as_ptr(), name.count_bytes()) })
}

pub fn set_domainname(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is readable for the length passed.
    done(unsafe { libc::syscall(libc::SYS_setdomainname, name.as_ptr(), name.count_bytes()) })
}

pub fn set_personality(persona: c_ulong) -> Result<(), Errno> {
    // SAFETY: takes only a number.
    done(unsafe { libc::syscall(libc::SYS_personality, persona) })
}

/// Sets a limit of the process `pid`, 0 for the caller's own; `resource` is an `RLIMIT_*` number.
pub fn set_rlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` outlives the call; the old value is not asked for.
    done(unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            resource,
            &raw const limit,
            std::ptr::null::<u8>(),
        )
    })
}
