//! Targets of mounts for who makes none of its own.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::fault::sentence;
use super::target::{Want, open_or_make};
use super::{Error, prepare};
use crate::plan::Plan;
use crate::plan::step::{Mount, Source, Step};
use crate::sys::path::{self, HERE, Resolve};
use crate::sys::report::Fault;

/// Makes what is missing of the targets that lie on the root itself of the container with this plan: CRIU
/// restores what lies on other mounts, or it is in what is bound.
pub fn make_targets(plan: &Plan, root: &Path) -> Result<(), Error> {
    let root = CString::new(root.as_os_str().as_bytes()).expect("paths of the kernel hold no NUL");
    let root = path::open(HERE, &root, libc::O_PATH | libc::O_DIRECTORY, Resolve::Host)
        .map_err(prepare("open the root filesystem"))?;
    let mounts: Vec<&Mount> = plan.steps.iter().filter_map(mount).collect();
    let is_below = |one: &Mount, other: &Mount| {
        let (one, other) = (one.target.as_path(), other.target.as_path());
        one != other && one.starts_with(other)
    };
    for one in &mounts {
        if mounts.iter().any(|other| is_below(one, other)) {
            continue;
        }
        let (target, want) = (one.target.as_c_str(), want(one)?);
        open_or_make(root.as_fd(), target, want, Resolve::InRoot).map_err(|stop| {
            let fault = Fault {
                step: 0,
                call: stop.call as u32,
                number: stop.number,
                note: Vec::new(),
            };
            Error::Fault(sentence(&one.to_string(), &fault))
        })?;
    }
    Ok(())
}

fn mount(step: &Step) -> Option<&Mount> {
    match step {
        Step::Mount(mount) => Some(mount),
        _ => None,
    }
}

fn want(mount: &Mount) -> Result<Want, Error> {
    let Source::Bind(tree) = &mount.source else {
        return Ok(Want::Dir);
    };
    let source = path::open(HERE, &tree.path, libc::O_PATH, Resolve::Host);
    let stat = source.and_then(|source| path::stat(source.as_fd()));
    let stat = stat.map_err(prepare("open the source of a mount"))?;
    Ok(match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Want::Dir,
        _ => Want::File,
    })
}
