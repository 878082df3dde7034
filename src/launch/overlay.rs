//! A root filesystem stacked of layers. All of this runs in the child.
//!
//! Layers are named to the kernel by descriptors, as `/proc/self/fd/N`: a path may be longer than
//! the 255 bytes that fsconfig(2) takes, or hold a colon, and inside nobody reads where they lie.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use nix::errno::Errno;

use super::child::Child;
use super::fault::{Call, Stop, words};
use super::target::Text;
use super::{Error, prepare};
use crate::plan::step::{Overlay, Step};
use crate::sys::mount;
use crate::sys::path::{self, HERE, Resolve};
use crate::sys::report::{Fault, NOTE};

const FLAGS: libc::c_int = libc::O_PATH | libc::O_DIRECTORY;

const DESCRIPTORS: &CStr = c"/proc/self/fd";

/// The kernel's own words about a fault, or what it is about.
pub(super) struct Note<'a> {
    pub(super) text: &'a mut [u8; NOTE],
    pub(super) length: &'a mut usize,
}

impl Child<'_> {
    pub(super) fn attach_overlay(&mut self, overlay: &Overlay) -> Result<(), Stop> {
        let note = Note {
            text: &mut self.found.note,
            length: &mut self.found.note_length,
        };
        self.found.root = Some(stack(overlay, note)?);
        Ok(())
    }
}

/// Stacks the layers and attaches them. In the container's own namespaces: the host has no mount that
/// could be left behind.
pub(super) fn stack(overlay: &Overlay, mut note: Note<'_>) -> Result<OwnedFd, Stop> {
    if !overlay.appends {
        return join(overlay, &mut note);
    }
    let fs = mount::fsopen(c"overlay").map_err(at(Call::OpenFilesystem))?;
    append(&fs, overlay, &mut note).inspect_err(|stop| {
        if stop.call != Call::OpenSource {
            *note.length = mount::complaint(fs.as_fd(), note.text).unwrap_or(0);
        }
    })?;
    let root = mount::fsmount(fs.as_fd(), 0).map_err(at(Call::MountFilesystem))?;
    let place = path::open(HERE, &overlay.at, FLAGS, Resolve::Host);
    let place = place.map_err(at(Call::OpenTarget))?;
    mount::attach(root.as_fd(), place.as_fd()).map_err(at(Call::Attach))?;
    Ok(root)
}

fn append(fs: &OwnedFd, overlay: &Overlay, note: &mut Note<'_>) -> Result<(), Stop> {
    let set =
        |key, value: &CStr| mount::set_value(fs.as_fd(), key, value).map_err(at(Call::SetOption));
    set(c"source", c"overlay")?;
    for (key, path) in directories(overlay) {
        let directory = open_noted(path, note)?;
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

/// By mount(2), which takes one string of a page: short names leave room for as many layers as the kernel
/// stacks.
fn join(overlay: &Overlay, note: &mut Note<'_>) -> Result<OwnedFd, Stop> {
    let here = path::open(HERE, c".", FLAGS, Resolve::Host)?;
    let mut options = Text::new(b"")?;
    let mut last = c"";
    for (key, path) in directories(overlay) {
        // Closed by exec: the names count until the mount is made.
        let number = open_noted(path, note)?.into_raw_fd().cast_unsigned();
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
    path::open(HERE, &overlay.at, FLAGS, Resolve::Host).map_err(at(Call::OpenTarget))
}

/// Opens a directory of the host; its path is in the note if that cannot be done.
fn open_noted(path: &CStr, note: &mut Note<'_>) -> Result<OwnedFd, Stop> {
    path::open(HERE, path, FLAGS, Resolve::Host).map_err(|errno| {
        let path = path.to_bytes();
        let length = path.len().min(note.text.len());
        note.text[..length].copy_from_slice(&path[..length]);
        *note.length = length;
        Stop::at(Call::OpenSource, errno)
    })
}

/// Stacks the layers as a child would, and has `look` see their root. For a process that ends soon, in mount
/// and user namespaces of its own.
pub fn try_stack<T>(
    overlay: Overlay,
    look: impl FnOnce(BorrowedFd<'_>) -> T,
) -> Result<T, Unstacked> {
    let (mut text, mut length) = ([0; NOTE], 0);
    let note = Note {
        text: &mut text,
        length: &mut length,
    };
    let place = overlay.at.clone();
    let stacked = stack(&overlay, note);
    let root = stacked.map_err(|stop| {
        let is_refusal = refuses(&stop);
        let fault = Fault {
            step: 0,
            call: stop.call as u32,
            number: stop.number,
            note: text[..length].to_vec(),
        };
        let words = words(&Step::AttachOverlay(overlay), &fault);
        match is_refusal {
            true => Unstacked::Refused(words),
            false => Unstacked::Failed(Error::Fault(words)),
        }
    })?;
    let seen = look(root.as_fd());
    drop(root);
    // At once: the upper directory is wanted for the container's own mount.
    mount::detach(&place)
        .map_err(prepare("take the layers apart"))
        .map_err(Unstacked::Failed)?;
    Ok(seen)
}

/// Why layers are not stacked.
#[derive(Debug)]
pub enum Unstacked {
    /// The kernel does not stack these here, whoever asks and how often; in words.
    Refused(String),
    /// Something was in the way.
    Failed(Error),
}

/// It has no overlay, or none for users, or not of such directories.
fn refuses(stop: &Stop) -> bool {
    let is_kernels = matches!(
        stop.call,
        Call::OpenFilesystem | Call::SetOption | Call::CreateFilesystem | Call::MountFilesystem
    );
    let refusals = [Errno::ENODEV, Errno::EINVAL, Errno::EPERM];
    is_kernels && refusals.iter().any(|errno| *errno as i32 == stop.number)
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
