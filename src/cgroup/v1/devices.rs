//! The device rules of a v1 group.

use std::collections::BTreeMap;
use std::io::Write;

use nix::fcntl::OFlag;

use crate::cgroup::Error;
use crate::cgroup::devices::{FIELD, V1Lines, v1_lines};
use crate::cgroup::directory::Directory;
use crate::spec::limits::DeviceRule;
use crate::sys::errno;

const LIST: &str = "devices.list";

/// Lets the processes of `group` use the devices that the rules allow, and for a moment none or all.
pub(super) fn set(group: &Directory, rules: &[DeviceRule]) -> Result<(), Error> {
    put(group, &v1_lines(rules)?)
}

/// As [`set`] on a group in use: after an error what was allowed before is again.
pub(super) fn replace(group: &Directory, rules: &[DeviceRule]) -> Result<(), Error> {
    let wanted = v1_lines(rules)?;
    let before = group.text(LIST)?;
    put(group, &wanted).map_err(|cause| taken_back(group, &before, cause))
}

/// Writes what differs from the rules in force, so that nothing is denied or allowed meanwhile that
/// is not so before or after. `false`, with nothing done, where the kernel does not show what is in
/// force: it lists exceptions only where the rest is denied.
pub(super) fn change(group: &Directory, rules: &[DeviceRule]) -> Result<bool, Error> {
    let wanted = v1_lines(rules)?;
    let before = group.text(LIST)?;
    put_differences(group, &before, &wanted).map_err(|cause| taken_back(group, &before, cause))
}

fn put(group: &Directory, wanted: &V1Lines) -> Result<(), Error> {
    write(group, wanted.reset, &["a".into()])?;
    write(group, wanted.exceptions, &wanted.lines)?;
    check(group, wanted)
}

fn put_differences(group: &Directory, list: &str, wanted: &V1Lines) -> Result<bool, Error> {
    let Some(Differences { allow, deny }) = differences(list, wanted) else {
        return Ok(false);
    };
    write(group, "devices.allow", &allow)?;
    write(group, "devices.deny", &deny)?;
    check(group, wanted)?;
    Ok(true)
}

/// Puts back what `before` shows, or where it does not show all, no more than the default devices: what
/// was half written may allow every device. Gives the cause, with what is not as it was.
fn taken_back(group: &Directory, before: &str, cause: Error) -> Error {
    let is_shown = !before.starts_with("a ");
    let put_back = || {
        let wanted = match is_shown {
            true => V1Lines {
                reset: "devices.deny",
                exceptions: "devices.allow",
                lines: before.lines().map(String::from).collect(),
            },
            false => v1_lines(&[])?,
        };
        match put_differences(group, &group.text(LIST)?, &wanted)? {
            true => Ok(()),
            false => put(group, &wanted),
        }
    };
    match put_back() {
        Ok(()) if is_shown => cause,
        Ok(()) | Err(_) => Error::HalfChanged {
            cause: Box::new(cause),
            left: LIST.into(),
        },
    }
}

/// The kernel holds what was wanted, as far as it shows it.
fn check(group: &Directory, wanted: &V1Lines) -> Result<(), Error> {
    let list = group.text(LIST)?;
    let is_held = match differences(&list, wanted) {
        Some(differences) => differences == Differences::default(),
        None => list.starts_with("a ") && wanted.exceptions == "devices.deny",
    };
    if is_held {
        return Ok(());
    }
    Err(Error::NotHeld {
        field: FIELD,
        asked: wanted.lines.join(", "),
        held: list.trim().replace('\n', ", "),
        path: group.path().join(LIST),
    })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Differences {
    allow: Vec<String>,
    deny: Vec<String>,
}

fn differences(list: &str, wanted: &V1Lines) -> Option<Differences> {
    if wanted.exceptions != "devices.allow" || list.starts_with("a ") {
        return None;
    }
    let held = letters(list.lines());
    let wanted = letters(wanted.lines.iter().map(String::as_str));
    let missing = |from: &BTreeMap<&str, String>, of: &BTreeMap<&str, String>| {
        let lines = of.iter().filter_map(|(device, letters)| {
            let there = from.get(device).map_or("", String::as_str);
            let lacking: String = letters.chars().filter(|c| !there.contains(*c)).collect();
            (!lacking.is_empty()).then(|| format!("{device} {lacking}"))
        });
        lines.collect()
    };
    Some(Differences {
        allow: missing(&held, &wanted),
        deny: missing(&wanted, &held),
    })
}

/// The accesses of all lines about one device: `c 1:3` and `rwm`.
fn letters<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, String> {
    let mut all: BTreeMap<&str, String> = BTreeMap::new();
    for (device, letters) in lines.filter_map(|line| line.trim().rsplit_once(' ')) {
        all.entry(device).or_default().push_str(letters);
    }
    all
}

fn write(group: &Directory, name: &'static str, lines: &[String]) -> Result<(), Error> {
    let fault = |value: &str, errno| Error::Limit {
        field: FIELD,
        value: value.into(),
        path: group.path().join(name),
        errno,
    };
    let mut file = group
        .open_file(name, OFlag::O_WRONLY)
        .map_err(|errno| fault("", errno))?;
    for line in lines {
        file.write(line.as_bytes())
            .map_err(|error| fault(line, errno(error)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let wanted = |lines: &[&str]| V1Lines {
            reset: "devices.deny",
            exceptions: "devices.allow",
            lines: lines.iter().map(|l| (*l).into()).collect(),
        };
        let held = "c 1:3 rwm\nc 10:229 r\nb 8:* rw\nc *:* m\n";
        let wanted = wanted(&["c *:* m", "c 1:3 r", "c 1:3 wm", "c 10:229 rw", "c 5:0 rwm"]);
        let found = differences(held, &wanted).unwrap();
        assert_eq!(found.allow, ["c 10:229 w", "c 5:0 rwm"]);
        assert_eq!(found.deny, ["b 8:* rw"]);
    }

    #[test]
    fn what_the_kernel_does_not_show_has_no_difference() {
        let all = v1_lines(&[]).unwrap();
        assert_eq!(differences("a *:* rwm\n", &all), None);
        let list = all.lines.join("\n");
        assert_eq!(differences(&list, &all), Some(Differences::default()));
    }
}
