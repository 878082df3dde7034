//! What the kernel says of a process by its number (proc_pid_stat(5)).

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};

/// Two fields of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 3: `R`, `S`, `Z` and the like.
    pub state: u8,
    /// Field 22: clock ticks from boot to the start. With the number it names one process, since
    /// numbers are given out again.
    pub start_time: u64,
}

impl Stat {
    /// Whether the process has ended: only its parent's wait is still to come.
    pub fn is_dead(self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Asks for process `pid`; `None` when there is none.
pub fn stat(pid: i32) -> io::Result<Option<Stat>> {
    // The fields up to the 22nd are shorter: a name of at most 64 bytes and twenty numbers.
    let mut buffer = [0; 1024];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut f| f.read(&mut buffer));
    let length = match read {
        Ok(length) => length,
        // The process may end between open and read: then it is ESRCH.
        Err(e) if e.kind() == ErrorKind::NotFound || e.raw_os_error() == Some(libc::ESRCH) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    parse(&buffer[..length])
        .map(Some)
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "not the form of proc_pid_stat(5)"))
}

/// When process `pid` started, in clock ticks since boot; `None` when there is none.
pub fn start_time(pid: i32) -> io::Result<Option<u64>> {
    Ok(stat(pid)?.map(|s| s.start_time))
}

/// This process's effective user as the user namespace above ours knows it: in the first one itself.
pub fn outer_uid() -> u32 {
    let own = nix::unistd::geteuid().as_raw();
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    mapped(&map, own).unwrap_or(own)
}

/// Whether this user namespace has the id: `map` is `uid_map` or `gid_map`.
pub fn has_id(map: &str, id: u32) -> bool {
    let map = fs::read_to_string(format!("/proc/self/{map}")).unwrap_or_default();
    mapped(&map, id).is_some()
}

/// By lines of `inside outside count` (user_namespaces(7)).
fn mapped(map: &str, inside: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        let (first, outside, count) = (next()?, next()?, next()?);
        let offset = inside.checked_sub(first).filter(|n| *n < count)?;
        outside.checked_add(offset)
    })
}

/// The second field is the name in parentheses, and a name may hold anything, parentheses and
/// line ends included: what follows the last `)` is the third field.
fn parse(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|b| *b == b')')?;
    let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let tail = "S 1 2 3 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 4711 999 0";
        for name in ["sh", "a b", ")", ") Z 1", "((", "a\n) S 9 9", "\u{fc}"] {
            let text = format!("77 ({name}) {tail}\n");
            let seen = parse(text.as_bytes()).unwrap();
            assert_eq!((seen.state, seen.start_time), (b'S', 4711), "{name:?}");
        }
        assert_eq!(parse(b"77 (\xff\xfe) S 1 2 3"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_process_keeps_its_start_time_and_a_missing_one_has_none() {
        let own = i32::try_from(std::process::id()).unwrap();
        let first = start_time(own).unwrap().unwrap();
        assert_eq!(start_time(own).unwrap(), Some(first));
        assert!(!stat(own).unwrap().unwrap().is_dead());
        assert_eq!(stat(i32::MAX).unwrap(), None);
    }

    #[test]
    fn a_user_is_found_in_the_map_of_the_namespace() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        for (inside, outside) in [(0, Some(1000)), (1, Some(100_000)), (33, Some(100_032))] {
            assert_eq!(mapped(map, inside), outside);
        }
        assert_eq!(mapped(map, 65537), None);
        assert_eq!(mapped("0 0 4294967295\n", 7), Some(7));
    }

    #[test]
    fn a_zombie_is_dead() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let is_dead = || stat(pid).unwrap().unwrap().is_dead();
        let patience = (0..1000).take_while(|_| !is_dead());
        patience.for_each(|_| std::thread::sleep(std::time::Duration::from_millis(2)));
        assert!(is_dead());
        child.wait().unwrap();
        assert_eq!(stat(pid).unwrap(), None);
    }
}
