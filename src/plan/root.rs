//! The root filesystem and everything mounted in it.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::mountinfo;
use super::process::UMASK;
use super::step::{self, Gate, Mount, Remount, Source, Step, TargetRule, Tree};
use super::{Error, Planner};
use crate::spec::mounts::{
    Attributes, Filesystem, FsOption, Mount as Asked, Propagation, PropagationKind, What,
};
use crate::spec::units::InRoot;
use crate::sys;

/// `strndup_user(value, 256)` in the kernel's fs/fsopen.c, with its NUL.
const LONGEST_OPTION: usize = 255;

/// The `MS_*` flags of a propagation.
pub(super) fn flags(propagation: Propagation) -> u64 {
    let kind = match propagation.kind {
        PropagationKind::Private => libc::MS_PRIVATE,
        PropagationKind::Slave => libc::MS_SLAVE,
        PropagationKind::Shared => libc::MS_SHARED,
        PropagationKind::Unbindable => libc::MS_UNBINDABLE,
    };
    if propagation.recursive {
        kind | libc::MS_REC
    } else {
        kind
    }
}

impl Planner<'_> {
    /// From the copy of the host's mounts to the container's own tree.
    pub(super) fn root(&mut self) -> Result<(), Error> {
        self.attach_root()?;

        let mut seals = Vec::new();
        for asked in &self.container.mounts {
            match &asked.what {
                What::Cgroup => self.cgroup_mount(asked, &mut seals),
                What::Remount(options) => self.remount(asked, options),
                _ => self.mount(asked, &mut seals)?,
            }
        }
        self.devices()?;
        self.steps.append(&mut seals);

        self.hook_steps();
        for path in &self.container.masked_paths {
            let (path, label) = (path.clone(), self.labels.mounts.clone());
            self.push(Step::Mask { path, label });
        }
        for path in &self.container.readonly_paths {
            self.steps.push(Step::ReadOnly(path.clone()));
        }
        self.enter_root()
    }

    fn attach_root(&mut self) -> Result<(), Error> {
        let root = &self.container.root;
        let asked = root.propagation.map(|p| p.kind);
        let shared = asked == Some(PropagationKind::Shared);
        self.push(Step::Propagate(
            libc::MS_REC
                | match asked {
                    None | Some(PropagationKind::Slave) => libc::MS_SLAVE,
                    Some(PropagationKind::Shared) => libc::MS_SHARED,
                    Some(PropagationKind::Private | PropagationKind::Unbindable) => {
                        libc::MS_PRIVATE
                    }
                },
        ));
        if shared {
            let parent = mount_point_of(&root.path)?;
            self.push(Step::PrivateParent(c_path(&parent)));
        }
        if let Some(overlay) = &root.overlay {
            let appends = self.host.appends_layers;
            let overlay = step::Overlay::new(overlay, &root.path, appends);
            self.push(Step::AttachOverlay(overlay));
            return Ok(());
        }
        let tree = self.tree(&root.path, true)?;
        let at = tree.path.clone();
        self.push(Step::AttachRoot { tree, at });
        Ok(())
    }

    /// A part of the host's tree: named for the child, or opened now, when the child in its user
    /// namespace might not be allowed to walk there (runc and crun do the same).
    pub(super) fn tree(&self, path: &Path, recursive: bool) -> Result<Tree, Error> {
        let opened = if self.has_user_namespace() && self.host.uid == 0 {
            Some(detached(path, recursive)?)
        } else {
            None
        };
        Ok(Tree {
            path: c_path(path),
            recursive,
            opened,
            ids: None,
        })
    }

    fn mount(&mut self, asked: &Asked, seals: &mut Vec<Step>) -> Result<(), Error> {
        let mut attributes = asked.attributes;
        let source = match &asked.what {
            What::Bind { source, recursive } => Source::Bind(match &asked.ids {
                Some(ids) => self.mapped_tree(asked, source.as_path(), *recursive, ids)?,
                None => self.tree(source.as_path(), *recursive)?,
            }),
            What::Filesystem(filesystem) => {
                check_lengths(asked, filesystem)?;
                let late = seal(asked, filesystem, &mut attributes);
                seals.extend(late);
                let mut options = options(filesystem, !seals_itself(asked, filesystem));
                let label = self.context(&filesystem.kind);
                options.extend(label.map(|label| FsOption::Value(c"context".into(), label)));
                Source::New {
                    kind: filesystem.kind.clone(),
                    source: filesystem.source.clone(),
                    options,
                }
            }
            What::Cgroup | What::Remount(_) => return Ok(()),
        };
        self.push(Step::Mount(Mount {
            source,
            target: asked.target.clone(),
            attributes,
            recursive: asked.recursive,
            propagation: asked.propagation.iter().copied().map(flags).collect(),
            copy_up: asked.copy_up,
            keep_mode: keeps_mode(&asked.what),
            rule: rule(&asked.target),
        }));
        Ok(())
    }

    fn remount(&mut self, asked: &Asked, options: &[FsOption]) {
        self.push(Step::Remount(Remount {
            target: asked.target.clone(),
            attributes: asked.attributes,
            recursive: asked.recursive,
            options: options.to_vec(),
        }));
    }

    /// The hooks between the mounts and the change of root.
    pub(super) fn hook_steps(&mut self) {
        let hooks = &self.container.hooks;
        // Also before those of the container's side: the runtime must have written what they read.
        let none = hooks.prestart.is_empty()
            && hooks.create_runtime.is_empty()
            && hooks.create_container.is_empty();
        if !none {
            self.push(Step::Gate(Gate::Hooked));
        }
        if !hooks.create_container.is_empty() {
            // Until here nothing is masked from the modes of nodes; programs do not expect that.
            self.push(Step::Umask(UMASK));
        }
        for (index, hook) in hooks.create_container.iter().enumerate() {
            self.push(Step::Hook(step::Hook::new("createContainer", index, hook)));
        }
    }

    fn enter_root(&mut self) -> Result<(), Error> {
        let root = &self.container.root;
        let shared = root
            .propagation
            .is_some_and(|p| p.kind == PropagationKind::Shared);
        self.push(if self.wishes.no_pivot {
            let views = views_outside(&root.path)?;
            Step::MoveRoot { views }
        } else {
            Step::Pivot { shared }
        });
        if let Some(propagation) = root.propagation {
            self.push(Step::RootPropagation(flags(propagation)));
        }
        if let Some(process) = &self.container.process {
            let dir = InRoot::new(process.cwd.as_path()).expect("checked as an absolute path");
            if !dir.is_root() {
                self.push(Step::MakeWorkingDir(dir));
            }
        }
        self.terminal(true);
        if root.readonly {
            self.push(Step::ReadOnlyRoot);
        }
        Ok(())
    }
}

/// A copy of a part of the host's tree, attached nowhere.
pub(super) fn detached(path: &Path, recursive: bool) -> Result<OwnedFd, Error> {
    let fault = |errno| Error::CloneTree {
        path: path.into(),
        errno,
    };
    let tree = sys::mount::clone_tree(sys::path::HERE, &c_path(path), recursive).map_err(fault)?;
    // A copy of a shared mount is shared with it; what is mounted in the container must not appear
    // on the host.
    sys::mount::set_attributes(tree.as_fd(), 0, 0, libc::MS_SLAVE, true).map_err(fault)?;
    Ok(tree)
}

pub(super) fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("paths of the kernel hold no NUL")
}

/// The mount point that `path` lies on: the nearest directory upwards that is the root of a mount.
fn mount_point_of(path: &Path) -> Result<PathBuf, Error> {
    for dir in path.ancestors() {
        let is_root = sys::path::is_mount_root(&c_path(dir)).map_err(|errno| Error::OpenRoot {
            path: path.into(),
            errno,
        })?;
        if is_root {
            return Ok(dir.into());
        }
    }
    Ok(PathBuf::from("/"))
}

/// Which targets this mount may cover.
fn rule(target: &InRoot) -> TargetRule {
    let path = target.as_path();
    if path == Path::new("proc") {
        TargetRule::Proc
    } else if path == Path::new("sys") {
        TargetRule::NoLinks
    } else if target.is_in("proc") {
        TargetRule::InProc
    } else {
        TargetRule::NotProc
    }
}

/// The kernel takes no longer strings by `fsconfig(2)` and would only say "invalid argument".
fn check_lengths(asked: &Asked, filesystem: &Filesystem) -> Result<(), Error> {
    let values = filesystem.options.iter().filter_map(|option| match option {
        FsOption::Value(key, value) => Some((key, value)),
        FsOption::Flag(_) => None,
    });
    for (key, value) in values {
        let length = value.count_bytes();
        if length > LONGEST_OPTION {
            let (target, option) = (asked.target.to_string(), key.to_string_lossy().into_owned());
            return Err(Error::LongOption {
                target,
                option,
                length,
            });
        }
    }
    Ok(())
}

/// runc and crun do it for a tmpfs without the option, and images count on it.
fn keeps_mode(what: &What) -> bool {
    let is_mode =
        |option: &FsOption| matches!(option, FsOption::Value(key, _) if key.as_c_str() == c"mode");
    matches!(what, What::Filesystem(fs) if fs.kind.as_c_str() == c"tmpfs" && !fs.options.iter().any(is_mode))
}

/// A read-only tmpfs is filled first: with nodes, links, targets of other mounts.
fn seals_itself(asked: &Asked, filesystem: &Filesystem) -> bool {
    filesystem.kind.to_bytes() == b"tmpfs" && asked.attributes.set & libc::MOUNT_ATTR_RDONLY != 0
}

fn seal(asked: &Asked, filesystem: &Filesystem, attributes: &mut Attributes) -> Option<Step> {
    if !seals_itself(asked, filesystem) {
        return None;
    }
    attributes.set &= !libc::MOUNT_ATTR_RDONLY;
    let attributes = Attributes {
        set: libc::MOUNT_ATTR_RDONLY,
        clear: 0,
    };
    Some(Step::Seal {
        target: asked.target.clone(),
        attributes,
    })
}

fn options(filesystem: &Filesystem, readonly: bool) -> Vec<FsOption> {
    let ro = FsOption::Flag(c"ro".into());
    let keep = |option: &&FsOption| readonly || **option != ro;
    filesystem.options.iter().filter(keep).cloned().collect()
}

/// Where procfs and sysfs are mounted outside `root`, the last mounted first.
fn views_outside(root: &Path) -> Result<Vec<CString>, Error> {
    let table = mountinfo::read().map_err(|errno| Error::OpenRoot {
        path: mountinfo::PATH.into(),
        errno,
    })?;
    let is_view = |kind: &str| matches!(kind, "proc" | "sysfs");
    let views = table
        .iter()
        .rev()
        .filter(|mount| is_view(&mount.kind) && !mount.point.starts_with(root));
    Ok(views.map(|mount| c_path(&mount.point)).collect())
}
