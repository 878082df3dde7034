//! Keeps the runtime's own file from being written through a container (CVE-2019-5736).
//!
//! A container's process can come to run our file, as when an image's script has the interpreter
//! `/proc/self/exe`, and can then open it, hold it until it is no longer busy, and write to it. Not
//! being dumpable ends at that exec. So what clones into a container runs from a copy of its file's
//! mount that is read-only and attached nowhere: through it nothing can ever be written. A kernel or
//! user that may not make one gets a sealed copy in memory.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};

use super::{Error, call};
use crate::sys::path::{self, HERE, Resolve};
use crate::sys::{errno, exec, identity, mount};

const OWN: &std::ffi::CStr = c"/proc/self/exe";

/// Returns in a program that cannot be written to; executes it anew where it still can. To be called
/// first, before anything is opened.
pub fn shield() -> Result<(), Error> {
    identity::set_undumpable().map_err(call("become undumpable"))?;
    let act = call("open the runtime's own file /proc/self/exe");
    let own = path::open(HERE, OWN, libc::O_RDONLY, Resolve::Host).map_err(&act)?;
    if is_sealed(&own) || is_readonly_copy(&own).map_err(&act)? {
        return Ok(());
    }
    let copy = readonly_mount().or_else(|_| sealed_copy(own));
    let copy = copy.map_err(call("make a read-only copy of the runtime's own file"))?;
    let words = |list: Vec<std::ffi::OsString>| {
        let words = list.into_iter().map(|word| CString::new(word.into_vec()));
        words.collect::<Result<Vec<_>, _>>().map(exec::Words::new)
    };
    let args = words(std::env::args_os().collect());
    let env = std::env::vars_os().map(|(mut key, value)| {
        key.push("=");
        key.push(value);
        key
    });
    let (Ok(args), Ok(env)) = (args, words(env.collect())) else {
        return Err(call("pass the arguments on")(Errno::EINVAL));
    };
    let errno = exec::execute_file(copy.as_fd(), &args, &env);
    Err(call("execute the read-only copy of the runtime")(errno))
}

fn is_sealed(file: &OwnedFd) -> bool {
    let write = SealFlag::F_SEAL_WRITE.bits();
    fcntl(file, FcntlArg::F_GET_SEALS).is_ok_and(|seals| seals & write != 0)
}

/// Whether the file is the whole of a read-only mount, as [`readonly_mount`] makes it. A file that
/// merely lies on one, as below a read-only /usr, becomes writable when that is updated.
fn is_readonly_copy(file: &OwnedFd) -> Result<bool, Errno> {
    Ok(path::on_readonly_mount(file.as_fd())? && path::is_mount_root(OWN)?)
}

/// Linux 5.12, CAP_SYS_ADMIN. Costs a microsecond and no memory.
fn readonly_mount() -> Result<OwnedFd, Errno> {
    let copy = mount::clone_tree(HERE, OWN, false)?;
    mount::set_attributes(copy.as_fd(), libc::MOUNT_ATTR_RDONLY, 0, 0, false)?;
    Ok(copy)
}

fn sealed_copy(own: OwnedFd) -> Result<OwnedFd, Errno> {
    let mut copy = File::from(exec::sealable_file(c"bulkhead")?);
    std::io::copy(&mut File::from(own), &mut copy).map_err(errno)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SEAL;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(copy.into())
}
