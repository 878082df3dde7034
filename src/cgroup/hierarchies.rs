//! How this host's hierarchies are laid out.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::Error;
use super::devices::DeviceGuard;
use crate::sys::errno;

const ROOT: &str = "/sys/fs/cgroup";
const MOUNTS: &str = "/proc/self/mountinfo";
const GROUPS: &str = "/proc/self/cgroup";

/// One mounted hierarchy and the place of this process in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub mount_point: PathBuf,
    /// Empty for v2. Else what `mount -t cgroup -o` is given: `cpu` and `cpuacct`, or `name=systemd`.
    pub controllers: Vec<String>,
    /// This process's own group, relative to the mount point; empty for its root.
    pub own: PathBuf,
}

impl Hierarchy {
    /// The directory of this process's own group.
    pub fn own_dir(&self) -> PathBuf {
        self.mount_point.join(&self.own)
    }

    /// `cpu,cpuacct`; empty for v2.
    pub fn mount_options(&self) -> String {
        self.controllers.join(",")
    }

    /// Whether the group at `path` lies in this v1 hierarchy.
    pub(super) fn shows(&self, path: &Path) -> bool {
        !self.controllers.is_empty() && path.starts_with(&self.mount_point)
    }

    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

/// What the host has mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hierarchies {
    V2(Hierarchy),
    /// `unified` is there on a hybrid host; controllers that v1 has are not in it.
    V1 {
        controllers: Vec<Hierarchy>,
        unified: Option<Hierarchy>,
    },
}

impl Hierarchies {
    /// On a v2 host two calls; else it reads the mount table, some 50 µs for 20 mounts.
    pub fn detect() -> Result<Self, Error> {
        let groups = read(GROUPS)?;
        match statfs(ROOT).map(|s| s.filesystem_type()) {
            Ok(CGROUP2_SUPER_MAGIC) => {
                let own = own_group(&groups, "")?.unwrap_or(Path::new("/"));
                return Ok(Self::V2(Hierarchy {
                    mount_point: ROOT.into(),
                    controllers: Vec::new(),
                    own: below(Path::new("/"), own),
                }));
            }
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Error::call("look at", ROOT)(errno)),
        }
        Self::from_tables(&read(MOUNTS)?, &groups)
    }

    /// v2 first, then v1 in the order of the mount table.
    pub fn all(&self) -> impl Iterator<Item = &Hierarchy> {
        let (v2, v1) = match self {
            Self::V2(one) => (Some(one), [].as_slice()),
            Self::V1 {
                controllers,
                unified,
            } => (unified.as_ref(), controllers.as_slice()),
        };
        v2.into_iter().chain(v1)
    }

    /// What decides on devices here. Where nothing does, no container gets a group.
    pub fn device_guard(&self) -> Result<DeviceGuard<&Hierarchy>, Error> {
        let v2 = self.all().find(|h| h.controllers.is_empty());
        DeviceGuard::choose(self.all().find(|h| h.has("devices")), v2)
    }

    /// A hierarchy may be mounted more than once. The one under /sys/fs/cgroup is taken, and of
    /// several there the last, which covers the others.
    fn from_tables(mounts: &str, groups: &str) -> Result<Self, Error> {
        let mut found: Vec<Hierarchy> = Vec::new();
        for line in mounts.lines() {
            let Some(mount) = parse_mount(line)? else {
                continue;
            };
            let key = mount.controllers.first().map_or("", String::as_str);
            let Some(own) = own_group(groups, key)? else {
                continue;
            };
            let new = Hierarchy {
                own: below(&mount.root, own),
                mount_point: mount.point,
                controllers: mount.controllers,
            };
            match found.iter().position(|h| h.controllers == new.controllers) {
                None => found.push(new),
                Some(at) if new.mount_point.starts_with(ROOT) => found[at] = new,
                Some(_) => {}
            }
        }
        let unified = found.iter().position(|h| h.controllers.is_empty());
        let unified = unified.map(|at| found.remove(at));
        match (found.is_empty(), unified) {
            (true, None) => Err(Error::NoHierarchy),
            (true, Some(one)) => Ok(Self::V2(one)),
            (false, unified) => Ok(Self::V1 {
                controllers: found,
                unified,
            }),
        }
    }
}

fn read(file: &'static str) -> Result<String, Error> {
    let bytes = fs::read(file).map_err(|e| Error::call("read", file)(errno(&e)))?;
    // A mount point elsewhere may be any bytes; those of hierarchies are checked when opened.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The path of the group in the hierarchy that has `controller` (v2: the empty name), from a text of
/// `hierarchy-ID:controllers:path` lines (cgroups(7)).
fn own_group<'a>(groups: &'a str, controller: &str) -> Result<Option<&'a Path>, Error> {
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(names), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(Error::Proc {
                file: GROUPS,
                line: line.into(),
            });
        };
        if names.split(',').any(|name| name == controller) {
            return Ok(Some(Path::new(path)));
        }
    }
    Ok(None)
}

/// `group` as seen under a mount that shows the group `root`. A group that the mount does not show
/// (`/..` in a cgroup namespace) counts as the mount's root: nothing above it can be used.
fn below(root: &Path, group: &Path) -> PathBuf {
    match group.strip_prefix(root) {
        Ok(rest) if rest.components().all(|c| matches!(c, Component::Normal(_))) => rest.into(),
        _ => PathBuf::new(),
    }
}

struct Mount {
    root: PathBuf,
    point: PathBuf,
    controllers: Vec<String>,
}

/// A line of mountinfo (proc(5)); `None` when it is no cgroup filesystem.
fn parse_mount(line: &str) -> Result<Option<Mount>, Error> {
    let wrong = || Error::Proc {
        file: MOUNTS,
        line: line.into(),
    };
    let (left, right) = line.split_once(" - ").ok_or_else(wrong)?;
    let mut right = right.split(' ');
    let v2 = match right.next() {
        Some("cgroup2") => true,
        Some("cgroup") => false,
        _ => return Ok(None),
    };
    let options = right.nth(1).ok_or_else(wrong)?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (left.next(), left.next());
    let (root, point) = root.zip(point).ok_or_else(wrong)?;
    let controllers = match v2 {
        true => Vec::new(),
        false => options
            .split(',')
            .filter(|o| !NOT_CONTROLLERS.contains(o) && !o.starts_with("release_agent="))
            .map(String::from)
            .collect(),
    };
    Ok(Some(Mount {
        root: unescape(root),
        point: unescape(point),
        controllers,
    }))
}

/// What cgroup v1 shows among its mount options besides controllers (cgroup1_show_options).
const NOT_CONTROLLERS: [&str; 6] = [
    "rw",
    "ro",
    "noprefix",
    "xattr",
    "clone_children",
    "cpuset_v2_mode",
];

/// The kernel writes space, tab, newline and backslash as octal `\040`.
pub(super) fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\');
        let octal = octal.and_then(|o| u8::from_str_radix(std::str::from_utf8(o).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/a,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";
    const OWN: &str = "9:name=systemd:/s\n4:memory:/a/b\n1:cpuacct,cpu:/\n0::/u\n";

    fn one(point: &str, controllers: &[&str], own: &str) -> Hierarchy {
        Hierarchy {
            mount_point: point.into(),
            controllers: controllers.iter().map(|c| (*c).into()).collect(),
            own: own.into(),
        }
    }

    #[test]
    fn a_hybrid_host_has_its_controllers_and_the_unified_hierarchy() {
        let found = Hierarchies::from_tables(HYBRID, OWN).unwrap();
        let wanted = Hierarchies::V1 {
            controllers: vec![
                one("/sys/fs/cgroup/cpu,cpuacct", &["cpu", "cpuacct"], ""),
                one("/sys/fs/cgroup/memory", &["memory"], "a/b"),
                one("/sys/fs/cgroup/systemd", &["name=systemd"], "s"),
            ],
            unified: Some(one("/sys/fs/cgroup/unified", &[], "u")),
        };
        assert_eq!(found, wanted);
        let options: Vec<String> = found.all().map(Hierarchy::mount_options).collect();
        assert_eq!(options, ["", "cpu,cpuacct", "memory", "name=systemd"]);
    }

    #[test]
    fn devices_are_guarded_by_v1_where_it_can_and_else_by_v2() {
        let host = |controllers: &[&str], unified: bool| Hierarchies::V1 {
            controllers: controllers.iter().map(|c| one("/c", &[*c], "")).collect(),
            unified: unified.then(|| one("/u", &[], "")),
        };
        let on = |h: &Hierarchies| match h.device_guard() {
            Ok(DeviceGuard::Controller(at)) => Some((1, at.clone())),
            Ok(DeviceGuard::Program(at)) => Some((2, at.clone())),
            Err(_) => None,
        };
        let (v1, v2) = ((1, one("/c", &["devices"], "")), (2, one("/u", &[], "")));
        assert_eq!(on(&host(&["memory", "devices"], true)), Some(v1.clone()));
        assert_eq!(on(&host(&["devices"], false)), Some(v1));
        assert_eq!(on(&host(&["memory"], true)), Some(v2.clone()));
        assert_eq!(on(&host(&["memory"], false)), None);
        assert_eq!(on(&Hierarchies::V2(one("/u", &[], ""))), Some(v2));
    }

    #[test]
    fn the_mount_that_covers_another_is_taken() {
        let covered = "\
35 31 0:32 /../.. /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
95 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
96 31 0:32 / /elsewhere rw - cgroup cgroup rw,memory
";
        let found = Hierarchies::from_tables(covered, OWN).unwrap();
        let all: Vec<&Hierarchy> = found.all().collect();
        assert_eq!(all, [&one("/sys/fs/cgroup/memory", &["memory"], "a/b")]);
    }

    #[test]
    fn an_own_group_is_named_as_the_mount_shows_it() {
        for (root, group, own) in [
            ("/", "/", ""),
            ("/", "/a/b", "a/b"),
            ("/docker/x", "/docker/x/y", "y"),
            ("/docker/x", "/docker/x", ""),
            ("/docker/x", "/docker/xy", ""),
            ("/", "/../other", ""),
        ] {
            let seen = below(Path::new(root), Path::new(group));
            assert_eq!(seen, Path::new(own), "{group} under {root}");
        }
    }

    #[test]
    fn a_mount_point_is_unescaped() {
        assert_eq!(unescape(r"/a\040b\134c\9"), Path::new(r"/a b\c\9"));
    }

    #[test]
    fn a_host_without_hierarchies_says_so() {
        let none = "31 23 0:28 / /sys rw - sysfs sysfs rw\n";
        let error = Hierarchies::from_tables(none, OWN).unwrap_err();
        assert!(matches!(error, Error::NoHierarchy), "{error}");
        assert!(Hierarchies::from_tables("short", OWN).is_err());
    }
}
