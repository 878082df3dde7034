//! Where images and CRIU's log lie, and what saving and restoring are told alike.

use std::fs::{DirBuilder, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use super::Error;
use super::message::{GroupMode, Options};
use crate::cgroup::HierarchyFlags;
use crate::container;
use crate::spec::Container;
use crate::state::Store;
use crate::sys::errno;

/// CRIU's level for all but what is for its developers.
const LOG_LEVEL: i32 = 4;

/// runc's, which CRIU passes over where there is none.
const CONFIG: &str = "/etc/criu/runc.conf";

/// What `checkpoint` and `restore` take both.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// The directory of the images.
    pub images: PathBuf,
    /// Where CRIU writes its log; `None`: to the images.
    pub work: Option<PathBuf>,
    pub tcp_established: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub link_remap: bool,
    pub lazy_pages: bool,
    pub auto_dedup: bool,
    pub groups: GroupMode,
}

impl ImageOptions {
    /// The flags of the host's v2 hierarchy, where CRIU is to manage groups: it mounts the hierarchy for
    /// that. What an earlier runtime owes is put back in any case.
    pub(crate) fn remember_flags(
        &self,
        store: &Store,
    ) -> Result<Option<HierarchyFlags>, container::Error> {
        let root = store.make()?;
        Ok(match self.groups {
            GroupMode::Ignore => HierarchyFlags::settle(root).map(|()| None)?,
            _ => Some(HierarchyFlags::remember(root)?),
        })
    }
}

/// The directories, open: CRIU finds them among our descriptors.
#[derive(Debug)]
pub(crate) struct Images {
    path: PathBuf,
    dir: File,
    work: Option<(PathBuf, File)>,
}

impl Images {
    /// Makes the directories that are missing.
    pub(crate) fn make(options: &ImageOptions) -> Result<Self, Error> {
        make_dir(&options.images)?;
        Self::open(options)
    }

    /// Opens what a checkpoint has left.
    pub(crate) fn open(options: &ImageOptions) -> Result<Self, Error> {
        let work = options.work.as_ref().map(|path| {
            make_dir(path)?;
            Ok((path.clone(), open_dir(path)?))
        });
        Ok(Self {
            path: options.images.clone(),
            dir: open_dir(&options.images)?,
            work: work.transpose()?,
        })
    }

    /// The same directories as process `pid` has them, which has a mount namespace of its own: CRIU can
    /// mount nothing in one of ours. `options` name these from here on.
    pub(crate) fn move_into(&mut self, pid: Pid, options: &mut Options) -> Result<(), Error> {
        let reopen = |path: &Path| {
            let whole = path.canonicalize().map_err(|e| Error::Image {
                act: "find the directory",
                path: path.into(),
                errno: errno(&e),
            })?;
            open_dir(
                Path::new(&format!("/proc/{pid}/root"))
                    .join(whole.strip_prefix("/").unwrap_or(&whole))
                    .as_path(),
            )
        };
        self.dir = reopen(&self.path)?;
        if let Some((path, dir)) = &mut self.work {
            *dir = reopen(path)?;
        }
        self.name(options);
        Ok(())
    }

    /// CRIU finds the directories by the numbers of our descriptors.
    fn name(&self, options: &mut Options) {
        options.images_dir_fd = self.dir.as_raw_fd();
        options.work_dir_fd = self.work.as_ref().map(|(_, dir)| dir.as_raw_fd());
    }

    /// The file of this name among the images.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// CRIU's log of this name.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        let work = self.work.as_ref().map(|(path, _)| path);
        work.unwrap_or(&self.path).join(name)
    }

    /// The options that do not depend on what is to be done.
    pub(crate) fn options(
        &self,
        given: &ImageOptions,
        container: &Container,
        log: &str,
    ) -> Options {
        // What an earlier call has written must not be taken for this one's.
        let _ = std::fs::remove_file(self.log(log));
        let mut options = Options {
            log_level: Some(LOG_LEVEL),
            log_file: Some(log.to_owned()),
            tcp_established: given.tcp_established,
            ext_unix_sk: given.ext_unix_sk,
            shell_job: given.shell_job,
            file_locks: given.file_locks,
            link_remap: given.link_remap,
            lazy_pages: given.lazy_pages,
            auto_dedup: given.auto_dedup,
            manage_cgroups: true,
            manage_cgroups_mode: Some(given.groups.into()),
            notify_scripts: true,
            orphan_pts_master: true,
            // Devices of networks are not the runtime's, as they are not when a container is made.
            empty_ns: Some(libc::CLONE_NEWNET.unsigned_abs()),
            config_file: match container.annotations.get("org.criu.config") {
                None => Some(CONFIG.to_owned()),
                Some(none) if none.is_empty() => None,
                Some(path) => Some(path.clone()),
            },
            ..Options::default()
        };
        self.name(&mut options);
        options
    }

    /// Refuses a parent that is not a directory beside the images.
    pub(crate) fn check_parent(&self, parent: &Path) -> Result<(), Error> {
        if parent.is_absolute() {
            return Err(Error::AbsoluteParent(parent.into()));
        }
        let path = self.path.join(parent);
        let opened = File::open(path.join("."));
        opened.map(drop).map_err(|e| Error::Parent {
            errno: errno(&e),
            path,
        })
    }
}

/// For the user alone: images hold the memory of processes.
fn make_dir(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::Image {
        act: "make the directory",
        path: path.into(),
        errno: errno(&e),
    })
}

fn open_dir(path: &Path) -> Result<File, Error> {
    // A file by that name is no directory.
    File::open(path.join(".")).map_err(|e| Error::Image {
        act: "open the directory",
        path: path.into(),
        errno: errno(&e),
    })
}
