//! `seccomp(2)`.

use nix::errno::Errno;

use super::checked;

/// Log what the filter does not allow (Linux 4.14).
pub const LOG: u32 = 1 << 1;
/// Do not turn off speculation (Linux 4.17).
pub const SPEC_ALLOW: u32 = 1 << 2;
/// Answer with a descriptor at which questions are read (Linux 5.0).
pub const NEW_LISTENER: u32 = 1 << 3;
/// With a listener only (Linux 5.19).
pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;

const SET_MODE_FILTER: libc::c_uint = 1;
const GET_ACTION_AVAIL: libc::c_uint = 2;

/// Puts `program` on the calling thread; answers with a listener's number where the flags ask for one, else
/// with 0. May run in the child. The kernel wants `no_new_privs` or CAP_SYS_ADMIN (`EACCES`), and 1 to
/// 4096 instructions that it can verify (`EINVAL`).
pub fn load_filter(program: &[libc::sock_filter], flags: u32) -> Result<usize, Errno> {
    let filter = libc::sock_fprog {
        // A length above 16 bits is one that the kernel refuses as well.
        len: u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads `len` instructions from `filter`, which are those of the slice, copies
    // them before it returns, and writes to neither.
    checked(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const filter) })
}

/// Whether the kernel knows the action of a filter's result (Linux 4.14; before it none is known).
pub fn knows_action(action: u32) -> bool {
    // SAFETY: the kernel reads four bytes from the address of a number that outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) };
    result == 0
}

/// Whether the kernel knows all of `flags`. It looks at them before it reads the program, and here
/// is none to read.
pub fn knows_flags(flags: u32) -> bool {
    let none = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the null pointer is never followed by the kernel: it is answered with `EFAULT`.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, none) };
    Errno::result(result) == Err(Errno::EFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RET_ALLOW: u32 = 0x7fff_0000;

    #[test]
    fn the_kernel_tells_what_it_knows() {
        assert!(knows_action(RET_ALLOW));
        assert!(!knows_action(0x1234_0000));
        assert!(knows_flags(LOG | SPEC_ALLOW));
        assert!(!knows_flags(1 << 30));
    }

    #[test]
    fn a_program_the_kernel_cannot_take_is_refused() {
        assert_eq!(load_filter(&[], 0), Err(Errno::EINVAL));
        let ret = libc::sock_filter {
            code: 6,
            jt: 0,
            jf: 0,
            k: RET_ALLOW,
        };
        assert_eq!(load_filter(&[ret; 4097], 0), Err(Errno::EINVAL));
        assert_eq!(load_filter(&vec![ret; 70_000], 0), Err(Errno::EINVAL));
    }
}
