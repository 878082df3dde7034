//! How the kernel shows a value that it has taken, and the forms in which values are written.

use nix::unistd::{SysconfVar, sysconf};

use crate::cgroup::unified::value_of;

/// How the kernel shows what it has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cgroup) enum Shown {
    /// As the same text.
    Whole,
    /// As the same words; the file may have more of them after.
    Words,
    /// As a number of bytes, rounded down to a multiple of this if at all.
    Rounded(u64),
    /// As a list of numbers in order: `0-2` for `2,1,0`.
    List,
    /// As the number beside this word, on one line of several.
    Value(&'static str),
    /// As one line of several, by its first word. A value of one word is for the line `default`. A
    /// line of nothing but defaults (`max`, `default` and 0) may be left out.
    Line,
}

impl Shown {
    pub(in crate::cgroup) fn is(self, asked: &str, held: &str) -> bool {
        match self {
            Shown::Whole => asked.trim() == held.trim(),
            Shown::Words => {
                let mut held = held.split_whitespace();
                asked
                    .split_whitespace()
                    .all(|word| held.next().is_some_and(|h| is_same(word, h)))
            }
            Shown::Rounded(unit) => match (bytes(asked), bytes(held)) {
                (Some(asked), Some(held)) => {
                    // Both ways to say "no limit", whatever the last page of it.
                    let most = i64::MAX.unsigned_abs() - unit;
                    held == asked || held == asked - asked % unit || held.min(asked) >= most
                }
                _ => false,
            },
            Shown::Value(key) => {
                value_of(held, key).is_some_and(|value| value.to_string() == asked.trim())
            }
            Shown::List => numbers(asked).is_some() && numbers(asked) == numbers(held),
            Shown::Line => {
                let (key, words) = key_and_words(asked);
                let line = held.lines().map(key_and_words).find(|(k, _)| *k == key);
                match line {
                    Some((_, shown)) => words.iter().all(|word| {
                        shown.contains(word) || is_default(word) && lacks(&shown, word)
                    }),
                    None => words.iter().all(|word| is_default(word)),
                }
            }
        }
    }
}

/// `50` and `50.00` are the same.
fn is_same(asked: &str, held: &str) -> bool {
    asked == held || matches!((asked.parse::<f64>(), held.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
}

/// The kernel counts memory in these.
pub(in crate::cgroup) fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096)
}

/// A size as the kernel takes it: with K, M, G or T behind, `max`, or -1 for none.
pub(in crate::cgroup) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    if matches!(text, "max" | "-1") {
        return Some(u64::MAX);
    }
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let shift = match &text[at..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        _ => return None,
    };
    text[..at].parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The members of a list like `0-3,7` or, of each 4 the first 2, `0-15:2/4` (cpuset(7)), in order.
pub(in crate::cgroup) fn numbers(list: &str) -> Option<Vec<u32>> {
    // More than the kernel takes (cpuset's max_write_len).
    if list.len() > 1 << 16 {
        return None;
    }
    let mut numbers = Vec::new();
    for part in list
        .trim()
        .split([',', ' '])
        .filter(|part| !part.is_empty())
    {
        let (range, stride) = part.split_once(':').unwrap_or((part, "1/1"));
        let (used, group) = stride.split_once('/')?;
        let (used, group): (u32, u32) = (used.parse().ok()?, group.parse().ok()?);
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if group == 0 || last > 1 << 14 {
            return None;
        }
        numbers.extend((first..=last).filter(|n| (n - first) % group < used));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

/// Whether just those that were asked for are used. One that is not `online` need not be: it is as
/// soon as it is online. Without that list all are.
pub(super) fn is_in_force(asked: &str, used: &str, online: Option<&str>) -> bool {
    let (Some(asked), Some(used)) = (numbers(asked), numbers(used)) else {
        return false;
    };
    let online = online.and_then(numbers);
    let is_online = |n: &u32| online.as_ref().is_none_or(|online| online.contains(n));
    used.iter().all(|n| asked.contains(n))
        && asked.iter().all(|n| used.contains(n) || !is_online(n))
}

pub(super) fn key_and_words(line: &str) -> (&str, Vec<&str>) {
    let mut words = line.split_whitespace();
    match (words.next(), words.collect::<Vec<_>>()) {
        (Some(only), rest) if rest.is_empty() => ("default", vec![only]),
        (key, rest) => (key.unwrap_or_default(), rest),
    }
}

/// `rbps=max`, `default`, and the 0 by which v1 lifts a throttle.
fn is_default(word: &str) -> bool {
    matches!(word, "default" | "0") || word.ends_with("=max")
}

/// Whether a line does not speak of what `word` sets.
fn lacks(shown: &[&str], word: &str) -> bool {
    let name = |w: &str| w.split_once('=').map(|(name, _)| name.to_owned());
    name(word).is_some() && !shown.iter().any(|s| name(s) == name(word))
}

pub(super) fn default_line(key: &str, words: &[&str]) -> String {
    let mut line = key.to_owned();
    for word in words {
        line.push(' ');
        match word.split_once('=') {
            Some((name, _)) => line.extend([name, "=max"]),
            None => line.push('0'),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_holds_may_differ_only_as_it_is_known_to() {
        use Shown::{Line, List, Rounded, Value, Whole, Words};
        for (shown, asked, held, is) in [
            (Words, "100", "100\n", true),
            (Words, "100", "1000\n", false),
            (Words, "50000", "50000 100000\n", true),
            (Words, "max 50000", "max 100000\n", false),
            (Words, "50", "50.00\n", true),
            (Whole, "root", "root invalid (no cpus)\n", false),
            (Whole, "root", "root\n", true),
            (Rounded(4096), "5000", "4096\n", true),
            (Rounded(4096), "8192", "8192\n", true),
            (Rounded(4096), "1", "1\n", true),
            (Rounded(4096), "8192", "4096\n", false),
            (Rounded(4096), "max", "max\n", true),
            (Rounded(4096), "-1", "9223372036854771712\n", true),
            (Rounded(4096), "18446744073709551615", "max\n", true),
            (Rounded(4096), "8192", "max\n", false),
            (Rounded(4096), "max", "8192\n", false),
            (Rounded(4096), "64M", "67108864\n", true),
            (Rounded(2 << 20), "3145728", "2097152\n", true),
            (List, "2,1,0", "0-2\n", true),
            (List, "0-7:1/4", "0,4\n", true),
            (List, "0-3", "0-2\n", false),
            (List, "0-3", "\n", false),
            (
                Value("oom_kill_disable"),
                "1",
                "oom_kill_disable 1\nunder_oom 0\n",
                true,
            ),
            (
                Value("oom_kill_disable"),
                "1",
                "oom_kill_disable 0\nunder_oom 1\n",
                false,
            ),
            (
                Line,
                "8:0 rbps=9",
                "8:16 rbps=9\n8:0 rbps=9 wbps=max\n",
                true,
            ),
            (Line, "8:0 rbps=9", "8:0 rbps=8 wbps=9\n", false),
            (Line, "8:0 rbps=9", "8:16 rbps=9\n", false),
            (Line, "8:0 rbps=max", "8:16 rbps=9\n", true),
            (Line, "8:0 rbps=max wiops=1", "\n", false),
            (Line, "8:0 0", "8:16 9\n", true),
            (Line, "8:0 0", "8:0 9\n", false),
            (Line, "mlx5_0 hca_handle=0", "mlx4_0 hca_handle=0\n", false),
            (Line, "200", "default 200\n8:0 300\n", true),
            (Line, "200", "default 100\n8:0 200\n", false),
        ] {
            assert_eq!(
                shown.is(asked, held),
                is,
                "{shown:?}: {asked:?} and {held:?}"
            );
        }
    }

    #[test]
    fn a_set_is_in_force_when_all_of_it_that_is_online_is_used_and_no_more() {
        for (asked, used, online, is) in [
            ("0-3", "0-3\n", Some("0-7\n"), true),
            ("3,1", "1,3\n", Some("0-7\n"), true),
            ("0-3", "0-1\n", Some("0-7\n"), false),
            ("0-3", "0-1\n", Some("0-1\n"), true),
            // cpuset.cpus.exclusive.effective may have those that are not online.
            ("0-3", "0-3\n", Some("0-1\n"), true),
            ("0-3", "\n", Some("0-7\n"), false),
            ("1", "0\n", Some("0-7\n"), false),
            ("9", "0-7\n", Some("0-7\n"), false),
            ("0-3", "0-3\n", None, true),
            ("0-3", "0-1\n", None, false),
        ] {
            let found = is_in_force(asked, used, online);
            assert_eq!(found, is, "{asked:?} {used:?} {online:?}");
        }
    }
}
