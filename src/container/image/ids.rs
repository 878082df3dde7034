//! Which ids the containers of a user have.

use std::fs;

use nix::unistd::{getegid, geteuid};

use crate::spec::container::{IdMap, IdMaps};

/// The user is root inside. What /etc/subuid and /etc/subgid give him follows, if the programs that may map
/// it are there (newuidmap(1)).
pub(super) fn of_user() -> IdMaps {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let name = name_of(uid, &read("/etc/passwd"));
    let ranges = |path| match is_installed("newuidmap") && is_installed("newgidmap") {
        true => ranges(&read(path), &name, uid),
        false => Vec::new(),
    };
    let (uids, gids) = (ranges("/etc/subuid"), ranges("/etc/subgid"));
    // With users and no groups a file could not be given to a user of an image.
    let (uids, gids) = match uids.is_empty() || gids.is_empty() {
        true => (Vec::new(), Vec::new()),
        false => (uids, gids),
    };
    IdMaps {
        uids: with_root(uid, uids),
        gids: with_root(gid, gids),
    }
}

/// Root first, and the ranges one after the other.
fn with_root(own: u32, ranges: Vec<(u32, u32)>) -> Vec<IdMap> {
    let mut maps = vec![IdMap {
        container: 0,
        host: own,
        size: 1,
    }];
    let mut next = 1;
    for (host, size) in ranges {
        let size = size.min(u32::MAX - next);
        maps.push(IdMap {
            container: next,
            host,
            size,
        });
        next += size;
    }
    maps
}

/// Lines `user:first:count` (subuid(5)), where the user is a name or a number.
fn ranges(text: &str, name: &str, uid: u32) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.split(':');
        let user = fields.next()?;
        let range = (
            fields.next()?.parse().ok()?,
            fields.next()?.trim().parse().ok()?,
        );
        (range.1 > 0 && (user == number || (user == name && !name.is_empty()))).then_some(range)
    };
    text.lines().filter_map(range).collect()
}

fn name_of(uid: u32, passwd: &str) -> String {
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    name.unwrap_or_default().into()
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_a_user_are_his_by_name_or_number() {
        let text = "web:100000:65536\n1000:300000:10\nother:1:1\nweb:x:1\nweb:5:0\n";
        assert_eq!(ranges(text, "web", 33), [(100_000, 65536)]);
        assert_eq!(ranges(text, "", 1000), [(300_000, 10)]);
        assert_eq!(ranges(text, "", 7), []);
        assert_eq!(name_of(33, "root:x:0:0\nweb:x:33:33\n"), "web");
        let maps = with_root(7, vec![(100, 5), (200, 9)]);
        let lines = crate::spec::container::map_text(&maps);
        assert_eq!(lines, "0 7 1\n1 100 5\n6 200 9\n");
    }
}
