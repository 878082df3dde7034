//! Waiting for descriptors, with a bound. May run in the child.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::checked;

/// The most descriptors one call takes.
const MOST: usize = 6;

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Read,
    Write,
}

pub type Source<'a> = (BorrowedFd<'a>, Want);

/// Waits until one of `fds` can be read or has ended; bit n of the answer stands for the nth, and
/// no bit for the time being over. Without `timeout` it waits for ever.
pub fn wait(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> Result<u32, Errno> {
    wait_each(fds.iter().map(|fd| (*fd, Want::Read)), timeout)
}

/// [`wait`], for each descriptor to be read or to be written to.
pub fn wait_for(sources: &[Source<'_>], timeout: Option<Duration>) -> Result<u32, Errno> {
    wait_each(sources.iter().copied(), timeout)
}

fn wait_each<'a>(
    sources: impl ExactSizeIterator<Item = Source<'a>>,
    timeout: Option<Duration>,
) -> Result<u32, Errno> {
    let mut list = [libc::pollfd {
        fd: -1,
        events: 0,
        revents: 0,
    }; MOST];
    let count = sources.len().min(MOST);
    for (entry, (fd, want)) in list.iter_mut().zip(sources) {
        entry.fd = fd.as_raw_fd();
        entry.events = match want {
            Want::Read => libc::POLLIN,
            Want::Write => libc::POLLOUT,
        };
    }
    let mut limit = timeout.map(|time| libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    });
    let limit = limit
        .as_mut()
        .map_or(std::ptr::null_mut(), std::ptr::from_mut);
    // SAFETY: `count` entries of `list` are valid, and `limit` is null or outlives the call.
    let result = checked(unsafe {
        libc::syscall(
            libc::SYS_ppoll,
            list.as_mut_ptr(),
            count,
            limit,
            std::ptr::null::<u8>(),
            8,
        )
    });
    match result {
        Err(Errno::EINTR) => Ok(0),
        Err(errno) => Err(errno),
        Ok(_) => {
            let ready = list[..count].iter().enumerate();
            Ok(ready.fold(0, |bits, (n, entry)| {
                bits | u32::from(entry.revents != 0) << n
            }))
        }
    }
}

/// Waits for nothing but time.
pub fn pause(time: Duration) {
    // With no descriptor there is nothing else to be told.
    let _ = wait(&[], Some(time));
}

/// A span of time that runs from when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    end: Option<Duration>,
}

/// The monotonic clock, read without the vDSO's help from glibc.
fn now() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: there is room for one timespec; the monotonic clock always exists.
    let time = unsafe {
        libc::syscall(
            libc::SYS_clock_gettime,
            libc::CLOCK_MONOTONIC,
            time.as_mut_ptr(),
        );
        time.assume_init()
    };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Clock {
    /// `None` never ends.
    pub fn start(span: Option<Duration>) -> Self {
        Self {
            end: span.and_then(|span| now().checked_add(span)),
        }
    }

    /// What is left, to be given to [`wait`]; `None` when it is over.
    #[allow(
        clippy::option_option,
        reason = "over, endless and a span are three answers"
    )]
    pub fn left(self) -> Option<Option<Duration>> {
        match self.end {
            None => Some(None),
            Some(end) => end
                .checked_sub(now())
                .filter(|left| !left.is_zero())
                .map(Some),
        }
    }
}
