//! A mount of type `cgroup`: the container's own groups, in the layout of the host.

use std::path::Path;

use super::Planner;
use super::host::{Groups, Hierarchy};
use super::step::{Mount, Source, Step, TargetRule, Tree};
use crate::spec::container::{IdMap, Namespace};
use crate::spec::mounts::{Attributes, FsOption, Mount as Asked, What};
use crate::spec::units::InRoot;

/// The bit of CAP_CHOWN, with which a file is given away (capabilities(7)).
const CHOWN: u64 = 1;

/// Below the root.
const SHOWN_AT: &str = "sys/fs/cgroup";

impl Planner<'_> {
    /// One mount on v2; on v1 a tmpfs with a directory for each hierarchy.
    pub(super) fn cgroup_mount(&mut self, asked: &Asked, seals: &mut Vec<Step>) {
        match &self.host.groups {
            Groups::Disabled => {}
            Groups::V2 { group, owned } => {
                let source = if self.sees_own_groups() {
                    filesystem("cgroup2", &[])
                } else {
                    bind(group)
                };
                let asked = looked_at(asked, *owned);
                self.push(group_mount(&asked, source, asked.target.clone()));
            }
            Groups::V1 {
                hierarchies, links, ..
            } => {
                self.push(tmpfs(asked));
                for hierarchy in hierarchies {
                    let source = self.hierarchy(hierarchy);
                    let target = below(&asked.target, &hierarchy.name);
                    let asked = looked_at(asked, hierarchy.owned);
                    self.push(group_mount(&asked, source, target));
                }
                for (text, name) in links {
                    let text = std::ffi::CString::new(text.as_str())
                        .expect("controllers are named without NUL");
                    let at = below(&asked.target, name);
                    self.push(Step::Link {
                        text,
                        at,
                        replace: false,
                    });
                }
                if asked.attributes.set & libc::MOUNT_ATTR_RDONLY != 0 {
                    let attributes = Attributes {
                        set: libc::MOUNT_ATTR_RDONLY,
                        clear: 0,
                    };
                    seals.push(Step::Seal {
                        target: asked.target.clone(),
                        attributes,
                    });
                }
            }
        }
    }

    /// Who may make groups below the container's own: the user of its process, where that is another
    /// than ours, and the group is shown to him in a namespace of its own and to be written to. On v1,
    /// where that is not safe, nobody (config-linux.md, "Cgroup ownership").
    pub(super) fn group_owner(&self) -> Option<u32> {
        let Groups::V2 { owned: true, .. } = self.host.groups else {
            return None;
        };
        let shown = |mount: &&Asked| {
            matches!(mount.what, What::Cgroup) && mount.target.as_path() == Path::new(SHOWN_AT)
        };
        let mount = self.container.mounts.iter().rfind(shown)?;
        let is_writable =
            (mount.attributes.set | mount.recursive.set) & libc::MOUNT_ATTR_RDONLY == 0;
        let may_give = self.host.capabilities.effective & CHOWN != 0;
        if !is_writable || !may_give || self.container.namespaces.cgroup != Namespace::New {
            return None;
        }
        let uid = self.container.process.as_ref()?.user.uid;
        let owner = match self.has_user_namespace() {
            true => outside(uid, &self.container.id_maps.uids)?,
            false => uid,
        };
        (owner != self.host.uid).then_some(owner)
    }

    /// In a cgroup namespace a new mount shows the container's groups only.
    fn sees_own_groups(&self) -> bool {
        self.container.namespaces.cgroup != Namespace::Share
    }

    fn hierarchy(&self, hierarchy: &Hierarchy) -> Source {
        if self.sees_own_groups() {
            filesystem("cgroup", &hierarchy.options)
        } else {
            bind(&hierarchy.group)
        }
    }
}

/// What the user `id` of a namespace is outside of it.
fn outside(id: u32, maps: &[IdMap]) -> Option<u32> {
    let map = maps
        .iter()
        .find(|map| id >= map.container && id - map.container < map.size)?;
    map.host.checked_add(id - map.container)
}

fn group_mount(asked: &Asked, source: Source, target: InRoot) -> Step {
    let propagation = asked.propagation.iter().copied();
    Step::Mount(Mount {
        source,
        target,
        attributes: asked.attributes,
        recursive: asked.recursive,
        propagation: propagation.map(super::root::flags).collect(),
        copy_up: false,
        keep_mode: false,
        rule: TargetRule::NotProc,
    })
}

/// A group of the runtime's own, at times the root with its release_agent (CVE-2022-0492), is there to
/// be looked at, not to be changed.
fn looked_at(asked: &Asked, owned: bool) -> Asked {
    let mut asked = asked.clone();
    if !owned {
        asked.attributes.set |= libc::MOUNT_ATTR_RDONLY;
        asked.attributes.clear &= !libc::MOUNT_ATTR_RDONLY;
        asked.recursive.clear &= !libc::MOUNT_ATTR_RDONLY;
    }
    asked
}

/// The group is made after the plan: the child opens it, also from a user namespace, since anybody
/// may walk the hierarchies.
fn bind(group: &Path) -> Source {
    Source::Bind(Tree {
        path: super::root::c_path(group),
        recursive: false,
        opened: None,
        ids: None,
    })
}

fn below(dir: &InRoot, name: &str) -> InRoot {
    InRoot::new(dir.as_path().join(name)).expect("controllers are named without NUL")
}

/// The options of a v1 hierarchy: flags, and `name=…` for one without controllers.
fn filesystem(kind: &str, options: &[String]) -> Source {
    let c = |text: &str| std::ffi::CString::new(text).expect("controllers are named without NUL");
    let options = options.iter().map(|option| match option.split_once('=') {
        Some((key, value)) => FsOption::Value(c(key), c(value)),
        None => FsOption::Flag(c(option)),
    });
    Source::New {
        kind: c(kind),
        source: Some(c("cgroup")),
        options: options.collect(),
    }
}

/// What the hierarchies' directories are made in, writable until they are.
fn tmpfs(asked: &Asked) -> Step {
    let mut bare = asked.clone();
    bare.attributes.set &= !libc::MOUNT_ATTR_RDONLY;
    bare.recursive = Attributes::default();
    let source = Source::New {
        kind: c"tmpfs".into(),
        source: Some(c"tmpfs".into()),
        options: vec![FsOption::Value(c"mode".into(), c"755".into())],
    };
    group_mount(&bare, source, asked.target.clone())
}
