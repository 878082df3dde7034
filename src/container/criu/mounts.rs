//! Mounts of a container whose files are the host's: CRIU saves no more than their names, and binds
//! what it is told when it restores them.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::message::ExternalMount;
use super::{Error, text};
use crate::plan::Plan;
use crate::plan::mountinfo::{self, Mount};
use crate::plan::step::{Source, Step};
use crate::spec::Container;
use crate::spec::container::Namespace;
use crate::spec::mounts::What;
use crate::spec::units::InRoot;
use crate::sys::errno;
use crate::sys::path::{self, Resolve};

/// What covers masked files, and its name in the images.
const NULL: &str = "/dev/null";

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
    let lines = mountinfo::parse_all(&fs::read(&table).map_err(fault(table))?);
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let root = File::open(&root).map_err(fault(root))?;
    let binds = binds(container, &root)?;
    let mut external = Vec::new();
    for line in lines.iter().filter(|line| line.point != Path::new("/")) {
        let name = match binds.get(&line.id) {
            Some(name) => Some(name.clone()),
            None => name_of(line, &root, container)?,
        };
        if let Some(val) = name {
            let key = text(&line.point)?;
            external.push(ExternalMount { key, val });
        }
    }
    Ok(external)
}

/// Refuses mounts that would not come back as they were.
pub(crate) fn check_mounts(container: &Container) -> Result<(), Error> {
    let mapped = container.mounts.iter().find(|mount| mount.ids.is_some());
    mapped.map_or(Ok(()), |mount| Err(Error::Idmapped(name(&mount.target))))
}

/// The mounts at the targets of the document's binds, which are links at times: by the mount's number
/// the name that it is restored by.
///
/// The container may have moved a target and put a link in its place: what is found there has to be
/// the bind's own source, or restore would bind that with the flags of another mount.
fn binds(container: &Container, root: &File) -> Result<BTreeMap<u64, String>, Error> {
    let mut found = BTreeMap::new();
    for mount in &container.mounts {
        let What::Bind { source, .. } = &mount.what else {
            continue;
        };
        let name = name(&mount.target);
        let moved = || Error::Moved(name.clone());
        let id = place(&mount.target, source.as_path(), root).ok_or_else(moved)?;
        if let Some(other) = found.insert(id, name.clone())
            && other != name
        {
            return Err(moved());
        }
    }
    Ok(found)
}

/// The number of the mount at `target`, if it is one of `source`.
fn place(target: &InRoot, source: &Path, root: &File) -> Option<u64> {
    let flags = libc::O_PATH;
    let opened = path::open(root.as_fd(), target.as_c_str(), flags, Resolve::InRoot).ok()?;
    let itself = CString::new(format!("/proc/self/fd/{}", opened.as_raw_fd())).ok()?;
    let (there, own) = (path::stat(opened.as_fd()).ok()?, fs::metadata(source).ok()?);
    let is_source = (there.st_dev, there.st_ino) == (own.dev(), own.ino());
    let is_whole = path::is_mount_root(&itself).ok()?;
    (is_source && is_whole).then(|| path::mount_id(opened.as_fd()).ok())?
}

fn name(target: &InRoot) -> String {
    target.to_string()
}

/// What else is from outside: devices in a user namespace, masks over files, and groups that are not
/// seen through a namespace of their own.
fn name_of(line: &Mount, root: &File, container: &Container) -> Result<Option<String>, Error> {
    if line.kind == "devpts" {
        return Ok(None);
    }
    if line.kind.starts_with("cgroup") {
        let is_shared = container.namespaces.cgroup == Namespace::Share;
        return is_shared.then(|| text(&line.point)).transpose();
    }
    let Some(about) = look(root, &line.point) else {
        return Ok(None);
    };
    let is_null = about.st_rdev == libc::makedev(1, 3);
    match about.st_mode & libc::S_IFMT {
        libc::S_IFCHR if is_null => Ok(Some(NULL.to_owned())),
        libc::S_IFCHR | libc::S_IFBLK => text(&line.point).map(Some),
        _ => Ok(None),
    }
}

/// What is at a path of the container's, as the container sees it.
fn look(root: &File, point: &Path) -> Option<libc::stat> {
    let point = CString::new(point.as_os_str().as_bytes()).ok()?;
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let opened = path::open(root.as_fd(), &point, flags, Resolve::InRoot).ok()?;
    path::stat(opened.as_fd()).ok()
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
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_mount_is_a_binds_only_if_its_source_is_there() {
        let dir = std::env::temp_dir().join(format!("bulkhead-place-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let root = File::open("/").unwrap();
        symlink("/proc", dir.join("link")).unwrap();
        let target = |path: &Path| InRoot::new(path.to_str().unwrap()).unwrap();

        let proc_id = path::mount_id(File::open("/proc").unwrap().as_fd()).unwrap();
        let link = target(&dir.join("link"));
        assert_eq!(place(&link, Path::new("/proc"), &root), Some(proc_id));
        assert_eq!(place(&link, &dir, &root), None, "another's mount");
        assert_eq!(place(&target(&dir), &dir, &root), None, "no mount");
        assert_eq!(place(&target(&dir.join("none")), &dir, &root), None);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_link_is_not_followed_out_of_the_root() {
        let dir = std::env::temp_dir().join(format!("bulkhead-look-{}", std::process::id()));
        fs::create_dir_all(dir.join("dev")).unwrap();
        symlink("/dev/zero", dir.join("zero")).unwrap();
        symlink("/dev", dir.join("devices")).unwrap();
        let root = File::open(&dir).unwrap();
        let kind = |path: &str| look(&root, Path::new(path)).map(|s| s.st_mode & libc::S_IFMT);
        assert_eq!(kind("/zero"), Some(libc::S_IFLNK));
        assert_eq!(kind("/devices/zero"), None);
        assert_eq!(kind("/dev"), Some(libc::S_IFDIR));
        fs::remove_dir_all(&dir).unwrap();
    }
}
