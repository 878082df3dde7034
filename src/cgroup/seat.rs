//! The place of a container in one hierarchy: first a name, then an open directory.

use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use nix::unistd::Pid;

use super::directory::Directory;
use super::{Error, Hierarchy, removal, unified};
use crate::spec::Id;
use crate::spec::limits::GroupPath;

#[derive(Debug)]
pub(super) struct Seat {
    mount_point: PathBuf,
    /// Below the mount point.
    name: PathBuf,
    dir: Option<Directory>,
}

impl Seat {
    /// Relative paths begin at the runtime's own group.
    pub(super) fn below_own(
        hierarchy: &Hierarchy,
        path: &GroupPath,
        id: &Id,
    ) -> Result<Self, Error> {
        Self::named(hierarchy, &hierarchy.own, path, id)
    }

    /// Relative paths begin at the group above the runtime's own.
    pub(super) fn beside_own(
        hierarchy: &Hierarchy,
        path: &GroupPath,
        id: &Id,
    ) -> Result<Self, Error> {
        let above = hierarchy.own.parent().unwrap_or(Path::new(""));
        Self::named(hierarchy, above, path, id)
    }

    fn named(
        hierarchy: &Hierarchy,
        start: &Path,
        path: &GroupPath,
        id: &Id,
    ) -> Result<Self, Error> {
        let name = match path {
            GroupPath::Absolute(path) => clean(path),
            GroupPath::Relative(path) if clean(path) != Path::new("") => start.join(clean(path)),
            GroupPath::Relative(_) | GroupPath::Default => start.join(id.as_str()),
        };
        // The empty name is the root, which is above all.
        if hierarchy.own.starts_with(&name) {
            let path = hierarchy.mount_point.join(name);
            return Err(Error::OwnGroup { path });
        }
        Ok(Self {
            mount_point: hierarchy.mount_point.clone(),
            name,
            dir: None,
        })
    }

    /// At a recorded path.
    pub(super) fn reopen(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            mount_point: path.into(),
            name: PathBuf::new(),
            dir: Directory::open(path)?,
        })
    }

    pub(super) fn path(&self) -> PathBuf {
        if self.name == Path::new("") {
            return self.mount_point.clone();
        }
        self.mount_point.join(&self.name)
    }

    /// Only once the group is made or reopened.
    pub(super) fn dir(&self) -> Option<&Directory> {
        self.dir.as_ref()
    }

    pub(super) fn must_be_there(&self) -> Result<&Directory, Error> {
        self.dir
            .as_ref()
            .ok_or_else(|| Error::call("open the group", self.path())(Errno::ENOENT))
    }

    /// Makes what is missing of the path, for nobody or for `newcomer`. `on_the_way(above, below)` is
    /// called for each step down from the mount point, `below` being `None` before it is made.
    pub(super) fn make(
        &mut self,
        newcomer: Option<Pid>,
        mut on_the_way: impl FnMut(&Directory, Option<&Directory>) -> Result<(), Error>,
    ) -> Result<&Directory, Error> {
        let root = Directory::open(&self.mount_point)?;
        let mut at = root.ok_or_else(|| Error::NotAGroup {
            path: self.mount_point.clone(),
        })?;
        let mut is_new = false;
        for name in &self.name {
            on_the_way(&at, None)?;
            let (below, new) = at.make_below(name)?;
            if let Err(error) = on_the_way(&at, Some(&below)) {
                // The error that counts is the first: a directory that stays is empty.
                let _ = new.then(|| at.remove_below(name));
                return Err(error);
            }
            (at, is_new) = (below, new);
        }
        match newcomer {
            Some(pid) => take_in(&at, pid)?,
            None if is_new => {}
            None => refuse_members(&at)?,
        }
        Ok(self.dir.insert(at))
    }

    /// Removes the group if it was made or reopened here: what was only named is another's.
    pub(super) fn remove(&self) -> Result<(), Error> {
        match &self.dir {
            Some(_) => removal::remove(&self.path()),
            None => Ok(()),
        }
    }

    pub(super) fn check_unused(&self) -> Result<(), Error> {
        match Directory::open(&self.path())? {
            Some(group) => refuse_members(&group),
            None => Ok(()),
        }
    }
}

/// Moves the process in, if systemd has not yet done it.
fn take_in(group: &Directory, pid: Pid) -> Result<(), Error> {
    if group.all_pids()? == [pid] {
        return Ok(());
    }
    refuse_members(group)?;
    let fault = Error::call("move the process to", group.path());
    group.write("cgroup.procs", &pid.to_string()).map_err(fault)
}

fn refuse_members(group: &Directory) -> Result<(), Error> {
    let path = || group.path().into();
    let count = group.all_members()?.len();
    if count > 0 {
        return Err(Error::InUse {
            path: path(),
            count,
        });
    }
    if group.is_v2() && unified::is_frozen(group)? {
        return Err(Error::Frozen { path: path() });
    }
    Ok(())
}

/// Relative, without `.`, `..` and empty parts; `..` stops at the top.
fn clean(path: &str) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy(own: &str) -> Hierarchy {
        Hierarchy {
            mount_point: "/sys/fs/cgroup".into(),
            controllers: Vec::new(),
            own: own.into(),
        }
    }

    #[test]
    fn a_group_lies_where_runc_puts_it() {
        let id = Id::new("web").unwrap();
        let relative = |p: &str| GroupPath::Relative(p.into());
        let absolute = |p: &str| GroupPath::Absolute(p.into());
        for (own, path, below, beside) in [
            ("a/b", GroupPath::Default, "a/b/web", "a/web"),
            ("", GroupPath::Default, "web", "web"),
            ("a", GroupPath::Default, "a/web", "web"),
            ("a/b", relative("x/y"), "a/b/x/y", "a/x/y"),
            ("a/b", relative("../../../x"), "a/b/x", "a/x"),
            ("a/b", relative(".."), "a/b/web", "a/web"),
            ("a/b", absolute("/x//y/../z"), "x/z", "x/z"),
            ("a/b", absolute("/../../x"), "x", "x"),
        ] {
            let host = hierarchy(own);
            let at = |name| Path::new("/sys/fs/cgroup").join(name);
            let seat = Seat::below_own(&host, &path, &id).unwrap();
            assert_eq!(seat.path(), at(below), "{path:?} below {own}");
            let seat = Seat::beside_own(&host, &path, &id).unwrap();
            assert_eq!(seat.path(), at(beside), "{path:?} beside {own}");
        }
    }

    #[test]
    fn the_own_group_and_those_above_are_refused() {
        let id = Id::new("b").unwrap();
        for path in ["/", "/..", "/a", "/a/b", "/a/x/../b/"] {
            let path = GroupPath::Absolute(path.into());
            let error = Seat::below_own(&hierarchy("a/b"), &path, &id).unwrap_err();
            assert!(matches!(error, Error::OwnGroup { .. }), "{path:?}: {error}");
        }
        assert!(Seat::beside_own(&hierarchy("a/b"), &GroupPath::Default, &id).is_err());
        let beside = GroupPath::Absolute("/a/bb".into());
        assert!(Seat::below_own(&hierarchy("a/b"), &beside, &id).is_ok());
    }
}
