//! The few calls that read into memory of ours, each behind a safe signature.

use crate::calls::result;
use std::ffi::{CStr, CString};
use std::io;

/// (soft, hard); `u64::MAX` is no limit.
pub fn rlimit(kind: libc::__rlimit_resource_t) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a whole rlimit and outlives the call.
    result(i64::from(unsafe { libc::getrlimit(kind, &mut limit) }))?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Effective, permitted and inheritable capabilities as bit sets.
pub fn capabilities() -> io::Result<[u64; 3]> {
    let header: [u32; 2] = [0x2008_0522, 0]; // _LINUX_CAPABILITY_VERSION_3, this process
    let mut halves = [[0u32; 3]; 2];
    // SAFETY: version 3 reads the header's two words and fills two times three words.
    result(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), halves.as_mut_ptr()) })?;
    Ok([0, 1, 2].map(|set| u64::from(halves[0][set]) | u64::from(halves[1][set]) << 32))
}

/// `prctl` with numbers only.
pub fn prctl(option: libc::c_int, argument: u64) -> io::Result<i64> {
    // SAFETY: the options used here take no pointer.
    result(i64::from(unsafe { libc::prctl(option, argument, 0, 0, 0) }))
}

/// The signal whose sender is the parent's death, 0 for none.
pub fn parent_death_signal() -> io::Result<i32> {
    let mut signal = 0;
    // SAFETY: PR_GET_PDEATHSIG writes one int, and `signal` outlives the call.
    result(i64::from(unsafe {
        libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal, 0, 0, 0)
    }))?;
    Ok(signal)
}

pub fn groups() -> io::Result<Vec<u32>> {
    let mut groups = vec![0; 65536];
    // SAFETY: the kernel has at most 65536 groups a process, and the vector is that long.
    let count = result(i64::from(unsafe {
        libc::getgroups(65536, groups.as_mut_ptr())
    }))?;
    groups.truncate(usize::try_from(count).unwrap_or(0));
    Ok(groups)
}

/// Real, effective and saved user and group.
pub fn identity() -> ([u32; 3], [u32; 3]) {
    let (mut users, mut groups) = ([0; 3], [0; 3]);
    let [real, effective, saved] = &mut users;
    // SAFETY: three pointers to ids that outlive the call, which cannot fail otherwise.
    unsafe { libc::getresuid(real, effective, saved) };
    let [real, effective, saved] = &mut groups;
    // SAFETY: as above.
    unsafe { libc::getresgid(real, effective, saved) };
    (users, groups)
}

/// Numbers of the signals this process ignores, and of those it blocks.
pub fn signals() -> (Vec<i32>, Vec<i32>) {
    let mut mask: u64 = 0;
    // SAFETY: a null set asks only, and the kernel's mask is these eight bytes.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            0,
            std::ptr::null::<u64>(),
            &raw mut mask,
            8,
        );
    }
    let ignored = (1..=64).filter(|signal| {
        let mut action = [0u64; 4]; // handler, flags, restorer, mask
        // SAFETY: a null new action asks only; the kernel's sigaction is these four words.
        let asked = unsafe {
            let none = std::ptr::null::<u64>();
            libc::syscall(
                libc::SYS_rt_sigaction,
                *signal,
                none,
                action.as_mut_ptr(),
                8,
            )
        };
        asked == 0 && action[0] == libc::SIG_IGN as u64
    });
    let blocked = (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1);
    (ignored.collect(), blocked.collect())
}

/// Hostname and domainname.
pub fn uts() -> (String, String) {
    // SAFETY: utsname is arrays of bytes: all zero is a value of it.
    let mut uts: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `uts` outlives the call, which fills it with strings that end in NUL.
    unsafe { libc::uname(&mut uts) };
    let text = |field: &[libc::c_char]| {
        // SAFETY: filled by uname, or all zero: either ends in NUL within the field.
        unsafe { CStr::from_ptr(field.as_ptr()) }
            .to_string_lossy()
            .into_owned()
    };
    (text(&uts.nodename), text(&uts.domainname))
}

/// The processors this process may run on.
pub fn affinity() -> Vec<usize> {
    // SAFETY: cpu_set_t is an array of words: all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` outlives the call, and its size is given.
    unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    // SAFETY: the index stays below CPU_SETSIZE.
    (0..libc::CPU_SETSIZE as usize)
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect()
}

/// sched_getattr(2): policy, flags, nice, priority; runtime, deadline, period.
pub fn scheduler() -> io::Result<([i64; 4], [u64; 3])> {
    let mut words = [0u64; 6]; // struct sched_attr of 48 bytes
    // SAFETY: `words` is as long as is said, and outlives the call.
    result(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, words.as_mut_ptr(), 48, 0) })?;
    let [head, flags, nice, times @ ..] = words;
    let halves = |word: u64| (i64::from(word as u32 as i32), (word >> 32) as i64);
    Ok((
        [halves(head).1, flags as i64, halves(nice).0, halves(nice).1],
        times,
    ))
}

pub fn mount(source: &str, target: &str, kind: &str, flags: u64) -> io::Result<i64> {
    let (source, target) = (CString::new(source)?, CString::new(target)?);
    let kind = CString::new(kind)?;
    // SAFETY: three strings that end in NUL and outlive the call; no data.
    result(i64::from(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    }))
}

pub fn mknod(path: &str, mode: u32, major: u32, minor: u32) -> io::Result<i64> {
    let path = CString::new(path)?;
    // SAFETY: the path ends in NUL and outlives the call.
    result(i64::from(unsafe {
        libc::mknod(path.as_ptr(), mode, libc::makedev(major, minor))
    }))
}

/// Maps so many huge pages of the default size (2 MiB on x86-64), and writes to each.
pub fn touch_huge_pages(count: usize) -> io::Result<usize> {
    const SIZE: usize = 2 << 20;
    let (access, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB,
    );
    // SAFETY: a new mapping at an address that the kernel chooses touches no memory of ours.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), count * SIZE, access, kind, -1, 0) };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    for page in 0..count {
        // SAFETY: the mapping has `count` pages of this size and is ours alone.
        unsafe { place.cast::<u8>().add(page * SIZE).write_volatile(1) };
    }
    Ok(count)
}

/// One process more: `None` in the child.
pub fn fork() -> io::Result<Option<i32>> {
    // SAFETY: this program has one thread, so the child holds no lock of another.
    match result(i64::from(unsafe { libc::fork() }))? {
        0 => Ok(None),
        pid => Ok(i32::try_from(pid).ok()),
    }
}

/// Waits for one child and returns its wait status.
pub fn wait(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    result(i64::from(unsafe { libc::waitpid(pid, &mut status, 0) }))?;
    Ok(status)
}

/// The processor time this process has used, in seconds.
pub fn cpu_time() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` outlives the call, and the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Waits for one of the signals, which it blocks first.
pub fn wait_for_signal(signals: &[i32]) -> io::Result<i32> {
    // SAFETY: sigset_t is words: all zero is the empty set; the two calls take it by pointer and
    // it outlives them.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        let heard = libc::sigwaitinfo(&set, std::ptr::null_mut());
        Ok(i32::try_from(result(i64::from(heard))?).unwrap_or(0))
    }
}
