//! Archives of images: a tar file whose members are read where they lie, without unpacking it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::oci::Files;
use super::{Content, Error};
use crate::image::layer::tar::{Kind, Reader};
use crate::sys::errno;

/// No archive of images has more members: their names are kept in memory.
const MOST_MEMBERS: usize = 1 << 16;

/// No link in it leads to a link more often: old `docker save` links once.
const MOST_LINKS: usize = 4;

/// An archive with the places of its members.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<File>,
    path: PathBuf,
    members: HashMap<String, Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    File {
        at: u64,
        size: u64,
    },
    /// To a name of the archive.
    Link(String),
}

/// Makes a file without a name, for what cannot be read where it lies.
pub type Spool<'a> = &'a dyn Fn() -> Result<File, super::Error>;

impl Archive {
    /// Finds the members of the archive at `path`; `-` is the standard input. What is compressed, or no
    /// file at all, is spooled first.
    pub(super) fn open(path: &Path, spool: Spool<'_>) -> Result<Self, Error> {
        let input = match path == Path::new("-") {
            true => {
                let own = nix::unistd::dup(io::stdin())
                    .map_err(|errno| Error::call(path, "open", errno))?;
                File::from(own)
            }
            false => File::options()
                .read(true)
                .open(path)
                .map_err(|error| Error::call(path, "open", errno(error)))?,
        };
        let fault = |act| move |error: io::Error| Error::call(path, act, errno(error));
        let kind = input.metadata().map_err(fault("look at"))?.file_type();
        if kind.is_dir() {
            return Err(Error::call(path, "read", nix::errno::Errno::EISDIR));
        }
        let file = match kind.is_file() {
            true if packing(&input).map_err(fault("read"))? == Packing::None => input,
            _ => spooled(input, path, spool)?,
        };
        let members = members(&file, path)?;
        Ok(Self {
            file: Arc::new(file),
            path: path.into(),
            members,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Where a member lies, and its size.
    pub(super) fn find(&self, name: &str) -> Result<(u64, u64), Error> {
        // As the names of members are kept.
        let mut name = name.trim_start_matches("./");
        for _ in 0..=MOST_LINKS {
            match self.members.get(name) {
                Some(Member::File { at, size }) => return Ok((*at, *size)),
                Some(Member::Link(target)) => name = target,
                None => break,
            }
        }
        Err(Error::call(
            &self.path.join(name),
            "open",
            nix::errno::Errno::ENOENT,
        ))
    }

    pub(super) fn section(&self, (at, size): (u64, u64)) -> Section {
        Section {
            file: Arc::clone(&self.file),
            at,
            left: size,
        }
    }
}

impl Files for Archive {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, name: &str) -> Result<Content, Error> {
        let place = self.find(name)?;
        Ok(Content {
            reader: Box::new(self.section(place)),
            size: place.1,
        })
    }
}

/// A part of the file, for several readers at once.
#[derive(Debug)]
pub(super) struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(most);
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            // RFC 1952, 2.3.1; RFC 8878, 3.1.1.
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

fn packing(file: &File) -> io::Result<Packing> {
    let mut start = [0; 4];
    let read = file.read_at(&mut start, 0)?;
    Ok(Packing::of(&start[..read]))
}

fn spooled(input: File, path: &Path, spool: Spool<'_>) -> Result<File, Error> {
    let fault = |error: io::Error| Error::Unpack {
        path: path.into(),
        cause: error,
    };
    let mut start = Vec::new();
    let mut input = input;
    (&mut input)
        .take(4)
        .read_to_end(&mut start)
        .map_err(fault)?;
    let packing = Packing::of(&start);
    let input = BufReader::with_capacity(1 << 16, io::Cursor::new(start).chain(input));
    let mut file = spool()?;
    let copied = match packing {
        Packing::None => io::copy(&mut { input }, &mut file),
        Packing::Gzip => io::copy(&mut flate2::bufread::MultiGzDecoder::new(input), &mut file),
        Packing::Zstd => zstd::stream::read::Decoder::with_buffer(input)
            .and_then(|mut decoder| io::copy(&mut decoder, &mut file)),
    };
    copied.map_err(fault)?;
    file.seek(SeekFrom::Start(0)).map_err(fault)?;
    Ok(file)
}

fn members(file: &File, path: &Path) -> Result<HashMap<String, Member>, Error> {
    let end = file
        .metadata()
        .map_err(|error| Error::call(path, "look at", errno(error)))?
        .len();
    // Headers lie far apart: little is read that is not needed.
    let mut reader = Reader::new(BufReader::with_capacity(4096, file));
    let mut found = HashMap::new();
    loop {
        let entry = reader
            .next_entry()
            .map_err(|cause| Error::archive(path, &reader.place(), cause))?;
        let Some(entry) = entry else { break };
        let Ok(name) = String::from_utf8(entry.name) else {
            continue; // none that we ask for
        };
        let name = name.trim_start_matches("./").to_owned();
        let member = match entry.kind {
            Kind::File(None) => {
                let at = reader.position();
                if at.checked_add(entry.size).is_none_or(|after| after > end) {
                    let cause = crate::image::layer::Fault::Cut;
                    return Err(Error::archive(path, &reader.place(), cause));
                }
                Member::File {
                    at,
                    size: entry.size,
                }
            }
            Kind::Symlink(target) => Member::Link(linked(&name, &target)),
            Kind::Link(target) => Member::Link(linked("", &target)),
            _ => continue,
        };
        reader
            .seek_over()
            .map_err(|error| Error::call(path, "read", errno(error)))?;
        if found.len() == MOST_MEMBERS {
            return Err(Error::ManyMembers(path.into()));
        }
        // Which of two of one name is meant, readers do not agree on.
        if found.insert(name.clone(), member).is_some() {
            return Err(Error::Twice {
                path: path.into(),
                name,
            });
        }
    }
    Ok(found)
}

/// Where a link in the member `name` leads, as a name of the archive: nothing is opened by it but members.
fn linked(name: &str, target: &[u8]) -> String {
    let target = String::from_utf8_lossy(target);
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_member() {
        for (name, target, member) in [
            ("b/layer.tar", "../a/layer.tar", "a/layer.tar"),
            ("b/layer.tar", "x.tar", "b/x.tar"),
            ("layer.tar", "../../etc/passwd", "etc/passwd"),
            ("", "a/layer.tar", "a/layer.tar"),
        ] {
            assert_eq!(linked(name, target.as_bytes()), member, "{name} {target}");
        }
    }

    #[test]
    fn what_a_file_is_packed_in_is_seen_at_its_beginning() {
        assert_eq!(Packing::of(&[0x1f, 0x8b, 8, 0]), Packing::Gzip);
        assert_eq!(Packing::of(&[0x28, 0xb5, 0x2f, 0xfd]), Packing::Zstd);
        assert_eq!(Packing::of(b"oci-"), Packing::None);
        assert_eq!(Packing::of(&[0x1f]), Packing::None);
    }
}
