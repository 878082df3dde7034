//! eBPF programs on groups (bpf(2)).

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::{checked, done};

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the low four bits, source in the high ones.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

// linux/bpf.h; libc has no names for these.
const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const PROG_QUERY: libc::c_long = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;
/// What a program is called: letters, digits, `_` and `.`, and a NUL at the end.
pub type Name = [u8; 16];
/// The kernel's own bound on the programs of one group (BPF_CGROUP_MAX_PROGS).
const MOST: u32 = 64;

/// The head of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes what is missing as zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: Name,
}

/// The head of `union bpf_attr` for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

/// The head of `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// The head of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct Inquiry {
    object: u32,
    size: u32,
    info: u64,
}

/// The head of `struct bpf_prog_info`, up to the name.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_length: u32,
    translated_length: u32,
    jited: u64,
    translated: u64,
    load_time: u64,
    creator: u32,
    map_count: u32,
    maps: u64,
    name: Name,
}

/// Has the kernel verify a program of the type `BPF_PROG_TYPE_CGROUP_DEVICE` (Linux 4.15). Needs
/// `CAP_BPF` and `CAP_NET_ADMIN`, or `CAP_SYS_ADMIN`, in the first user namespace.
pub fn load_device_program(name: &Name, program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let load = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr().expose_provenance() as u64,
        license: c"Apache-2.0".as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *name,
    };
    // SAFETY: `load` is as long as its size says, and it, `program` and the license outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) };
    let fd = RawFd::try_from(checked(fd)?).map_err(|_| Errno::EMFILE)?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets `program` decide on every device that a process in `group` (a v2 directory) opens or makes,
/// beside the programs of the groups above and those of others. It stays until the group is removed or
/// another takes its place: with `replaced` (Linux 5.6), one of the group's programs, in one act.
pub fn attach_device_program(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let replaced = replaced.map(|program| program.as_raw_fd().cast_unsigned());
    let attach = Attach {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI | replaced.map_or(0, |_| REPLACE),
        replaced: replaced.unwrap_or(0),
    };
    // SAFETY: `attach` is as long as its size says and outlives the call, and holds no address.
    done(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_ATTACH,
            &raw const attach,
            size_of::<Attach>(),
        )
    })
}

pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let detach = Attach {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
        replaced: 0,
    };
    // SAFETY: `detach` is as long as its size says and outlives the call, and holds no address.
    done(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_DETACH,
            &raw const detach,
            size_of::<Attach>(),
        )
    })
}

/// The ids of the device programs on `group` itself, whoever attached them.
pub fn device_programs(group: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    let mut ids = [0_u32; MOST as usize];
    let mut query = Query {
        target: group.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr().expose_provenance() as u64,
        count: MOST,
        padding: 0,
    };
    // SAFETY: `query` is as long as its size says, `ids` has room for `count` numbers, and both
    // outlive the call.
    done(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_QUERY,
            &raw mut query,
            size_of::<Query>(),
        )
    })?;
    let ids = ids.iter().take(query.count as usize);
    Ok(ids.copied().collect())
}

/// Needs `CAP_SYS_ADMIN` in the first user namespace.
pub fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    // The head of `union bpf_attr`: the id, where to go on, and flags.
    let by_id: [u32; 3] = [id, 0, 0];
    // SAFETY: `by_id` is as long as its size says and outlives the call, and holds no address.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_GET_FD_BY_ID,
            &raw const by_id,
            size_of::<[u32; 3]>(),
        )
    };
    let fd = RawFd::try_from(checked(fd)?).map_err(|_| Errno::EMFILE)?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn name_of(program: BorrowedFd<'_>) -> Result<Name, Errno> {
    let mut info = Info::default();
    let inquiry = Inquiry {
        object: program.as_raw_fd().cast_unsigned(),
        size: u32::try_from(size_of::<Info>()).expect("64 bytes and some"),
        info: (&raw mut info).expose_provenance() as u64,
    };
    // SAFETY: both structures are as long as their sizes say and outlive the call; with its lengths and
    // addresses zero the kernel writes nowhere but into `info`.
    done(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            &raw const inquiry,
            size_of::<Inquiry>(),
        )
    })?;
    Ok(info.name)
}
