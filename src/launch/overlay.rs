//! A root filesystem stacked of layers. All of this runs in the child.
//!
//! Layers are named to the kernel by descriptors, as `/proc/self/fd/N`: a path may be longer than
//! the 255 bytes that fsconfig(2) takes, or hold a colon, and inside nobody reads where they lie.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};

use nix::errno::Errno;

use super::child::Child;
use super::fault::{Call, Stop};
use super::target::Text;
use crate::plan::step::Overlay;
use crate::sys::mount;
use crate::sys::path::{self, HERE, Resolve};

const FLAGS: libc::c_int = libc::O_PATH | libc::O_DIRECTORY;

const DESCRIPTORS: &CStr = c"/proc/self/fd";

impl Child<'_> {
    /// Mounted in the container's own namespaces: the host has no mount that could be left behind.
    pub(super) fn attach_overlay(&mut self, overlay: &Overlay) -> Result<(), Stop> {
        if !overlay.appends {
            return self.attach_joined(overlay);
        }
        let fs = mount::fsopen(c"overlay").map_err(at(Call::OpenFilesystem))?;
        let made = self.append(&fs, overlay);
        if made.is_err_and(|stop| stop.call != Call::OpenSource) {
            self.note_complaint(&fs);
        }
        made?;
        let root = mount::fsmount(fs.as_fd(), 0).map_err(at(Call::MountFilesystem))?;
        let place = path::open(HERE, &overlay.at, FLAGS, Resolve::Host);
        let place = place.map_err(at(Call::OpenTarget))?;
        mount::attach(root.as_fd(), place.as_fd()).map_err(at(Call::Attach))?;
        self.found.root = Some(root);
        Ok(())
    }

    fn append(&mut self, fs: &OwnedFd, overlay: &Overlay) -> Result<(), Stop> {
        let set = |key, value: &CStr| {
            mount::set_value(fs.as_fd(), key, value).map_err(at(Call::SetOption))
        };
        set(c"source", c"overlay")?;
        for (key, path) in directories(overlay) {
            let directory = self.open_noted(path)?;
            let mut name = Text::new(DESCRIPTORS.to_bytes())?;
            name.push(b"/")?;
            name.push_number(directory.as_raw_fd().cast_unsigned())?;
            set(key, name.as_c_str()?)?;
        }
        if overlay.userxattr {
            mount::set_flag(fs.as_fd(), c"userxattr").map_err(at(Call::SetOption))?;
        }
        mount::create(fs.as_fd()).map_err(at(Call::CreateFilesystem))
    }

    /// By mount(2), which takes one string of a page: short names leave room for as many layers as the
    /// kernel stacks.
    fn attach_joined(&mut self, overlay: &Overlay) -> Result<(), Stop> {
        let here = path::open(HERE, c".", FLAGS, Resolve::Host)?;
        let mut options = Text::new(b"")?;
        let mut last = c"";
        for (key, path) in directories(overlay) {
            // Closed by exec: the names count until the mount is made.
            let number = self.open_noted(path)?.into_raw_fd().cast_unsigned();
            if key == last {
                options.push(b":")?;
            } else {
                let name = match key.to_bytes() {
                    b"lowerdir+" => b"lowerdir",
                    name => name,
                };
                let comma: &[u8] = if last.is_empty() { b"" } else { b"," };
                [comma, name, b"="]
                    .into_iter()
                    .try_for_each(|part| options.push(part))?;
            }
            options.push_number(number)?;
            last = key;
        }
        if overlay.userxattr {
            options.push(b",userxattr")?;
        }
        path::change_dir(DESCRIPTORS)?;
        let made = mount::mount(c"overlay", &overlay.at, options.as_c_str()?);
        path::enter(here.as_fd())?;
        made.map_err(at(Call::CreateFilesystem))?;
        let root = path::open(HERE, &overlay.at, FLAGS, Resolve::Host);
        self.found.root = Some(root.map_err(at(Call::OpenTarget))?);
        Ok(())
    }

    /// Opens a directory of the host; its path is in the note if that cannot be done.
    fn open_noted(&mut self, path: &CStr) -> Result<OwnedFd, Stop> {
        path::open(HERE, path, FLAGS, Resolve::Host).map_err(|errno| {
            let path = path.to_bytes();
            let length = path.len().min(self.found.note.len());
            self.found.note[..length].copy_from_slice(&path[..length]);
            self.found.note_length = length;
            Stop::at(Call::OpenSource, errno)
        })
    }
}

/// The directories with the options that name them; `workdir` after its `upperdir`.
fn directories(overlay: &Overlay) -> impl Iterator<Item = (&'static CStr, &CStr)> {
    let layers = overlay
        .layers
        .iter()
        .map(|path| (c"lowerdir+", path.as_c_str()));
    let changes = overlay.changes.iter().flat_map(|(upper, work)| {
        [
            (c"upperdir", upper.as_c_str()),
            (c"workdir", work.as_c_str()),
        ]
    });
    layers.chain(changes)
}

fn at(call: Call) -> impl Fn(Errno) -> Stop {
    move |errno| Stop::at(call, errno)
}
