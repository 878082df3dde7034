//! A tree from the entries of a layer, made under one descriptor.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat, fstatat, mkdirat, mknodat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, getegid, geteuid, linkat, symlinkat, unlinkat};

use super::direct::{Direct, LARGE};
use super::dress::bits;
use super::error::Fault;
use super::leanings::Leanings;
use super::names::{self, Named};
use super::policy::{Devices, Form, Unpacking};
use super::tar::{Entry, Holes, Kind, Reader};
use super::walk::{Nothing, Walk, open_to_change};
use super::whiteouts::{Making, check_whiteout, is_overlay_whiteout};
use crate::image::Digest;
use crate::sys::{errno, sweep, xattr};

/// What came of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    pub entries: u64,
    /// Of files, with their holes.
    pub bytes: u64,
    pub dropped: Dropped,
    pub leanings: Leanings,
    /// Whether the layer says what its root is like; where none does, it is root's and open to read.
    pub describes_root: bool,
    /// What the layer removes of those below it: for [`Form::Flat`] alone.
    pub removed: Vec<Removed>,
}

/// What was left out, by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Entries that are the caller's and were another's.
    pub owners: u64,
    pub devices: u64,
    pub capabilities: u64,
    /// Labels of SELinux, and attributes that the file system does not have.
    pub xattrs: u64,
}

impl Dropped {
    /// A line of warning for each kind that there was.
    pub fn warn(&self, layer: &Digest) {
        for (count, what) in [
            (self.owners, "entries are the caller's and were another's"),
            (
                self.devices,
                "devices were left out, which only root can make",
            ),
            (
                self.capabilities,
                "capabilities of files were left out, which only root can give",
            ),
            (self.xattrs, "extended attributes were left out"),
        ] {
            if count > 0 {
                log::warn!("layer {layer}: {count} {what}");
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// By its path.
    Entry(Vec<u8>),
    /// All in a directory.
    Content(Vec<u8>),
}

pub(super) struct Writer<'a> {
    pub(super) how: &'a Unpacking,
    pub(super) walk: Walk,
    /// For targets of hard links, which are mostly elsewhere.
    targets: Walk,
    direct: Option<Direct>,
    pub(super) done: Unpacked,
    pub(super) own: (u32, u32),
    /// Whether modes are made as they are asked for; else each is set anew.
    pub(super) has_no_mask: bool,
}

impl<'a> Writer<'a> {
    /// `has_no_mask`: the caller's umask is 0.
    pub(super) fn new(
        into: BorrowedFd<'_>,
        how: &'a Unpacking,
        has_no_mask: bool,
    ) -> Result<Self, Fault> {
        // A default access list would change the modes of all that is made.
        match xattr::remove(into, c"system.posix_acl_default") {
            Ok(()) | Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::EBADF) => {}
            Err(errno) => return Err(Fault::call("remove the access list of the root")(errno)),
        }
        let mut walk = Walk::making(into)?;
        let root = walk.top_mut();
        fchmod(&root.dir, bits(0o755)).map_err(Fault::call("set the mode of the root"))?;
        root.time = Some(TimeSpec::new(0, 0));
        Ok(Self {
            how,
            walk,
            targets: Walk::looking(into)?,
            direct: Direct::on(into),
            done: Unpacked::default(),
            own: (geteuid().as_raw(), getegid().as_raw()),
            has_no_mask,
        })
    }

    /// Puts one entry into the tree, and what `content` has of it.
    pub(super) fn write(
        &mut self,
        entry: &Entry,
        content: &mut Reader<impl BufRead>,
    ) -> Result<(), Fault> {
        self.count(entry)?;
        match names::named(&entry.name)? {
            Named::Root => self.root(entry),
            Named::Removed(parents, name) => {
                check_whiteout(entry)?;
                self.enter(&parents)?;
                self.remove(&name)
            }
            Named::Opaque(dir) => {
                check_whiteout(entry)?;
                self.enter(&dir)?;
                self.hide_content()
            }
            Named::At(parents, name) => {
                self.enter(&parents)?;
                self.done.leanings.settle(|| self.walk.path(&name));
                match &entry.kind {
                    Kind::File(holes) => self.file(&name, entry, holes.as_ref(), content),
                    Kind::Directory => self.directory(name, entry),
                    Kind::Symlink(target) => self.symlink(&name, entry, target),
                    Kind::Link(target) => self.link(&name, target),
                    Kind::Fifo => self.node(&name, entry, SFlag::S_IFIFO, 0),
                    Kind::CharDevice(0, 0) => Err(Fault::WhiteoutDevice),
                    Kind::CharDevice(major, minor) => {
                        self.device(&name, entry, SFlag::S_IFCHR, (*major, *minor))
                    }
                    Kind::BlockDevice(major, minor) => {
                        self.device(&name, entry, SFlag::S_IFBLK, (*major, *minor))
                    }
                }
            }
        }
    }

    /// Gives the directories that are still open what they are to have.
    pub(super) fn finish(self) -> Result<Unpacked, Fault> {
        self.walk.finish()?;
        Ok(self.done)
    }

    /// Before anything of it is written.
    fn count(&mut self, entry: &Entry) -> Result<(), Fault> {
        let limits = &self.how.limits;
        self.done.entries += 1;
        if self.done.entries > limits.entries {
            return Err(Fault::Entries(limits.entries));
        }
        let size = match &entry.kind {
            // What reads a hole reads zeros, and what copies the file may write them.
            Kind::File(Some(holes)) => holes.size,
            _ => entry.size,
        };
        self.done.bytes = self.done.bytes.saturating_add(size);
        if self.done.bytes > limits.size {
            return Err(Fault::Size(limits.size));
        }
        Ok(())
    }

    fn enter(&mut self, parents: &[CString]) -> Result<(), Fault> {
        let mut making = Making {
            form: self.how.form,
            leanings: &mut self.done.leanings,
        };
        self.walk.enter(parents, &mut making).map(drop)
    }

    fn root(&mut self, entry: &Entry) -> Result<(), Fault> {
        // CVE-2021-29136: anything else would put itself in the place of the tree.
        if entry.kind != Kind::Directory {
            return Err(Fault::Root);
        }
        self.enter(&[])?;
        self.done.describes_root = true;
        self.dress_top(entry, true)
    }

    fn directory(&mut self, name: CString, entry: &Entry) -> Result<(), Fault> {
        // A directory of one that gives its group gives its own, too.
        let mut is_as_made = self.has_no_mask && !self.walk.top().gives_group;
        // Without privilege nothing could be made in one that its owner may not write to.
        let mode = bits(entry.mode & 0o1777) | Mode::S_IRWXU;
        loop {
            match mkdirat(self.walk.dir(), name.as_c_str(), mode) {
                Ok(()) => break,
                Err(Errno::EEXIST) => {
                    let stat = self.look(&name)?;
                    if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
                        is_as_made = false;
                        break;
                    }
                    self.clear(&name)?;
                    if self.how.form != Form::Flat && is_overlay_whiteout(&stat) {
                        // The layer removes what was there and has a directory of that name.
                        self.directory(name, entry)?;
                        return self.hide_content();
                    }
                }
                Err(errno) => return Err(Fault::call("make the directory")(errno)),
            }
        }
        self.walk.step(&name)?;
        self.dress_top(entry, !is_as_made || bits(entry.mode) != mode)
    }

    fn file(
        &mut self,
        name: &CStr,
        entry: &Entry,
        holes: Option<&Holes>,
        content: &mut Reader<impl BufRead>,
    ) -> Result<(), Fault> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // Set-id bits come last: until then the file is not what they are for.
        let mode = bits(entry.mode & 0o777);
        let file = loop {
            match openat(self.walk.dir(), name, flags, mode) {
                Ok(file) => break File::from(file),
                Err(Errno::EEXIST) => self.clear(name)?,
                Err(errno) => return Err(Fault::call("create")(errno)),
            }
        };
        match (holes, &mut self.direct) {
            (None, Some(direct)) if entry.size >= LARGE => direct.write(&file, content)?,
            (None, _) => write_all(&file, content)?,
            (Some(holes), _) => write_pieces(&file, holes, content)?,
        }
        self.dress_file(&file, entry)
    }

    fn symlink(&mut self, name: &CStr, entry: &Entry, target: &[u8]) -> Result<(), Fault> {
        let target = CString::new(target).map_err(|_| Fault::Link("a NUL in it"))?;
        if target.is_empty() {
            return Err(Fault::Link("it is empty"));
        }
        loop {
            match symlinkat(target.as_c_str(), self.walk.dir(), name) {
                Ok(()) => break,
                Err(Errno::EEXIST) => self.clear(name)?,
                Err(Errno::ENAMETOOLONG) => return Err(Fault::Link("longer than 4095 bytes")),
                Err(errno) => return Err(Fault::call("make the link")(errno)),
            }
        }
        self.dress_name(name, entry)
    }

    fn device(
        &mut self,
        name: &CStr,
        entry: &Entry,
        kind: SFlag,
        (major, minor): (u32, u32),
    ) -> Result<(), Fault> {
        match self.how.devices {
            Devices::Make => self.node(name, entry, kind, libc::makedev(major, minor)),
            Devices::Skip => {
                self.done.dropped.devices += 1;
                Ok(())
            }
            Devices::Refuse => Err(Fault::Device),
        }
    }

    fn node(&mut self, name: &CStr, entry: &Entry, kind: SFlag, device: u64) -> Result<(), Fault> {
        // Set-id bits of what cannot be executed mean nothing.
        let mode = bits(entry.mode & 0o1777);
        loop {
            match mknodat(self.walk.dir(), name, kind, mode, device) {
                Ok(()) => break,
                Err(Errno::EEXIST) => self.clear(name)?,
                Err(errno) => return Err(Fault::call("make the node")(errno)),
            }
        }
        if !self.has_no_mask {
            // Just made, and no link: nothing else knows the tree.
            let follow = FchmodatFlags::FollowSymlink;
            fchmodat(self.walk.dir(), name, mode, follow).map_err(Fault::call("set the mode"))?;
        }
        self.dress_name(name, entry)
    }

    fn link(&mut self, name: &CStr, target: &[u8]) -> Result<(), Fault> {
        let mut parts = names::parts(target)?;
        let target_name = parts.pop().ok_or(Fault::Link("to the root"))?;
        let found = match self.targets.enter(&parts, &mut Nothing)? {
            true => self.look_for_target(&target_name)?,
            false => None,
        };
        let Some(stat) = found else {
            self.clear_if_there(name)?;
            parts.push(target_name);
            let target: Vec<&[u8]> = parts.iter().map(|part| part.to_bytes()).collect();
            let target = target.join(&b'/');
            // What the layer has as a further name of another one is that one.
            let target = self.done.leanings.target(&target).unwrap_or(&target).into();
            let path = self.walk.path(name);
            return self.done.leanings.add_link(path, target);
        };
        if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
            return Err(Fault::Link("to a directory"));
        }
        if self.how.form != Form::Flat && is_overlay_whiteout(&stat) {
            return Err(Fault::Link("to what the layer removes"));
        }
        loop {
            let (from, to) = (self.targets.dir(), self.walk.dir());
            match linkat(from, target_name.as_c_str(), to, name, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                Err(Errno::EEXIST) => {
                    let there = self.look(name)?;
                    if (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino) {
                        return Ok(());
                    }
                    self.clear(name)?;
                }
                Err(errno) => return Err(Fault::call("link")(errno)),
            }
        }
    }

    fn look_for_target(&self, name: &CStr) -> Result<Option<libc::stat>, Fault> {
        match fstatat(self.targets.dir(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Fault::call("look at the target")(errno)),
        }
    }

    pub(super) fn look(&self, name: &CStr) -> Result<libc::stat, Fault> {
        fstatat(self.walk.dir(), name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(Fault::call("look at what is there"))
    }

    fn clear_if_there(&mut self, name: &CStr) -> Result<(), Fault> {
        match self.clear(name) {
            Err(Fault::Call {
                errno: Errno::ENOENT,
                ..
            }) => Ok(()),
            other => other,
        }
    }

    /// Removes what an earlier entry has left at the name of this one.
    fn clear(&mut self, name: &CStr) -> Result<(), Fault> {
        let act = Fault::call("remove what is there");
        match unlinkat(self.walk.dir(), name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR) => {}
            other => return other.map_err(act),
        }
        let dir = open_to_change(self.walk.dir(), name)?;
        sweep::empty(dir).map_err(&act)?;
        unlinkat(self.walk.dir(), name, UnlinkatFlags::RemoveDir).map_err(&act)?;
        self.targets.forget()?;
        let path = self.walk.path(name);
        self.done.leanings.forget(&path);
        Ok(())
    }
}

fn write_all(file: &File, content: &mut Reader<impl BufRead>) -> Result<(), Fault> {
    let mut file = file;
    loop {
        let bytes = content.content()?;
        let length = bytes.len();
        if length == 0 {
            return Ok(());
        }
        file.write_all(bytes)
            .map_err(|error| Fault::call("write")(errno(error)))?;
        content.consume(length);
    }
}

fn write_pieces(
    file: &File,
    holes: &Holes,
    content: &mut Reader<impl BufRead>,
) -> Result<(), Fault> {
    let act = |error: std::io::Error| Fault::call("write")(errno(error));
    for piece in &holes.pieces {
        let (mut at, mut left) = (piece.at, piece.length);
        while left > 0 {
            let bytes = content.content()?;
            if bytes.is_empty() {
                return Err(Fault::Cut);
            }
            let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.write_all_at(&bytes[..length], at).map_err(act)?;
            content.consume(length);
            at += length as u64;
            left -= length as u64;
        }
    }
    file.set_len(holes.size).map_err(act)
}
