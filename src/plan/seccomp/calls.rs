//! Names of system calls and their numbers.

use crate::spec::seccomp::Arch;

/// One call a line, sorted by name: its numbers on x86_64, x86, x32 (without bit 30), aarch64 and
/// arm, `-` where it has none. Up to Linux 6.18; from the kernel's unistd headers, with the calls
/// that left the kernel and ARM's private ones.
const TABLE: &str = include_str!("calls.txt");

/// Bit 30 of the number, set in every call of the x32 ABI.
pub(super) const X32_BIT: u32 = 0x4000_0000;

const COLUMNS: usize = 5;

/// A line of the table, read when this program is compiled: an array of pairs of name and numbers
/// would need a relocation for each of the names at every start.
#[derive(Clone, Copy)]
struct Line {
    /// The name's first eight bytes, which tell most names apart without a look at the text.
    head: u64,
    /// Where in `TABLE` the name is.
    start: u16,
    len: u8,
    numbers: [u32; COLUMNS],
}

const ABSENT: u32 = u32::MAX;

static LINES: [Line; count_lines(TABLE.as_bytes())] = read_lines(TABLE.as_bytes());

const fn count_lines(text: &[u8]) -> usize {
    let mut lines = 0;
    let mut at = 0;
    while at < text.len() {
        lines += (text[at] == b'\n') as usize;
        at += 1;
    }
    lines
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, and checked by the assertions"
)]
const fn read_lines<const N: usize>(text: &[u8]) -> [Line; N] {
    assert!(text.len() <= u16::MAX as usize);
    let mut lines = [Line {
        head: 0,
        start: 0,
        len: 0,
        numbers: [ABSENT; COLUMNS],
    }; N];
    let mut at = 0;
    let mut line = 0;
    while line < N {
        let start = at;
        while text[at] != b' ' {
            at += 1;
        }
        assert!(at - start <= u8::MAX as usize);
        lines[line].start = start as u16;
        lines[line].len = (at - start) as u8;
        lines[line].head = head(text, start, at);
        let mut column = 0;
        while column < COLUMNS {
            at += 1;
            let mut number = 0;
            while text[at] != b' ' && text[at] != b'\n' {
                number = match text[at] {
                    b'-' => ABSENT,
                    digit => number * 10 + (digit - b'0') as u32,
                };
                at += 1;
            }
            lines[line].numbers[column] = number;
            column += 1;
        }
        assert!(text[at] == b'\n');
        at += 1;
        line += 1;
    }
    lines
}

/// Up to eight bytes of `text` as a number that is ordered as they are.
const fn head(text: &[u8], start: usize, end: usize) -> u64 {
    let mut bytes = [0; 8];
    let mut at = 0;
    while at < 8 && start + at < end {
        bytes[at] = text[start + at];
        at += 1;
    }
    u64::from_be_bytes(bytes)
}

impl Line {
    fn name(&self) -> &'static str {
        &TABLE[usize::from(self.start)..][..usize::from(self.len)]
    }
}

/// A call that some architecture has, or had: a line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call(usize);

impl Call {
    pub(super) fn find(name: &str) -> Option<Self> {
        let head = head(name.as_bytes(), 0, name.len());
        LINES
            .binary_search_by(|line| line.head.cmp(&head).then_with(|| line.name().cmp(name)))
            .ok()
            .map(Self)
    }

    pub(super) fn name(self) -> &'static str {
        LINES[self.0].name()
    }

    /// The number as a filter sees it: on x32 with its bit.
    pub(super) fn number(self, arch: Arch) -> Option<u32> {
        let (column, bit) = match arch {
            Arch::X86_64 => (0, 0),
            Arch::X86 => (1, 0),
            Arch::X32 => (2, X32_BIT),
            Arch::Aarch64 => (3, 0),
            Arch::Arm => (4, 0),
        };
        let number = LINES[self.0].numbers[column];
        (number != ABSENT).then_some(number | bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_without_doubles() {
        assert!(LINES.windows(2).all(|w| w[0].name() < w[1].name()));
    }

    #[test]
    fn numbers_are_those_of_the_headers() {
        let number = |name, arch| Call::find(name).and_then(|call| call.number(arch));
        for (name, expected) in [
            ("read", [Some(0), Some(3), Some(X32_BIT), Some(63), Some(3)]),
            (
                "io_submit",
                [
                    Some(209),
                    Some(248),
                    Some(X32_BIT | 544),
                    Some(2),
                    Some(246),
                ],
            ),
            ("socketcall", [None, Some(102), None, None, None]),
            ("clock_gettime64", [None, Some(403), None, None, Some(403)]),
            ("set_tls", [None, None, None, None, Some(0xf_0005)]),
            (
                "clone3",
                [
                    Some(435),
                    Some(435),
                    Some(X32_BIT | 435),
                    Some(435),
                    Some(435),
                ],
            ),
            ("uprobe", [Some(336), None, Some(X32_BIT | 336), None, None]),
            (
                "file_setattr",
                [
                    Some(469),
                    Some(469),
                    Some(X32_BIT | 469),
                    Some(469),
                    Some(469),
                ],
            ),
            (
                "mseal",
                [
                    Some(462),
                    Some(462),
                    Some(X32_BIT | 462),
                    Some(462),
                    Some(462),
                ],
            ),
            ("no_such_call", [None; 5]),
        ] {
            let archs = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm];
            assert_eq!(archs.map(|arch| number(name, arch)), expected, "{name}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn numbers_agree_with_libc() {
        for (name, number) in [
            ("accept4", libc::SYS_accept4),
            ("execveat", libc::SYS_execveat),
            ("faccessat2", libc::SYS_faccessat2),
            ("memfd_secret", libc::SYS_memfd_secret),
            ("futex_waitv", libc::SYS_futex_waitv),
            ("landlock_add_rule", libc::SYS_landlock_add_rule),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("newfstatat", libc::SYS_newfstatat),
            ("openat2", libc::SYS_openat2),
            ("pidfd_getfd", libc::SYS_pidfd_getfd),
            ("rt_sigreturn", libc::SYS_rt_sigreturn),
            ("set_mempolicy_home_node", libc::SYS_set_mempolicy_home_node),
            ("unshare", libc::SYS_unshare),
        ] {
            let found = Call::find(name).and_then(|call| call.number(Arch::X86_64));
            assert_eq!(found.map(i64::from), Some(number), "{name}");
        }
    }
}
