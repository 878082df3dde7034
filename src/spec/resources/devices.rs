//! `linux.resources.devices`

use super::{At, Error, Objects};
use crate::spec::document::DeviceRule as Rule;
use crate::spec::limits::{Access, DeviceKind, DeviceRule};

pub(super) fn convert(list: Objects<Rule>, at: At<'_>) -> Result<Vec<DeviceRule>, Error> {
    let list = list.unwrap_or_default();
    let mut rules = Vec::with_capacity(list.len());
    for (index, rule) in list.iter().enumerate() {
        let at = at.index(index);
        let kind = match rule.kind.as_deref() {
            None | Some("" | "a") => DeviceKind::All,
            Some("c") => DeviceKind::Char,
            Some("b") => DeviceKind::Block,
            Some(other) => {
                return Err(at
                    .key("type")
                    .fault(format_args!("{other:?} is not a, b or c")));
            }
        };
        rules.push(DeviceRule {
            allow: rule.allow,
            kind,
            major: convert_number(rule.major, at.key("major"))?,
            minor: convert_number(rule.minor, at.key("minor"))?,
            access: convert_access(rule.access.as_deref(), at.key("access"))?,
        });
    }
    Ok(rules)
}

/// -1 is any number, as nothing is (runc writes `*` for both).
fn convert_number(number: Option<i64>, at: At<'_>) -> Result<Option<u32>, Error> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| at.fault(format_args!("{number} is no device number"))),
    }
}

fn convert_access(letters: Option<&str>, at: At<'_>) -> Result<Access, Error> {
    let letters = letters.unwrap_or_default();
    if letters.is_empty() {
        return Err(at.fault("device access cannot be empty"));
    }
    if let Some(other) = letters.chars().find(|letter| !"rwm".contains(*letter)) {
        return Err(at.fault(format_args!("{other:?} is not r, w or m")));
    }
    Ok(Access {
        read: letters.contains('r'),
        write: letters.contains('w'),
        mknod: letters.contains('m'),
    })
}
