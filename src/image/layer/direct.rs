//! Large files, written past the page cache.
//!
//! A page that the kernel has not had before is dear where a hypervisor takes free ones back: on such a
//! machine 4 MiB files were written to ext4 with 90 to 160 MB/s through the page cache and with 330 to 720
//! MB/s past it. What is written once and read later, if ever, has no need of it; a file that runs is read in by
//! parts. Small files are better off in the cache, where many go to the disk together.

use std::fs::File;
use std::io::BufRead;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::error::Fault;
use super::tar::Reader;
use crate::sys::{errno, path};

/// From here on a file is large.
pub(super) const LARGE: u64 = 1 << 20;

/// Bytes of one write.
const LENGTH: usize = 1 << 20;

/// What a page and every block device that is in use divide.
const ALIGNMENT: usize = 4096;

/// A buffer whose bytes begin at a page.
#[derive(Debug)]
pub(super) struct Direct {
    bytes: Vec<u8>,
    start: usize,
}

impl Direct {
    /// `None` where there is no gain to be had or none is known: a tmpfs is nothing but page cache.
    pub(super) fn on(dir: BorrowedFd<'_>) -> Option<Self> {
        let has_gain = [libc::EXT4_SUPER_MAGIC, libc::XFS_SUPER_MAGIC];
        let kind = path::filesystem(dir).ok()?;
        if !has_gain.contains(&kind) {
            return None;
        }
        Some(Self::new())
    }

    fn new() -> Self {
        let bytes = vec![0; LENGTH + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Self { bytes, start }
    }

    /// Writes the content of an entry to a file that was just made.
    pub(super) fn write(
        &mut self,
        file: &File,
        content: &mut Reader<impl BufRead>,
    ) -> Result<(), Fault> {
        let mut is_direct = set(file, OFlag::O_DIRECT).is_ok();
        let mut at = 0;
        loop {
            let length = self.fill(content)?;
            let bytes = &self.bytes[self.start..self.start + length];
            let whole = length - length % ALIGNMENT;
            // The end of a file, which is no whole block, goes the other way.
            for (part, wants_direct) in [(&bytes[..whole], true), (&bytes[whole..], false)] {
                if is_direct && !wants_direct && !part.is_empty() {
                    set(file, OFlag::empty())?;
                    is_direct = false;
                }
                match file.write_all_at(part, at).map_err(errno) {
                    Ok(()) => {}
                    // It wants larger blocks.
                    Err(Errno::EINVAL) if is_direct => {
                        set(file, OFlag::empty())?;
                        is_direct = false;
                        let again = file.write_all_at(part, at);
                        again.map_err(|error| Fault::call("write")(errno(error)))?;
                    }
                    Err(errno) => return Err(Fault::call("write")(errno)),
                }
                at += part.len() as u64;
            }
            if length < LENGTH {
                return Ok(());
            }
        }
    }

    /// Takes what comes next; less than all that has room at the end alone.
    fn fill(&mut self, content: &mut Reader<impl BufRead>) -> Result<usize, Fault> {
        let mut length = 0;
        while length < LENGTH {
            let bytes = content.content()?;
            let taken = bytes.len().min(LENGTH - length);
            if taken == 0 {
                break;
            }
            let at = self.start + length;
            self.bytes[at..at + taken].copy_from_slice(&bytes[..taken]);
            content.consume(taken);
            length += taken;
        }
        Ok(length)
    }
}

/// Of the flags that can be set, a file that was just made has none.
fn set(file: &File, flags: OFlag) -> Result<(), Fault> {
    fcntl(file, FcntlArg::F_SETFL(flags))
        .map(drop)
        .map_err(Fault::call("set how the file is written"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use std::fs;

    use super::*;

    #[test]
    fn a_file_of_any_length_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut direct = Direct::new();
        let lengths = [
            0,
            1,
            4095,
            4096,
            4097,
            LENGTH - 1,
            LENGTH,
            LENGTH + 1,
            3 * LENGTH + 5000,
        ];
        for length in lengths {
            let content: Vec<u8> = (0..length)
                .map(|at| u8::try_from(at / 7 % 251).unwrap())
                .collect();
            let mut header = tar::Header::new_gnu();
            header.set_size(length as u64);
            let mut archive = tar::Builder::new(Vec::new());
            archive
                .append_data(&mut header, "file", &content[..])
                .unwrap();
            let archive = archive.into_inner().unwrap();
            let mut reader = Reader::new(&archive[..]);
            reader.next_entry().unwrap().unwrap();

            let path = dir.path().join(length.to_string());
            direct
                .write(&File::create(&path).unwrap(), &mut reader)
                .unwrap();
            assert!(fs::read(&path).unwrap() == content, "{length}");
            assert!(reader.next_entry().unwrap().is_none());
        }
    }
}
