//! What the v2 hierarchy gives every container, whether or not its controllers are there: a way in,
//! an end for all, and the freezer.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Error;
use super::directory::Directory;
use crate::sys::errno;

/// How long a freeze may take: a process in uninterruptible sleep stops only when that ends.
pub(super) const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

/// SIGKILL to all, in one write (`cgroup.kill`, Linux 5.14).
pub(super) fn kill_all(group: &Directory) -> Result<(), Error> {
    match group.write("cgroup.kill", "1") {
        Ok(()) | Err(Errno::ENODEV) => Ok(()),
        // An older kernel, or a threaded group, which cannot be killed so; or the group is gone.
        Err(Errno::ENOENT | Errno::EOPNOTSUPP) => kill_each(group, freeze, thaw),
        Err(errno) => Err(Error::call("write", group.path().join("cgroup.kill"))(
            errno,
        )),
    }
}

/// SIGKILL to each, while they are frozen, so that none forks meanwhile. Where the freezer fails
/// they are killed until nobody new turns up.
pub(super) fn kill_each(
    group: &Directory,
    freeze: impl Fn(&Directory) -> Result<(), Error>,
    thaw: impl Fn(&Directory) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut killed: Vec<i32> = Vec::new();
    loop {
        let frozen = freeze(group).is_ok();
        let mut members = group.all_members()?;
        // 0 is a process that this pid namespace cannot name; kill(0) would be our own group.
        members.retain(|pid| *pid > 0 && !killed.contains(pid));
        for pid in &members {
            match kill(Pid::from_raw(*pid), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::call("kill all in", group.path())(errno)),
            }
        }
        thaw(group)?;
        if frozen || members.is_empty() {
            return Ok(());
        }
        killed.extend(members);
    }
}

/// Stops all and waits for it (`cgroup.freeze`, Linux 5.2).
pub(super) fn freeze(group: &Directory) -> Result<(), Error> {
    let fault = |name: &str| Error::call("freeze by", group.path().join(name));
    group
        .write("cgroup.freeze", "1")
        .map_err(fault("cgroup.freeze"))?;
    let deadline = Instant::now() + FREEZE_PATIENCE;
    loop {
        // Opened and read before the wait: a change after the read wakes it.
        let events = group.open_file("cgroup.events", OFlag::O_RDONLY);
        let mut events = events.map_err(fault("cgroup.events"))?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut events, &mut text)
            .map_err(|e| fault("cgroup.events")(errno(e)))?;
        if value_of(&text, "frozen") == Some(1) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut wait = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut wait, timeout) {
            Ok(0) => {
                thaw(group)?;
                return Err(restless(group));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(fault("cgroup.events")(errno)),
        }
    }
}

pub(super) fn restless(group: &Directory) -> Error {
    Error::Restless {
        path: group.path().into(),
        seconds: FREEZE_PATIENCE.as_secs(),
    }
}

pub(super) fn thaw(group: &Directory) -> Result<(), Error> {
    match group.write("cgroup.freeze", "0") {
        // Gone, or a kernel without a v2 freezer: nobody is frozen.
        Ok(()) | Err(Errno::ENODEV | Errno::ENOENT) => Ok(()),
        Err(errno) => Err(Error::call("thaw by", group.path().join("cgroup.freeze"))(
            errno,
        )),
    }
}

pub(super) fn is_frozen(group: &Directory) -> Result<bool, Error> {
    match group.read("cgroup.freeze") {
        Ok(text) => Ok(text.trim() == "1"),
        // Gone, or a kernel before 5.2.
        Err(Errno::ENODEV | Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Error::call("read", group.path().join("cgroup.freeze"))(
            errno,
        )),
    }
}

/// The number beside `key` in a file of `key number` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(name, value)| (name == key).then(|| value.trim().parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_key() {
        let text = "low 0\noom 2\noom_kill 3\noom_group_kill 4\n";
        assert_eq!(value_of(text, "oom_kill"), Some(3));
        assert_eq!(value_of(text, "oom"), Some(2));
        assert_eq!(value_of(text, "kill"), None);
        assert_eq!(value_of("oom_kill x", "oom_kill"), None);
    }
}
