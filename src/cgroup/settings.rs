//! One value of one control file: written, and then read back.
//!
//! What a limit asks for is first a list of settings, made from values alone, and then one write
//! each. The kernel may take a value and hold another: it rounds sizes down to whole pages, puts a
//! list of numbers in order, and leaves out what is the default. Anything else than that is an error,
//! as a limit that is not in force is none.

use std::borrow::Cow;

use nix::errno::Errno;
use nix::unistd::{SysconfVar, sysconf};

use super::Error;
use super::directory::Directory;
use super::unified::value_of;

/// What the files of the group hold, by controller and name; `None` where there is no such file.
pub(super) type Held<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// That has the file; empty for files that every group has.
    pub(super) controller: Cow<'static, str>,
    /// Where config.json has the value.
    pub(super) field: &'static str,
    pub(super) file: Cow<'static, str>,
    pub(super) value: String,
    pub(super) shown: Shown,
}

/// How the kernel shows what it has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
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

/// A controller that the settings need, and the first field that needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) controller: String,
    pub(super) field: &'static str,
}

pub(super) fn needs(settings: &[Setting]) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for setting in settings {
        let known = setting.controller.is_empty()
            || needs.iter().any(|n| n.controller == setting.controller);
        if !known {
            needs.push(Need {
                controller: setting.controller.to_string(),
                field: setting.field,
            });
        }
    }
    needs
}

impl Need {
    pub(super) fn is_missing(&self, version: &'static str) -> Error {
        Error::NoController {
            field: self.field,
            controller: self.controller.clone(),
            version,
        }
    }
}

impl Setting {
    pub(super) fn new(
        controller: &'static str,
        field: &'static str,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
        shown: Shown,
    ) -> Self {
        Self {
            controller: controller.into(),
            field,
            file: file.into(),
            value: value.to_string(),
            shown,
        }
    }

    /// Writes the value and sees that the kernel holds it.
    pub(super) fn put(&self, group: &Directory) -> Result<(), Error> {
        // One write is one command to the kernel.
        for line in self.value.lines() {
            let result = group.write(&self.file, line);
            if self.file == "memory.limit_in_bytes" && result == Err(Errno::EBUSY) {
                let number = |file| Ok::<_, Error>(group.text(file)?.trim().into());
                return Err(Error::MemoryInUse {
                    limit: line.into(),
                    used: number("memory.usage_in_bytes")?,
                    peak: number("memory.max_usage_in_bytes")?,
                });
            }
            group.refused(self.field, &self.file, line, result)?;
        }
        let held = match group.read(&self.file) {
            Ok(held) => held,
            // Written to only, such as memory.reclaim.
            Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EACCES) => return Ok(()),
            Err(errno) => {
                return Err(Error::call("read", group.path().join(&*self.file))(errno));
            }
        };
        if !self.value.lines().all(|line| self.shown.is(line, &held)) {
            return Err(self.not_held(group, &self.file, &held));
        }
        self.check_effective(group)
    }

    /// A v2 cpuset of which the group above has nothing is left aside, and all that is above used.
    fn check_effective(&self, group: &Directory) -> Result<(), Error> {
        if self.shown != Shown::List {
            return Ok(());
        }
        let file = format!("{}.effective", self.file);
        let Ok(effective) = group.read(&file) else {
            return Ok(());
        };
        match (numbers(&self.value), numbers(&effective)) {
            (Some(asked), Some(used)) if used.iter().all(|n| asked.contains(n)) => Ok(()),
            _ => Err(self.not_held(group, &file, &effective)),
        }
    }

    fn not_held(&self, group: &Directory, file: &str, held: &str) -> Error {
        Error::NotHeld {
            field: self.field,
            asked: self.value.clone(),
            held: held.trim().into(),
            path: group.path().join(file),
        }
    }

    /// What is to be written to have `held` again.
    fn reverse(&self, held: &str) -> String {
        let held = held.trim();
        match self.shown {
            Shown::Line => {}
            Shown::Value(key) => return value_of(held, key).unwrap_or(0).to_string(),
            _ => return held.into(),
        }
        let lines = self.value.lines().map(|line| {
            let (key, words) = key_and_words(line);
            let before = held.lines().find(|l| key_and_words(l).0 == key);
            before.map_or_else(|| default_line(key, &words), String::from)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Puts each setting into its group.
pub(super) fn put_all(settings: &[(&Directory, Setting)]) -> Result<(), Error> {
    settings.iter().try_for_each(|(group, s)| s.put(group))
}

/// As [`put_all`] on groups in use, and then `last`: when one is refused, those before are taken back
/// as far as the kernel lets us.
pub(super) fn change_all<'a>(
    settings: &'a [(&'a Directory, Setting)],
    last: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut changed: Vec<(&Directory, &Setting, String)> = Vec::new();
    let put = |(group, setting): &'a (&'a Directory, Setting)| {
        let before = group.read(&setting.file).ok();
        changed.extend(before.map(|before| (*group, setting, before)));
        setting.put(group)
    };
    let Err(cause) = settings.iter().try_for_each(put).and_then(|()| last()) else {
        return Ok(());
    };
    let taken_back = |(group, setting, before): &(&Directory, &Setting, String)| {
        group.read(&setting.file).as_ref() == Ok(before)
            || match setting.reverse(before).as_str() {
                "" => group.write(&setting.file, "\n").is_ok(),
                text => text.lines().all(|l| group.write(&setting.file, l).is_ok()),
            }
    };
    let left = changed.iter().rev().filter(|one| !taken_back(one));
    let left: Vec<&str> = left.map(|(_, setting, _)| &*setting.file).collect();
    Err(match left.is_empty() {
        true => cause,
        false => Error::HalfChanged {
            cause: Box::new(cause),
            left: left.join(", "),
        },
    })
}

impl Shown {
    fn is(self, asked: &str, held: &str) -> bool {
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
pub(super) fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096)
}

/// A size as the kernel takes it: with K, M, G or T behind, `max`, or -1 for none.
pub(super) fn bytes(text: &str) -> Option<u64> {
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
pub(super) fn numbers(list: &str) -> Option<Vec<u32>> {
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

fn key_and_words(line: &str) -> (&str, Vec<&str>) {
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

fn default_line(key: &str, words: &[&str]) -> String {
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
    fn a_line_is_taken_back_to_what_it_was_or_to_nothing() {
        let setting = |value: &str, shown| Setting::new("io", "f", "io.max", value, shown);
        for (value, shown, held, back) in [
            ("7", Shown::Words, "50000 100000\n", "50000 100000"),
            (
                "8:0 rbps=9",
                Shown::Line,
                "8:0 rbps=1 wbps=max\n",
                "8:0 rbps=1 wbps=max",
            ),
            ("8:0 rbps=9", Shown::Line, "8:16 rbps=1\n", "8:0 rbps=max"),
            ("8:0 9", Shown::Line, "\n", "8:0 0"),
            ("200", Shown::Line, "default 100\n8:0 1\n", "default 100"),
            ("1", Shown::Value("a"), "a 0\nb 1\n", "0"),
        ] {
            assert_eq!(
                setting(value, shown).reverse(held),
                back,
                "{value} {held:?}"
            );
        }
    }

    #[test]
    fn each_controller_is_needed_once_by_the_first_field_that_is_set() {
        let of = |controller, field| Setting::new(controller, field, "f", 1, Shown::Words);
        let all = [
            of("memory", "a"),
            of("memory", "b"),
            of("", "c"),
            of("cpuset", "d"),
        ];
        let needs = needs(&all);
        let fields: Vec<&str> = needs.iter().map(|n| n.field).collect();
        assert_eq!(fields, ["a", "d"]);
        assert_eq!(
            needs[0].is_missing("v2").to_string(),
            "a: the memory controller is not available in cgroup v2 here"
        );
    }
}
