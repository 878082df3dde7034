//! Mounts of a container whose files are the host's: CRIU saves no more than their names, and binds
//! what it is told when it restores them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::message::ExternalMount;
use super::{Error, text};
use crate::plan::Plan;
use crate::plan::step::{Source, Step};
use crate::spec::Container;
use crate::spec::container::Namespace;
use crate::spec::mounts::What;
use crate::spec::units::InRoot;
use crate::sys::errno;
use crate::sys::path::{self, Resolve};

/// What covers masked files, and its name in the images.
const NULL: &str = "/dev/null";

/// A line of mountinfo (proc(5)).
struct Line {
    id: u64,
    /// As the container sees it.
    point: String,
    filesystem: String,
}

/// The mounts of process `pid` that are from outside, as CRIU is to be told of them.
pub(crate) fn saved_mounts(container: &Container, pid: i32) -> Result<Vec<ExternalMount>, Error> {
    let table = PathBuf::from(format!("/proc/{pid}/mountinfo"));
    let fault = |path: PathBuf| {
        move |e: std::io::Error| Error::Image {
            act: "read",
            errno: errno(&e),
            path,
        }
    };
    let lines = fs::read_to_string(&table).map_err(fault(table))?;
    let lines: Vec<Line> = lines.lines().filter_map(read).collect();
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let opened = File::open(&root).map_err(fault(root.clone()))?;
    let binds = binds(container, &opened);
    let mut external = Vec::new();
    for line in lines.iter().filter(|line| line.point != "/") {
        let name = binds.get(&line.id).cloned();
        let name = name.or_else(|| name_of(line, &root, container));
        external.extend(name.map(|val| ExternalMount {
            key: line.point.clone(),
            val,
        }));
    }
    Ok(external)
}

/// The mounts at the targets of the document's binds, which are links at times: by the mount's number
/// the name that it is restored by.
fn binds(container: &Container, root: &File) -> BTreeMap<u64, String> {
    let is_bind = |what: &What| matches!(what, What::Bind { .. });
    let targets = container.mounts.iter().filter(|m| is_bind(&m.what));
    let place = |target: &InRoot| {
        let flags = libc::O_PATH;
        let opened = path::open(root.as_fd(), target.as_c_str(), flags, Resolve::InRoot).ok()?;
        Some((path::mount_id(opened.as_fd()).ok()?, name(target)))
    };
    targets.filter_map(|mount| place(&mount.target)).collect()
}

fn name(target: &InRoot) -> String {
    target.to_string()
}

/// What else is from outside: devices in a user namespace, masks over files, and groups that are not
/// seen through a namespace of their own.
fn name_of(line: &Line, root: &Path, container: &Container) -> Option<String> {
    if line.filesystem == "devpts" {
        return None;
    }
    if line.filesystem.starts_with("cgroup") {
        return (container.namespaces.cgroup == Namespace::Share).then(|| line.point.clone());
    }
    let about = fs::symlink_metadata(root.join(&line.point[1..])).ok()?;
    let kind = about.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return None;
    }
    let is_null = kind.is_char_device() && about.rdev() == libc::makedev(1, 3);
    Some(if is_null {
        NULL.to_owned()
    } else {
        line.point.clone()
    })
}

fn read(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let id = words.next()?.parse().ok()?;
    let point = words.nth(3)?.to_owned();
    let filesystem = words.skip_while(|word| *word != "-").nth(1)?.to_owned();
    Some(Line {
        id,
        point,
        filesystem,
    })
}

/// What is bound for each name that a container made by `plan` is saved with.
pub(crate) fn restored_mounts(plan: &Plan) -> Result<Vec<ExternalMount>, Error> {
    let mut external = Vec::new();
    for step in &plan.steps {
        let Step::Mount(mount) = step else { continue };
        if let Source::Bind(tree) = &mount.source {
            let source = std::ffi::OsStr::from_bytes(tree.path.to_bytes());
            external.push(ExternalMount {
                key: name(&mount.target),
                val: text(Path::new(source))?,
            });
        }
    }
    if external.iter().all(|mount| mount.key != NULL) {
        external.push(ExternalMount {
            key: NULL.to_owned(),
            val: NULL.to_owned(),
        });
    }
    Ok(external)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read_with_and_without_peers() {
        for line in [
            "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
            "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue",
        ] {
            let line = read(line).unwrap();
            assert_eq!((line.id, line.point.as_str()), (36, "/mnt2"));
            assert_eq!(line.filesystem, "ext3");
        }
    }
}
