//! Carries the listener of a seccomp filter to whoever made the process that loads it.
//!
//! Who is under a filter may be unable to make a single call before somebody answers at the listener,
//! `sendmsg` and `exit_group` among them. So a second thread is there before the filter, which holds for
//! the thread that loads it alone: it sends the listener and is gone before the program is executed.

use std::cell::UnsafeCell;
use std::hint;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;

use super::{channel, seccomp};

/// Enough for `sendmsg` and a few frames of a build without optimisation.
const STACK: usize = 64 * 1024;

/// In [`Post`]: nothing is known yet.
const PENDING: i32 = i32::MAX;

/// Room for the thread; made before the clone, as the child allocates nothing.
pub struct Courier(Box<Post>);

struct Post {
    socket: AtomicI32,
    /// What comes along with the listener.
    byte: u8,
    /// The listener, or a negative errno where there is none.
    listener: AtomicI32,
    /// 0 when the listener is sent, or an errno.
    sent: AtomicI32,
    stack: UnsafeCell<[u8; STACK]>,
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}

impl Courier {
    /// `byte` tells the receiver what comes.
    pub fn new(byte: u8) -> Self {
        Self(Box::new(Post {
            socket: AtomicI32::new(-1),
            byte,
            listener: AtomicI32::new(PENDING),
            sent: AtomicI32::new(PENDING),
            stack: UnsafeCell::new([0; STACK]),
        }))
    }

    /// Starts the thread that will send the listener to `socket`. `EAGAIN`: `pids.max` or RLIMIT_NPROC
    /// leaves no room for it. May run in the child, once, before [`Courier::load_filter`].
    pub fn start(&self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        let post = &*self.0;
        post.socket.store(socket.as_raw_fd(), Ordering::Relaxed);
        let kind = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM;
        // SAFETY: `carry` runs on a stack of its own, of which this is the 16-byte aligned top, and with
        // `post`; both live until exec or exit, which end the thread. The two threads share what libc
        // keeps for one: here it is errno alone, and this one makes no call that can fail while that
        // one makes any.
        let thread = unsafe {
            let top = post.stack.get().cast::<u8>().add(STACK);
            let top = top.sub(top.addr() % 16);
            libc::clone(
                carry,
                top.cast(),
                kind,
                std::ptr::from_ref(post).cast_mut().cast(),
            )
        };
        Errno::result(thread).map(drop)
    }

    /// Loads a filter with flags that ask for a listener, and returns when that is sent. The listener
    /// stays open here until exec; where it could not be sent it is closed, and the kernel answers
    /// `ENOSYS` in its place. May run in the child.
    pub fn load_filter(&self, program: &[libc::sock_filter], flags: u32) -> Result<(), Errno> {
        let post = &*self.0;
        let loaded = seccomp::load_filter(program, flags);
        let answer = match loaded {
            Ok(number) => i32::try_from(number).unwrap_or(-libc::EMFILE),
            Err(errno) => -(errno as i32),
        };
        post.listener.store(answer, Ordering::Release);
        loaded?;
        // No call may be made from here on: it takes as long as one sendmsg of the other thread.
        loop {
            match post.sent.load(Ordering::Acquire) {
                PENDING => hint::spin_loop(),
                0 => return Ok(()),
                errno => return Err(Errno::from_raw(errno)),
            }
        }
    }
}

/// The thread.
extern "C" fn carry(post: *mut libc::c_void) -> libc::c_int {
    // SAFETY: it is the `Post` of `load_filter`, which is shared, never written to but for its atomics,
    // and outlives the thread.
    let post = unsafe { &*post.cast::<Post>() };
    let listener = loop {
        match post.listener.load(Ordering::Acquire) {
            // SAFETY: takes nothing.
            PENDING => unsafe { libc::syscall(libc::SYS_sched_yield) },
            ..0 => return 0,
            listener => break listener,
        };
    };
    // SAFETY: both are open, and nobody closes them before `sent` is set.
    let (socket, fd) = unsafe {
        let socket = post.socket.load(Ordering::Relaxed);
        (
            BorrowedFd::borrow_raw(socket),
            BorrowedFd::borrow_raw(listener),
        )
    };
    let sent = channel::send_fd(socket, fd, &[post.byte]);
    if sent.is_err() {
        // SAFETY: it is ours, and used no more.
        unsafe { libc::syscall(libc::SYS_close, listener) };
    }
    let errno = sent.err().map_or(0, |errno| errno as i32);
    post.sent.store(errno, Ordering::Release);
    0
}
