//! Namespaces that a container shares with others: CRIU leaves them out, and finds them again.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::message::{Inherited, JoinedNamespace, Options};
use super::{Error, Need, text};
use crate::plan::step::Kind;
use crate::spec::container::{Namespace, Namespaces};
use crate::sys::errno;

/// Of these CRIU is told by descriptor, from the versions given on.
const EXTERNAL: [(Kind, &str, u32, &str); 2] = [
    (
        Kind::Network,
        "extRootNetNS",
        3_11_00,
        "a network namespace with a path",
    ),
    (
        Kind::Pid,
        "extRootPidNS",
        3_15_00,
        "a pid namespace with a path",
    ),
];

fn of(kind: Kind, all: &Namespaces) -> &Namespace {
    match kind {
        Kind::User => &all.user,
        Kind::Pid => &all.pid,
        Kind::Network => &all.network,
        Kind::Mount => &all.mount,
        Kind::Ipc => &all.ipc,
        Kind::Uts => &all.uts,
        Kind::Cgroup => &all.cgroup,
        Kind::Time => &all.time,
    }
}

fn joined(kind: Kind, all: &Namespaces) -> Option<PathBuf> {
    match of(kind, all) {
        Namespace::Join(path) => Some(path.as_path().into()),
        Namespace::Share | Namespace::New => None,
    }
}

fn fault(act: &'static str, path: PathBuf) -> impl FnOnce(std::io::Error) -> Error {
    move |e| Error::Image {
        act,
        errno: errno(&e),
        path,
    }
}

/// Has CRIU leave out the namespaces of process `pid` that have a path. What that needs of CRIU.
pub(crate) fn save_namespaces(
    all: &Namespaces,
    pid: i32,
    options: &mut Options,
) -> Result<Vec<Need>, Error> {
    // It could not be restored.
    if joined(Kind::Cgroup, all).is_some() {
        return Err(Error::CgroupNamespace);
    }
    let mut needs = Vec::new();
    for (kind, key, version, what) in EXTERNAL {
        if joined(kind, all).is_none() {
            continue;
        }
        let name = kind.file_name();
        let path = PathBuf::from(format!("/proc/{pid}/ns/{name}"));
        let about = std::fs::metadata(&path).map_err(fault("look at", path))?;
        options
            .external
            .push(format!("{name}[{}]:{key}", about.ino()));
        needs.push((version, what));
    }
    Ok(needs)
}

/// Has CRIU use the namespaces that have a path: by descriptors, which stay open over exec. What that
/// needs of CRIU.
pub(crate) fn restore_namespaces(
    all: &Namespaces,
    options: &mut Options,
) -> Result<(Vec<OwnedFd>, Vec<Need>), Error> {
    let (mut opened, mut needs) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let Some(path) = joined(kind, all) else {
            continue;
        };
        let external = EXTERNAL.iter().find(|(external, ..)| *external == kind);
        match (kind, external) {
            (_, Some((_, key, version, what))) => {
                let file = File::open(&path).map_err(fault("open the namespace", path.clone()))?;
                let kept = fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()));
                kept.map_err(|errno| Error::Talk { errno })?;
                options.inherit_fd.push(Inherited {
                    key: (*key).to_owned(),
                    fd: file.as_raw_fd(),
                });
                opened.push(file.into());
                needs.push((*version, *what));
            }
            (Kind::Cgroup, None) => return Err(Error::CgroupNamespace),
            (_, None) => options.join_ns.push(JoinedNamespace {
                kind: kind.file_name().to_owned(),
                file: text(&path)?,
            }),
        }
    }
    Ok((opened, needs))
}
