//! Mount steps, as the child carries them out.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::child::Child;
use super::copy_up;
use super::fault::{Call, Stop};
use super::target::{Want, open_or_make};
use crate::plan::step::{Mount, Remount, Source, TargetRule, Tree};
use crate::spec::mounts::FsOption;
use crate::spec::units::InRoot;
use crate::sys::mount;
use crate::sys::path::{self, HERE, Resolve};

/// Gives an error of the kernel its place in the step.
trait At<T> {
    fn at(self, call: Call) -> Result<T, Stop>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, call: Call) -> Result<T, Stop> {
        self.map_err(|errno| Stop::at(call, errno))
    }
}

/// The detached copy of `tree`: made by the runtime, or now.
fn open_tree(tree: &Tree) -> Result<OwnedFd, Errno> {
    match &tree.opened {
        // The plan keeps its own descriptor: the child's copy of the table holds both.
        Some(opened) => opened
            .as_fd()
            .try_clone_to_owned()
            .map_err(|_| Errno::EMFILE),
        None => mount::clone_tree(HERE, &tree.path, tree.recursive),
    }
}

/// Attaches `tree`; a file on a directory and the reverse are told as mount(2) tells them, where
/// move_mount(2) has only `EINVAL`.
fn attach(tree: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let attached = mount::attach(tree.as_fd(), target.as_fd());
    if attached == Err(Errno::EINVAL) && is_dir(tree)? != is_dir(target)? {
        return Err(Errno::ENOTDIR);
    }
    attached
}

/// Attaches what hides or seals `target`; one that somebody who shares the root has removed since it was
/// opened needs it no more.
fn cover(tree: &OwnedFd, target: &OwnedFd) -> Result<(), Stop> {
    match mount::attach(tree.as_fd(), target.as_fd()) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Stop::at(Call::Attach, errno)),
    }
}

fn is_dir(file: &OwnedFd) -> Result<bool, Errno> {
    Ok(path::stat(file.as_fd())?.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// A mode as the option of a tmpfs takes it: four octal digits and a NUL.
fn octal(mode: libc::mode_t) -> [u8; 5] {
    const DIGITS: &[u8; 8] = b"01234567";
    let digit = |shift: u32| DIGITS[(mode >> shift & 7) as usize];
    [digit(9), digit(6), digit(3), digit(0), 0]
}

fn set_options(fs: &OwnedFd, options: &[FsOption]) -> Result<(), Stop> {
    options.iter().try_for_each(|option| {
        match option {
            FsOption::Flag(key) => mount::set_flag(fs.as_fd(), key),
            FsOption::Value(key, value) => mount::set_value(fs.as_fd(), key, value),
        }
        .at(Call::SetOption)
    })
}

impl Child<'_> {
    /// The copy of the root's tree is attached: `pivot_root` wants a mount, and a descriptor from the
    /// host's mount namespace does not serve in ours.
    pub(super) fn attach_root(&mut self, tree: &Tree, at: &CStr) -> Result<(), Stop> {
        let copy = open_tree(tree).at(Call::OpenSource)?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let place = path::open(HERE, at, flags, Resolve::Host).at(Call::OpenTarget)?;
        mount::attach(copy.as_fd(), place.as_fd()).at(Call::Attach)?;
        self.found.root = Some(copy);
        Ok(())
    }

    /// Makes the mount, dresses it while nobody sees it, and puts it in place.
    pub(super) fn mount(&mut self, step: &Mount) -> Result<(), Stop> {
        let (tree, want) = match &step.source {
            Source::New { .. } => (self.new_filesystem(step)?, Want::Dir),
            Source::Bind(tree) => {
                let copy = open_tree(tree).at(Call::OpenSource)?;
                let is_dir = is_dir(&copy).at(Call::OpenSource)?;
                let (set, clear) = (step.attributes.set, step.attributes.clear);
                if set | clear != 0 {
                    mount::set_attributes(copy.as_fd(), set, clear, 0, false)
                        .at(Call::SetAttributes)?;
                }
                (copy, if is_dir { Want::Dir } else { Want::File })
            }
        };
        let recursive = step.recursive;
        if recursive.set | recursive.clear != 0 {
            mount::set_attributes(tree.as_fd(), recursive.set, recursive.clear, 0, true)
                .at(Call::SetAttributes)?;
        }
        let target = self.target(step, want)?;
        if step.rule == TargetRule::Proc {
            let magic = path::filesystem(tree.as_fd()).at(Call::OpenSource)?;
            if magic != libc::PROC_SUPER_MAGIC {
                return Err(Stop::at(Call::NotProc, Errno::EPERM));
            }
        }
        if step.copy_up {
            copy_up::copy(target.as_fd(), tree.as_fd()).at(Call::CopyUp)?;
        }
        attach(&tree, &target).at(Call::Attach)?;
        for flags in &step.propagation {
            let recursive = flags & libc::MS_REC != 0;
            mount::set_attributes(tree.as_fd(), 0, 0, flags & !libc::MS_REC, recursive)
                .at(Call::SetPropagation)?;
        }
        Ok(())
    }

    /// Opens the target and makes sure it is where the rule wants it.
    fn target(&self, step: &Mount, want: Want) -> Result<OwnedFd, Stop> {
        let resolve = match step.rule {
            TargetRule::Proc | TargetRule::NoLinks => Resolve::InRootNoLinks,
            TargetRule::NotProc | TargetRule::InProc => Resolve::InRoot,
        };
        let target = open_or_make(self.root(), step.target.as_c_str(), want, resolve)?;
        if step.rule == TargetRule::NotProc {
            let magic = path::filesystem(target.as_fd()).at(Call::OpenTarget)?;
            if magic == libc::PROC_SUPER_MAGIC {
                return Err(Stop::at(Call::TargetInProc, Errno::EPERM));
            }
        }
        Ok(target)
    }

    fn new_filesystem(&mut self, step: &Mount) -> Result<OwnedFd, Stop> {
        let Source::New {
            kind,
            source,
            options,
        } = &step.source
        else {
            return Err(Errno::EINVAL.into());
        };
        let fs = mount::fsopen(kind).at(Call::OpenFilesystem)?;
        let covered = if step.keep_mode {
            self.open(&step.target).ok()
        } else {
            None
        };
        let made = (|| {
            if let Some(covered) = covered {
                let mode = octal(path::stat(covered.as_fd()).at(Call::OpenTarget)?.st_mode);
                let mode = CStr::from_bytes_with_nul(&mode).map_err(|_| Errno::EINVAL)?;
                mount::set_value(fs.as_fd(), c"mode", mode).at(Call::SetOption)?;
            }
            if let Some(source) = source {
                mount::set_value(fs.as_fd(), c"source", source).at(Call::SetOption)?;
            }
            set_options(&fs, options)?;
            mount::create(fs.as_fd()).at(Call::CreateFilesystem)
        })();
        made.inspect_err(|_| self.note_complaint(&fs))?;
        mount::fsmount(fs.as_fd(), step.attributes.set).at(Call::MountFilesystem)
    }

    /// What is mounted at `target`. A link of the image may lead back to the root's own mount, and
    /// with it to a filesystem of the host.
    pub(super) fn mounted(&self, target: &InRoot) -> Result<OwnedFd, Stop> {
        let opened = self.open(target).at(Call::OpenTarget)?;
        let id = path::mount_id(opened.as_fd()).at(Call::OpenTarget)?;
        if id == path::mount_id(self.root()).at(Call::OpenTarget)? {
            return Err(Stop::at(Call::NothingMounted, Errno::EINVAL));
        }
        Ok(opened)
    }

    /// Keeps the kernel's own words about a filesystem that it does not take.
    pub(super) fn note_complaint(&mut self, fs: &OwnedFd) {
        let note = &mut self.found.note;
        self.found.note_length = mount::complaint(fs.as_fd(), note).unwrap_or(0);
    }

    /// Changes the mount at the target, and its filesystem where options say so.
    pub(super) fn remount(&mut self, step: &Remount) -> Result<(), Stop> {
        let target = self.mounted(&step.target)?;
        if !step.options.is_empty() {
            let fs = mount::fspick(target.as_fd()).at(Call::OpenFilesystem)?;
            let changed = set_options(&fs, &step.options)
                .and_then(|()| mount::reconfigure(fs.as_fd()).at(Call::CreateFilesystem));
            changed.inspect_err(|_| self.note_complaint(&fs))?;
        }
        for (attributes, recursive) in [(step.attributes, false), (step.recursive, true)] {
            let (set, clear) = (attributes.set, attributes.clear);
            if set | clear != 0 {
                mount::set_attributes(target.as_fd(), set, clear, 0, recursive)
                    .at(Call::SetAttributes)?;
            }
        }
        Ok(())
    }

    /// Covers a file with the null device, and a directory with an empty one; what is not there
    /// needs no mask.
    pub(super) fn mask(&mut self, path: &InRoot, label: Option<&CStr>) -> Result<(), Stop> {
        let target = match self.open(path) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            target => target.at(Call::OpenTarget)?,
        };
        let mode = path::stat(target.as_fd()).at(Call::OpenTarget)?.st_mode;
        if mode & libc::S_IFMT == libc::S_IFDIR {
            self.mask_directory(&target, label)
        } else {
            self.mask_file(&target)
        }
    }

    /// One empty filesystem serves all masks: it is mounted once and then copied.
    pub(super) fn mask_directory(
        &mut self,
        target: &OwnedFd,
        label: Option<&CStr>,
    ) -> Result<(), Stop> {
        if let Some(empty) = &self.found.empty {
            let copy = mount::clone_tree(empty.as_fd(), c"", false).at(Call::OpenSource)?;
            return cover(&copy, target);
        }
        let fs = mount::fsopen(c"tmpfs").at(Call::OpenFilesystem)?;
        mount::set_value(fs.as_fd(), c"source", c"tmpfs").at(Call::SetOption)?;
        mount::set_value(fs.as_fd(), c"nr_inodes", c"1").at(Call::SetOption)?;
        mount::set_value(fs.as_fd(), c"mode", c"555").at(Call::SetOption)?;
        if let Some(label) = label {
            mount::set_value(fs.as_fd(), c"context", label).at(Call::SetOption)?;
        }
        mount::create(fs.as_fd()).at(Call::CreateFilesystem)?;
        let attributes = libc::MOUNT_ATTR_RDONLY
            | libc::MOUNT_ATTR_NOSUID
            | libc::MOUNT_ATTR_NODEV
            | libc::MOUNT_ATTR_NOEXEC;
        let empty = mount::fsmount(fs.as_fd(), attributes).at(Call::MountFilesystem)?;
        match mount::attach(empty.as_fd(), target.as_fd()) {
            // What is not attached could not be copied for the next.
            Ok(()) => self.found.empty = Some(empty),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Stop::at(Call::Attach, errno)),
        }
        Ok(())
    }

    /// The host's own /dev/null, made sure of by its numbers: the container's may be anything
    /// (CVE-2025-31133).
    fn mask_file(&mut self, target: &OwnedFd) -> Result<(), Stop> {
        if self.found.null.is_none() {
            let flags = libc::O_PATH | libc::O_NOFOLLOW;
            let null = path::open(HERE, c"/dev/null", flags, Resolve::Host).at(Call::OpenNull)?;
            let stat = path::stat(null.as_fd()).at(Call::OpenNull)?;
            if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != libc::makedev(1, 3) {
                return Err(Stop::at(Call::OpenNull, Errno::ENODEV));
            }
            self.found.null = Some(null);
        }
        let null = self.found.null.as_ref().map_or(HERE, AsFd::as_fd);
        let copy = mount::clone_tree(null, c"", false).at(Call::OpenSource)?;
        cover(&copy, target)
    }

    /// Covers a path with a read-only copy of itself.
    pub(super) fn make_readonly(&mut self, path: &InRoot) -> Result<(), Stop> {
        let target = match self.open(path) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            target => target.at(Call::OpenTarget)?,
        };
        let copy = mount::clone_tree(target.as_fd(), c"", true).at(Call::OpenSource)?;
        mount::set_attributes(copy.as_fd(), libc::MOUNT_ATTR_RDONLY, 0, 0, true)
            .at(Call::SetAttributes)?;
        cover(&copy, &target)
    }
}
