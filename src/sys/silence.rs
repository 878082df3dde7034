//! Nothing instead of the standard output, for a child.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::exec::duplicate;
use super::path::{HERE, Resolve, open, standard};

/// While it is held, /dev/null is in the place of stdout and stderr.
#[derive(Debug)]
pub struct Silence {
    /// Closed at exec: no child has them.
    kept: [OwnedFd; 2],
}

impl Silence {
    pub fn begin() -> Result<Self, Errno> {
        let keep = |number| standard(number).try_clone_to_owned();
        let errno = |e| super::errno(&e);
        let kept = [keep(1).map_err(errno)?, keep(2).map_err(errno)?];
        let silence = Self { kept };
        let null = open(HERE, c"/dev/null", libc::O_RDWR, Resolve::Host)?;
        duplicate(null.as_fd(), 1)?;
        duplicate(null.as_fd(), 2)?;
        Ok(silence)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        for (fd, number) in self.kept.iter().zip(1..) {
            // Of two open descriptors the kernel makes one.
            let _ = duplicate(fd.as_fd(), number);
        }
    }
}
