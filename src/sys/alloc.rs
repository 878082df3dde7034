//! The heap is out of bounds between clone and exec: another thread of a caller may have held its
//! lock. Builds with debug assertions, which is what the tests run, end the process on a breach.

/// From here on this process must not touch the heap. A release build does not check.
pub fn forbid() {
    #[cfg(debug_assertions)]
    guard::FORBIDDEN.store(true, std::sync::atomic::Ordering::Relaxed);
}

#[cfg(debug_assertions)]
mod guard {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) static FORBIDDEN: AtomicBool = AtomicBool::new(false);

    struct Guard;

    #[global_allocator]
    static GUARD: Guard = Guard;

    fn check() {
        if FORBIDDEN.load(Ordering::Relaxed) {
            let text = b"bulkhead: the heap was used between clone and exec\n";
            // SAFETY: `text` is readable for its length; abort takes nothing.
            unsafe {
                libc::write(2, text.as_ptr().cast(), text.len());
                libc::abort();
            }
        }
    }

    // SAFETY: every call is passed on unchanged to the system's allocator.
    unsafe impl GlobalAlloc for Guard {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            check();
            // SAFETY: the caller keeps GlobalAlloc's contract.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            check();
            // SAFETY: the caller keeps GlobalAlloc's contract.
            unsafe { System.dealloc(pointer, layout) }
        }
    }
}
