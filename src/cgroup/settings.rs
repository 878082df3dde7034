//! One value of one control file: written, and then read back.
//!
//! What a limit asks for is first a list of settings, made from values alone, and then one write
//! each. The kernel may take a value and hold another: it rounds sizes down to whole pages, puts a
//! list of numbers in order, and leaves out what is the default. Anything else than that is an error,
//! as a limit that is not in force is none.

mod shown;

use std::borrow::Cow;
use std::fs;

use nix::errno::Errno;

use super::Error;
use super::directory::Directory;
use super::unified::value_of;
pub(super) use shown::{Shown, bytes, numbers, page_size};
use shown::{default_line, is_in_force, key_and_words};

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

    /// Of a v2 cpuset what the group above has not is left aside; where that is all, all of the group
    /// above is used.
    fn check_effective(&self, group: &Directory) -> Result<(), Error> {
        if self.shown != Shown::List {
            return Ok(());
        }
        let file = format!("{}.effective", self.file);
        let Ok(effective) = group.read(&file) else {
            return Ok(());
        };
        let online = match self.file.contains(".mems") {
            true => "/sys/devices/system/node/has_memory",
            false => "/sys/devices/system/cpu/online",
        };
        let online = fs::read_to_string(online).ok();
        match is_in_force(&self.value, &effective, online.as_deref()) {
            true => Ok(()),
            false => Err(self.not_held(group, &file, &effective)),
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

#[cfg(test)]
mod tests {
    use super::*;

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
