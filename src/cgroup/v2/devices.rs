//! The device rules of a v2 group: a program of ours beside those that others have attached.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use crate::cgroup::Error;
use crate::cgroup::device_program::compile;
use crate::cgroup::directory::Directory;
use crate::spec::limits::{DeviceRule, Limits};
use crate::sys::bpf;
use crate::sys::process::outer_uid;

/// By which our programs are known among those of others, such as systemd's `sd_devices`.
const NAME: bpf::Name = *b"bulkhead_device\0";

/// Lets the rules of `limits`, in place of those before, decide about every device that the processes of
/// `group` open or make. At no moment none decides.
///
/// A user may not load programs that guard devices. Nor may his container open what he may not, or make
/// nodes: the modes of the devices' files guard them, as far as a rule does not deny what they allow.
pub(crate) fn set(group: &Directory, limits: &Limits) -> Result<(), Error> {
    match replace(group, &limits.devices) {
        Err(e) if e.is_refusal() && outer_uid() != 0 && !limits.deny_some_devices() => {
            log::debug!("{}: {e}", group.path().display());
            Ok(())
        }
        replaced => replaced,
    }
}

fn replace(group: &Directory, rules: &[DeviceRule]) -> Result<(), Error> {
    let program = load(rules)?;
    let mut before = ours(group)?;
    let attach = |replaced: Option<&OwnedFd>| {
        let replaced = replaced.map(OwnedFd::as_fd);
        bpf::attach_device_program(group.fd(), program.as_fd(), replaced)
    };
    match attach(before.last()) {
        Ok(()) => drop(before.pop()),
        // Before Linux 5.6: for a moment only what both allow is allowed.
        Err(Errno::EINVAL) if !before.is_empty() => attach(None).map_err(fault("attach"))?,
        Err(errno) => return Err(fault("attach")(errno)),
    }
    for one in before {
        bpf::detach_device_program(group.fd(), one.as_fd()).map_err(fault("detach"))?;
    }
    Ok(())
}

/// Has the kernel check the program for the rules.
pub(crate) fn load(rules: &[DeviceRule]) -> Result<OwnedFd, Error> {
    bpf::load_device_program(&NAME, &compile(rules)).map_err(fault("load"))
}

/// The programs on `group` that bear our name.
fn ours(group: &Directory) -> Result<Vec<OwnedFd>, Error> {
    let mut programs = Vec::new();
    for id in bpf::device_programs(group.fd()).map_err(fault("find"))? {
        match bpf::program_by_id(id) {
            Ok(program) if bpf::name_of(program.as_fd()).map_err(fault("look at"))? == NAME => {
                programs.push(program);
            }
            // Another's, or gone since.
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(fault("open")(errno)),
        }
    }
    Ok(programs)
}

fn fault(act: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::DeviceProgram { act, errno }
}
