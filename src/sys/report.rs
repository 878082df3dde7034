//! A page that parent and child share, for what the child has to say when it may no longer write
//! to anything: after its seccomp filter is loaded, storing to memory is the one act no filter
//! forbids.

use std::ffi::CStr;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use nix::errno::Errno;
use nix::unistd::Pid;

/// How many bytes of the kernel's own words fit.
pub const NOTE: usize = 200;

#[repr(C)]
struct Page {
    /// 0 at work, 1 about to execute, 2 a fault is here.
    progress: AtomicU32,
    step: AtomicU32,
    call: AtomicU32,
    number: AtomicU32,
    /// The pid of the process that has taken over, or 0.
    successor: AtomicU32,
    note_length: AtomicU32,
    note: [AtomicU8; NOTE],
}

/// What stopped the child: numbers, for which the parent has the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub step: u32,
    pub call: u32,
    /// An errno, or what the call counts in.
    pub number: i32,
    /// The kernel's own line, where there is one.
    pub note: Vec<u8>,
}

/// How far the child has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    Working,
    /// It was about to execute the program; if it is silent now, it did or it was killed.
    Executing,
    Stopped(Fault),
}

/// The shared page.
#[derive(Debug)]
pub struct Report(NonNull<Page>);

impl Report {
    fn map(fd: Option<BorrowedFd<'_>>) -> Result<Self, Errno> {
        let anonymous = if fd.is_none() { libc::MAP_ANONYMOUS } else { 0 };
        // SAFETY: a new shared mapping at a place the kernel chooses; nothing else refers to it.
        let page = unsafe {
            libc::mmap(
                null_mut(),
                size_of::<Page>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | anonymous,
                fd.map_or(-1, |fd| fd.as_raw_fd()),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        NonNull::new(page.cast()).map(Self).ok_or(Errno::EFAULT)
    }

    /// A page that lives as long as this process and its children.
    pub fn new() -> Result<Self, Errno> {
        Self::map(None)
    }

    /// A page that another process can be given by its descriptor.
    pub fn to_be_passed() -> Result<(Self, OwnedFd), Errno> {
        const NAME: &CStr = c"bulkhead-report";
        let fd = super::exec::memory_file(NAME)?;
        // SAFETY: takes only numbers.
        Errno::result(unsafe { libc::ftruncate(fd.as_raw_fd(), 4096) })?;
        Ok((Self::map(Some(std::os::fd::AsFd::as_fd(&fd)))?, fd))
    }

    /// The page behind a descriptor that [`Report::to_be_passed`] made.
    pub fn open(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        Self::map(Some(fd))
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping is as long as a Page, lives as long as `self`, and all of a Page is
        // atomics, so that another process may write to it at any time.
        unsafe { self.0.as_ref() }
    }

    /// Says that the program is about to be executed. May run in the child.
    pub fn executing(&self) {
        self.page().progress.store(1, Ordering::Release);
    }

    /// Says which process goes on with the plan. May run in the child.
    pub fn hand_over(&self, pid: Pid) {
        let pid = pid.as_raw().cast_unsigned();
        self.page().successor.store(pid, Ordering::Release);
    }

    /// The process that goes on with the plan, if the one that began has handed it over.
    pub fn successor(&self) -> Option<Pid> {
        let pid = self.page().successor.load(Ordering::Acquire).cast_signed();
        (pid != 0).then(|| Pid::from_raw(pid))
    }

    /// Says what went wrong. May run in the child.
    pub fn stop(&self, step: u32, call: u32, number: i32, note: &[u8]) {
        let page = self.page();
        page.step.store(step, Ordering::Relaxed);
        page.call.store(call, Ordering::Relaxed);
        page.number.store(number.cast_unsigned(), Ordering::Relaxed);
        let mut length = 0;
        for (to, from) in page.note.iter().zip(note) {
            to.store(*from, Ordering::Relaxed);
            length += 1;
        }
        page.note_length.store(length, Ordering::Relaxed);
        page.progress.store(2, Ordering::Release);
    }

    /// How far the child has come.
    pub fn read(&self) -> Progress {
        let page = self.page();
        match page.progress.load(Ordering::Acquire) {
            0 => Progress::Working,
            1 => Progress::Executing,
            _ => {
                let length = page.note_length.load(Ordering::Relaxed) as usize;
                let note = page.note.iter().take(length);
                Progress::Stopped(Fault {
                    step: page.step.load(Ordering::Relaxed),
                    call: page.call.load(Ordering::Relaxed),
                    number: page.number.load(Ordering::Relaxed).cast_signed(),
                    note: note.map(|b| b.load(Ordering::Relaxed)).collect(),
                })
            }
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and nothing refers to it now.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<Page>()) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_fault_is_read_as_it_was_written() {
        let (page, fd) = Report::to_be_passed().unwrap();
        let other = Report::open(fd.as_fd()).unwrap();
        assert_eq!(other.read(), Progress::Working);
        page.executing();
        assert_eq!(other.read(), Progress::Executing);
        page.stop(3, 4, 2, &[b'x'; 300]);
        let Progress::Stopped(fault) = other.read() else {
            panic!("no fault")
        };
        assert_eq!((fault.step, fault.call, fault.number), (3, 4, 2));
        assert_eq!(fault.note, [b'x'; NOTE]);
    }
}
