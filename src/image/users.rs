//! Users of an image, by its own /etc/passwd and /etc/group.
//!
//! Both files are the image's: a name in them may be a link, and they may be of any size or kind. They are
//! opened under the root's descriptor (a link stays inside; CVE-2024-9676: a fifo in their place neither
//! hangs nor counts), and numbers are read strictly (CVE-2024-40635: one that wraps to 0 is root).

use std::ffi::CStr;
use std::io::Read;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::sys::path;
use crate::sys::{errno, reason};

/// More than any passwd of an image has.
const MOST: u64 = 1 << 20;

/// `(uid_t) -1`, which means "none" to the kernel, is no user.
const NO_ID: u32 = u32::MAX;

/// The files as they were read; empty where an image has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    pub passwd: String,
    pub group: String,
}

/// Who the process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// `gid`, and the groups that have the user as a member. What is denied to a group is denied to who has
    /// it among these only (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// `/` where passwd knows none.
    pub home: String,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("the image's {file}: {}", reason(*.errno))]
    Read { file: &'static str, errno: Errno },
    #[error("the image's {0} is no regular file")]
    NotAFile(&'static str),
    #[error("the image's {file} has more than {MOST} bytes")]
    Large { file: &'static str },
    #[error("user {user:?}: the image's /etc/{file} has no {name:?}")]
    Unknown {
        user: String,
        file: &'static str,
        name: String,
    },
    #[error("user {user:?}: {number} is no id: 0 to 4294967294 are")]
    Number { user: String, number: String },
    #[error("user {0:?}: a name or a number is missing at the colon")]
    Empty(String),
}

impl Users {
    /// Reads the files below `root`.
    pub fn read(root: BorrowedFd<'_>) -> Result<Self, Error> {
        Ok(Self {
            passwd: read(root, c"etc/passwd", "/etc/passwd")?,
            group: read(root, c"etc/group", "/etc/group")?,
        })
    }

    /// Finds `user`: `name`, `uid`, or either with `:group` or `:gid` behind it; empty is root. A number that
    /// passwd does not know is a user all the same, of group 0 where none is given.
    pub fn find(&self, user: &str) -> Result<Identity, Error> {
        let (name, group) = match user.split_once(':') {
            Some((name, group)) if name.is_empty() || group.is_empty() => {
                return Err(Error::Empty(user.into()));
            }
            Some((name, group)) => (name, Some(group)),
            None if user.is_empty() => ("0", None),
            None => (user, None),
        };
        // A number is an id, whatever user has it for his name: an image's passwd could make it root.
        let (uid, line) = match number(name, user)? {
            Some(uid) => (uid, self.lines().find(|line| line.uid == uid)),
            None => {
                let line = self.lines().find(|line| line.name == name);
                let line = line.ok_or_else(|| unknown(user, "passwd", name))?;
                (line.uid, Some(line))
            }
        };
        let gid = match (group, &line) {
            (Some(group), _) => match number(group, user)? {
                Some(gid) => gid,
                None => {
                    let found = self.groups().find(|other| other.name == group);
                    found.ok_or_else(|| unknown(user, "group", group))?.gid
                }
            },
            (None, line) => line.as_ref().map_or(0, |line| line.gid),
        };
        // A group that is asked for stands for all of them, as for Docker.
        let groups = match (group, &line) {
            (None, Some(line)) => self.groups_of(line.name, gid),
            _ => vec![gid],
        };
        let home = line
            .map(|line| line.home)
            .filter(|home| home.starts_with('/'));
        Ok(Identity {
            uid,
            gid,
            groups,
            home: home.unwrap_or("/").into(),
        })
    }

    /// passwd(5); a line that is none is passed over, as libc does.
    fn lines(&self) -> impl Iterator<Item = User<'_>> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            Some(User {
                name: fields.first().filter(|name| !name.is_empty())?,
                uid: id(fields.get(2)?)?,
                gid: id(fields.get(3)?)?,
                home: fields.get(5).copied().unwrap_or_default(),
            })
        })
    }

    /// group(5).
    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            Some(Group {
                name: fields.next().filter(|name| !name.is_empty())?,
                gid: id(fields.nth(1)?)?,
                members: fields.next().unwrap_or_default(),
            })
        })
    }

    fn groups_of(&self, name: &str, gid: u32) -> Vec<u32> {
        let is_in = |group: &Group<'_>| group.members.split(',').any(|member| member == name);
        let others = self.groups().filter(is_in).map(|group| group.gid);
        let mut gids: Vec<u32> = std::iter::once(gid).chain(others).collect();
        gids.sort_unstable();
        gids.dedup();
        gids
    }
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn unknown(user: &str, file: &'static str, name: &str) -> Error {
    Error::Unknown {
        user: user.into(),
        file,
        name: name.into(),
    }
}

/// Digits alone, and an id.
fn id(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| plain && *id != NO_ID)
}

/// `None` where `text` is no number at all.
fn number(text: &str, user: &str) -> Result<Option<u32>, Error> {
    let looks = text.trim_start_matches(['+', '-']);
    if looks.is_empty() || !looks.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    id(text).map(Some).ok_or_else(|| Error::Number {
        user: user.into(),
        number: text.into(),
    })
}

fn read(root: BorrowedFd<'_>, path: &CStr, file: &'static str) -> Result<String, Error> {
    let fault = |errno| Error::Read { file, errno };
    let opened = match path::open_regular(root, path) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(String::new()),
        // A link around in circles: whatever it is, it is no list of users.
        Ok(None) | Err(Errno::ELOOP) => return Err(Error::NotAFile(file)),
        Ok(Some(opened)) => opened,
        Err(errno) => return Err(fault(errno)),
    };
    let mut text = Vec::new();
    let read = opened.take(MOST + 1).read_to_end(&mut text);
    read.map_err(|e| fault(errno(&e)))?;
    if text.len() as u64 > MOST {
        return Err(Error::Large { file });
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests;
