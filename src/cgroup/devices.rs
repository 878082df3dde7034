//! Which devices a container may use: who guards them, the rules that apply, and what cgroup v1 is
//! told of them.
//!
//! The OCI's rules mean: everything is denied; each rule then allows or denies the named accesses to
//! the named devices; the last that speaks of an access to a device decides.

use std::fmt::Write;

use super::Error;
use crate::spec::limits::{Access, DeviceKind, DeviceRule};

pub(super) const FIELD: &str = "linux.resources.devices";

/// What decides on the devices of containers, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceGuard<T> {
    /// The controller of v1.
    Controller(T),
    /// An eBPF program on a v2 group.
    Program(T),
}

impl<T> DeviceGuard<T> {
    /// Of the hierarchy of the v1 controller and that of v2, or of the groups in them. Without both
    /// no container can be guarded, and also one without rules is denied all but the default devices.
    pub(super) fn choose(controller: Option<T>, v2: Option<T>) -> Result<Self, Error> {
        let program = v2.map(Self::Program);
        let guard = controller.map(Self::Controller).or(program);
        guard.ok_or(Error::NoController {
            field: FIELD,
            controller: "devices".into(),
            version: "v1",
        })
    }
}

const ALL: Access = Access {
    read: true,
    write: true,
    mknod: true,
};
const MKNOD: Access = Access {
    read: false,
    write: false,
    mknod: true,
};

const fn allow(
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: Access,
) -> DeviceRule {
    DeviceRule {
        allow: true,
        kind,
        major,
        minor,
        access,
    }
}

/// What every container may use, whatever the document says: runc puts the same after the
/// document's rules. Making a node of any device is harmless as long as it cannot be opened.
const DEFAULT: [DeviceRule; 10] = [
    allow(DeviceKind::Char, None, None, MKNOD),
    allow(DeviceKind::Block, None, None, MKNOD),
    allow(DeviceKind::Char, Some(1), Some(3), ALL), // null
    allow(DeviceKind::Char, Some(1), Some(8), ALL), // random
    allow(DeviceKind::Char, Some(1), Some(7), ALL), // full
    allow(DeviceKind::Char, Some(5), Some(0), ALL), // tty
    allow(DeviceKind::Char, Some(1), Some(5), ALL), // zero
    allow(DeviceKind::Char, Some(1), Some(9), ALL), // urandom
    allow(DeviceKind::Char, Some(136), None, ALL),  // pts/*
    allow(DeviceKind::Char, Some(5), Some(2), ALL), // ptmx
];

/// The document's rules and the default ones after them. A rule for all kinds becomes one for each,
/// so that only [`DeviceKind::Char`] and [`DeviceKind::Block`] are left.
pub(super) fn rules(asked: &[DeviceRule]) -> impl DoubleEndedIterator<Item = DeviceRule> {
    asked.iter().chain(&DEFAULT).flat_map(by_kind)
}

fn by_kind(rule: &DeviceRule) -> impl DoubleEndedIterator<Item = DeviceRule> + use<> {
    let rule = *rule;
    let kinds: &[DeviceKind] = match rule.kind {
        DeviceKind::All => &[DeviceKind::Char, DeviceKind::Block],
        DeviceKind::Char => &[DeviceKind::Char],
        DeviceKind::Block => &[DeviceKind::Block],
    };
    kinds.iter().map(move |&kind| DeviceRule { kind, ..rule })
}

/// What is written to a v1 group, a line a write: first all to `reset`, then `lines` to `exceptions`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct V1Lines {
    pub(super) reset: &'static str,
    pub(super) exceptions: &'static str,
    pub(super) lines: Vec<String>,
}

/// The rules as cgroup v1 can hold them: one default for all devices, and exceptions from it, none
/// of which can be narrowed by another. A rule that would cut a hole into a wider one is refused:
/// the kernel would ignore it in silence.
pub(super) fn v1_lines(asked: &[DeviceRule]) -> Result<V1Lines, Error> {
    let mut default = false;
    let mut exceptions: Vec<DeviceRule> = Vec::new();
    for rule in asked.iter().chain(&DEFAULT) {
        let everywhere = rule.kind == DeviceKind::All && rule.major.or(rule.minor).is_none();
        if everywhere && rule.access == ALL {
            default = rule.allow;
            exceptions.clear();
            continue;
        }
        for rule in by_kind(rule) {
            subtract(&mut exceptions, rule)?;
            if rule.allow != default {
                exceptions.push(rule);
            }
        }
    }
    let lines = exceptions.iter().map(line).collect();
    Ok(match default {
        false => V1Lines {
            reset: "devices.deny",
            exceptions: "devices.allow",
            lines,
        },
        true => V1Lines {
            reset: "devices.allow",
            exceptions: "devices.deny",
            lines,
        },
    })
}

/// Takes out of `exceptions` what `rule` now decides.
fn subtract(exceptions: &mut Vec<DeviceRule>, rule: DeviceRule) -> Result<(), Error> {
    for old in exceptions.iter_mut() {
        if old.kind != rule.kind || !overlap(old.access, rule.access) {
            continue;
        }
        let covers = |wide: Option<u32>, narrow: Option<u32>| wide.is_none() || wide == narrow;
        let meets = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        if covers(rule.major, old.major) && covers(rule.minor, old.minor) {
            old.access = Access {
                read: old.access.read && !rule.access.read,
                write: old.access.write && !rule.access.write,
                mknod: old.access.mknod && !rule.access.mknod,
            };
        } else if old.allow != rule.allow
            && meets(rule.major, old.major)
            && meets(rule.minor, old.minor)
        {
            return Err(Error::DeviceHole {
                rule: line(&rule),
                wider: line(old),
            });
        }
    }
    exceptions.retain(|old| old.access.read || old.access.write || old.access.mknod);
    Ok(())
}

fn overlap(a: Access, b: Access) -> bool {
    a.read && b.read || a.write && b.write || a.mknod && b.mknod
}

/// `c 1:3 rwm`
fn line(rule: &DeviceRule) -> String {
    let mut text = String::from(match rule.kind {
        DeviceKind::All => "a ",
        DeviceKind::Char => "c ",
        DeviceKind::Block => "b ",
    });
    for (number, end) in [(rule.major, ':'), (rule.minor, ' ')] {
        match number {
            Some(number) => write!(text, "{number}{end}").expect("a String takes all"),
            None => text.extend(['*', end]),
        }
    }
    let Access { read, write, mknod } = rule.access;
    let letters = [(read, 'r'), (write, 'w'), (mknod, 'm')];
    text.extend(letters.iter().filter(|(on, _)| *on).map(|(_, l)| *l));
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// `-c 1:* rw`: a rule as a line, with its sign in front.
    pub(in super::super) fn rule(text: &str) -> DeviceRule {
        let fields: Vec<&str> = text.split([' ', ':']).collect();
        let [kind, major, minor, letters] = fields[..] else {
            panic!("{text}");
        };
        DeviceRule {
            allow: kind.starts_with('+'),
            kind: match &kind[1..] {
                "a" => DeviceKind::All,
                "b" => DeviceKind::Block,
                _ => DeviceKind::Char,
            },
            major: major.parse().ok(),
            minor: minor.parse().ok(),
            access: Access {
                read: letters.contains('r'),
                write: letters.contains('w'),
                mknod: letters.contains('m'),
            },
        }
    }

    fn lines(asked: &[&str]) -> Result<V1Lines, Error> {
        let asked: Vec<DeviceRule> = asked.iter().map(|t| rule(t)).collect();
        v1_lines(&asked)
    }

    #[test]
    fn without_rules_only_the_default_devices_are_allowed() {
        for asked in [&[][..], &["-a *:* rwm"], &["+c 10:* rw", "-a *:* rwm"]] {
            let lines = lines(asked).unwrap();
            assert_eq!(lines.reset, "devices.deny");
            assert_eq!(lines.exceptions, "devices.allow");
            assert_eq!(lines.lines.len(), DEFAULT.len(), "{asked:?}");
            assert_eq!(lines.lines[..3], ["c *:* m", "b *:* m", "c 1:3 rwm"]);
        }
    }

    #[test]
    fn what_is_asked_comes_before_the_default_devices() {
        let (a, b) = ("-a *:* rwm", "+c 10:229 rw");
        assert_eq!(lines(&[a, b]).unwrap().lines[0], "c 10:229 rw");
    }

    #[test]
    fn a_denied_device_among_all_allowed_keeps_what_is_always_allowed() {
        let lines = lines(&["+a *:* rwm", "-c 5:1 rwm", "-c 1:3 rwm"]).unwrap();
        let wanted = V1Lines {
            reset: "devices.allow",
            exceptions: "devices.deny",
            lines: vec!["c 5:1 rw".into()],
        };
        assert_eq!(lines, wanted);
    }

    #[test]
    fn a_later_rule_takes_back_an_earlier_one() {
        let lines = lines(&["+c 10:1 rwm", "+c 10:2 rw", "-c 10:* w"])
            .unwrap()
            .lines;
        assert_eq!(lines[..2], ["c 10:1 r", "c 10:2 r"]);
    }

    #[test]
    fn a_hole_in_a_wider_rule_is_refused() {
        for (asked, text) in [
            (["+c 10:* rw", "-c 10:3 w"], "-c 10:3 w"),
            (["+c 10:* rw", "-c *:3 w"], "-c *:3 w"),
            (["+a *:* rw", "-b 8:* r"], "-b 8:* r"),
        ] {
            let error = lines(&asked).unwrap_err().to_string();
            assert!(error.contains(&text[1..]), "{error}");
        }
        assert!(lines(&["+c 10:* r", "-c 10:3 w"]).is_ok());
    }
}
