//! Removing groups: by rmdir alone, so that nothing but an empty group can go.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::Error;
use super::directory::Directory;

/// How long a group may stay busy: its processes are killed, and are still being buried.
const PATIENCE: Duration = Duration::from_secs(2);

/// Removes the group at `path` and the groups below it. What is gone is removed.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::NotAGroup { path: path.into() });
    };
    let Some(above) = Directory::open(above)? else {
        return Ok(());
    };
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(100);
    loop {
        match above.remove_below(name) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => return Ok(()),
            Err(Errno::EBUSY) if Instant::now() < deadline => {}
            Err(errno) => return Err(Error::call("remove the group", path)(errno)),
        }
        // EBUSY is said of groups below and of processes alike.
        if let Some(group) = above.below(name)?
            && remove_below(&group)?
        {
            continue;
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Removes what can be removed below `group`, leaves first. Whether anything was.
fn remove_below(group: &Directory) -> Result<bool, Error> {
    let mut removed = false;
    group.walk(|above, name, _| {
        removed |= above.remove_below(name).is_ok();
        Ok(())
    })?;
    Ok(removed)
}
