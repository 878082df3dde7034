//! Binds that show their files with other ids than they have (`MOUNT_ATTR_IDMAP`, mount_setattr(2)).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;

use super::root::{c_path, detached};
use super::step::Tree;
use super::{Error, Planner, mountinfo};
use crate::spec::container::{IdMap, IdMaps, map_text};
use crate::spec::mounts::{Mount as Asked, ShownBy, ShownIds};
use crate::sys::path::{HERE, Resolve};
use crate::sys::{self, users};

/// The inode of the first user namespace (`PROC_USER_INIT_INO` in linux/proc_ns.h), whose ids are those that
/// files have (mount_setattr(2)).
const HOSTS_USERS: u64 = 0xEFFF_FFFD;

impl Planner<'_> {
    /// A copy of the tree at `path` with the ids that `asked` is to have. The runtime makes it: the kernel
    /// wants the power over the filesystem, which nobody in the container has, and a mount that is not yet
    /// attached.
    pub(super) fn mapped_tree(
        &mut self,
        asked: &Asked,
        path: &Path,
        recursive: bool,
        ids: &ShownIds,
    ) -> Result<Tree, Error> {
        let target = asked.target.to_string();
        if self.host.uid != 0 {
            return Err(Error::MapIdsUnprivileged { target });
        }
        let tree = detached(path, recursive)?;
        let joined;
        let users = match &ids.by {
            ShownBy::Maps(maps) => self.users_with(maps, &target)?,
            ShownBy::Namespace(path) => {
                joined = super::namespaces::user(path)?;
                joined.as_fd()
            }
        };
        if let ShownBy::Namespace(by) = &ids.by
            && sys::path::stat(users).is_ok_and(|about| about.st_ino == HOSTS_USERS)
        {
            let by = by.to_string();
            return Err(Error::MapIdsAsTheHost { target, by });
        }
        let mapped = sys::mount::map_ids(tree.as_fd(), users, ids.recursive);
        mapped.map_err(|errno| Error::MapIds {
            target,
            path: path.into(),
            kinds: kinds(path, ids.recursive),
            errno,
        })?;
        Ok(Tree {
            path: c_path(path),
            recursive,
            opened: Some(tree),
            ids: Some(words(ids)),
        })
    }

    /// A user namespace with these maps; mounts mostly have the same.
    fn users_with(&mut self, maps: &IdMaps, target: &str) -> Result<BorrowedFd<'_>, Error> {
        let made = self.users.iter().position(|(of, _)| of == maps);
        let at = match made {
            Some(at) => at,
            None => {
                let (uids, gids) = (map_text(&maps.uids), map_text(&maps.gids));
                let users = users::namespace(&uids, &gids).map_err(|errno| Error::MakeUsers {
                    target: target.to_owned(),
                    errno,
                })?;
                self.users.push((maps.clone(), users));
                self.users.len() - 1
            }
        };
        Ok(self.users[at].1.as_fd())
    }
}

/// User namespaces that exist for their maps.
pub(super) type Users = Vec<(IdMaps, OwnedFd)>;

/// As config.json and the kernel order them: inside, outside, how many.
fn words(ids: &ShownIds) -> String {
    let word = if ids.recursive { "ridmap" } else { "idmap" };
    let line = |map: &IdMap| format!("{}:{}:{}", map.container, map.host, map.size);
    let list = |maps: &[IdMap]| maps.iter().map(line).collect::<Vec<_>>().join(" ");
    match &ids.by {
        ShownBy::Maps(maps) => {
            let (uids, gids) = (list(&maps.uids), list(&maps.gids));
            format!("{word} of users {uids} and groups {gids}")
        }
        ShownBy::Namespace(path) => format!("{word} of {path}"),
    }
}

/// The filesystems that one mount at `path`, or all from there on, are of: one of them did not want to.
fn kinds(path: &Path, recursive: bool) -> String {
    let own = sys::path::open(HERE, &c_path(path), libc::O_PATH, Resolve::Host);
    let own = own.and_then(|own| sys::path::mount_id(own.as_fd()));
    // The kernel's table has no links.
    let path = path.canonicalize().unwrap_or_else(|_| path.into());
    let mut kinds: Vec<String> = Vec::new();
    for mount in mountinfo::read().unwrap_or_default() {
        let is_below = recursive && mount.point.starts_with(&path);
        if (Ok(mount.id) == own || is_below) && !kinds.contains(&mount.kind) {
            kinds.push(mount.kind);
        }
    }
    kinds.join(", ")
}

/// Why not, in words.
pub(super) fn reason(errno: Errno, kinds: &str) -> String {
    let reason = sys::reason(errno);
    match errno {
        Errno::EINVAL => format!("{reason}: id maps are not for every filesystem ({kinds})"),
        Errno::EPERM => {
            format!("{reason}: the mount has other ids already, or is of another's ({kinds})")
        }
        _ => format!("{reason} ({kinds})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_told_in_the_order_of_config_json() {
        let map = |container, host| IdMap {
            container,
            host,
            size: 10,
        };
        let maps = IdMaps {
            uids: vec![map(0, 1000), map(20, 40)],
            gids: vec![map(0, 2000)],
        };
        let ids = ShownIds {
            by: ShownBy::Maps(maps),
            recursive: true,
        };
        let said = "ridmap of users 0:1000:10 20:40:10 and groups 0:2000:10";
        assert_eq!(words(&ids), said);
    }

    #[test]
    fn the_filesystems_of_a_place_are_named_once() {
        assert_eq!(kinds(Path::new("/proc/self"), false), "proc");
        assert!(kinds(Path::new("/"), true).contains("proc"));
    }
}
