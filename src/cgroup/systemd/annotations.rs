//! Properties of the unit that the document asks for: annotations `org.systemd.property.NAME`, with
//! values in GVariant's text form.

use std::collections::BTreeMap;

use zbus::zvariant::Value;

use super::super::Error;
use super::properties::Property;

const PREFIX: &str = "org.systemd.property.";

/// What a document may ask for: the order and the end of the unit, and limits of its own. Who wrote the
/// document need not be who rules the host, and others move processes, start and stop units, load
/// programs or reboot (`FailureAction`).
const TAKEN: [&str; 35] = [
    // In which order units start and end.
    "After",
    "Before",
    "DefaultDependencies",
    "Description",
    // When and how it ends.
    "CollectMode",
    "FinalKillSignal",
    "KillMode",
    "KillSignal",
    "OOMPolicy",
    "RuntimeMaxUSec",
    "RuntimeRandomizedExtraUSec",
    "SendSIGHUP",
    "SendSIGKILL",
    "TimeoutStopUSec",
    "WatchdogSignal",
    // What is counted.
    "BlockIOAccounting",
    "CPUAccounting",
    "IOAccounting",
    "IPAccounting",
    "MemoryAccounting",
    "TasksAccounting",
    // Limits, where linux.resources sets none; none that takes from others (MemoryMin, MemoryLow).
    "BlockIOWeight",
    "CPUQuotaPerSecUSec",
    "CPUQuotaPeriodUSec",
    "CPUShares",
    "CPUWeight",
    "IOWeight",
    "MemoryHigh",
    "MemoryLimit",
    "MemoryMax",
    "MemorySwapMax",
    "MemoryZSwapMax",
    "StartupCPUWeight",
    "StartupIOWeight",
    "TasksMax",
];

pub(super) fn wishes(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, Error> {
    let asked = annotations
        .iter()
        .filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?, text)));
    asked.map(|(name, text)| wish(name, text)).collect()
}

fn wish(name: &str, text: &str) -> Result<Property, Error> {
    let fault = |why: String| Error::UnitProperty {
        name: name.into(),
        why,
    };
    // As systemd's own unit files have it; over D-Bus such a property counts microseconds.
    let stem = seconds(name);
    let told = stem.map_or_else(|| name.to_string(), |stem| format!("{stem}USec"));
    if !TAKEN.contains(&&*told) {
        let taken = TAKEN.join(", ");
        return Err(fault(format!(
            "a document may not set it, but only {taken}"
        )));
    }
    let value = value(text.trim()).ok_or_else(|| {
        fault(format!(
            "{text:?} is no value: give 'a string', a number (uint64 5, 1.5), true, false or ['a', 'list']"
        ))
    })?;
    let value = match stem {
        None => value,
        Some(_) => micros(&value)
            .ok_or_else(|| fault(format!("{text:?} is no number of seconds")))?
            .into(),
    };
    Ok(Property {
        name: told.into(),
        value,
        since: 0,
    })
}

/// `TimeoutStop` of `TimeoutStopSec`.
fn seconds(name: &str) -> Option<&str> {
    let stem = name.strip_suffix("Sec")?;
    stem.ends_with(|c: char| c.is_ascii_lowercase())
        .then_some(stem)
}

fn micros(seconds: &Value<'_>) -> Option<u64> {
    let seconds = match *seconds {
        Value::F64(n) => n,
        Value::I32(n) => f64::from(n),
        Value::U32(n) => f64::from(n),
        #[allow(
            clippy::cast_precision_loss,
            reason = "microseconds of a few years are exact"
        )]
        Value::U64(n) => n as f64,
        #[allow(
            clippy::cast_precision_loss,
            reason = "microseconds of a few years are exact"
        )]
        Value::I64(n) => n as f64,
        _ => return None,
    };
    let micros = seconds * 1e6;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in the range, and a float saturates"
    )]
    (0.0..1.8e19).contains(&micros).then_some(micros as u64)
}

/// The part of GVariant's text form that properties of units are made of: a word for a type may stand
/// before a number; a number without one is an int32, or a double if it has a point.
fn value(text: &str) -> Option<Value<'static>> {
    if let Some(list) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return strings(list).map(Value::from);
    }
    if text.starts_with(['\'', '"']) {
        let (string, rest) = string(text)?;
        return rest.is_empty().then(|| string.into());
    }
    let (kind, number) = match text.split_once(' ') {
        Some((kind, number)) => (kind, number.trim()),
        None if text.contains('.') => ("double", text),
        None => ("int32", text),
    };
    Some(match (kind, text) {
        (_, "true") => true.into(),
        (_, "false") => false.into(),
        ("boolean", _) => number.parse::<bool>().ok()?.into(),
        ("byte", _) => number.parse::<u8>().ok()?.into(),
        ("int16", _) => number.parse::<i16>().ok()?.into(),
        ("uint16", _) => number.parse::<u16>().ok()?.into(),
        ("int32", _) => number.parse::<i32>().ok()?.into(),
        ("uint32", _) => number.parse::<u32>().ok()?.into(),
        ("int64", _) => number.parse::<i64>().ok()?.into(),
        ("uint64", _) => number.parse::<u64>().ok()?.into(),
        ("double", _) => number.parse::<f64>().ok().filter(|n| n.is_finite())?.into(),
        _ => return None,
    })
}

fn strings(list: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (string, after) = string(rest)?;
        found.push(string);
        rest = match after.trim_start() {
            "" => "",
            more => more.strip_prefix(',')?.trim_start(),
        };
    }
    Some(found)
}

/// A string in quotes of either kind, and what follows; a backslash quotes the next character.
fn string(text: &str) -> Option<(String, &str)> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next().filter(|(_, c)| matches!(c, '\'' | '"'))?;
    let mut string = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                'n' => string.push('\n'),
                't' => string.push('\t'),
                other if !other.is_alphanumeric() => string.push(other),
                _ => return None,
            },
            c if c == quote => return Some((string, &text[at + 1..])),
            c => string.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_gvariant_writes_them() {
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_string()).collect::<Vec<_>>();
        for (text, wanted) in [
            ("true", Value::from(true)),
            ("false", Value::from(false)),
            ("5", Value::from(5i32)),
            ("-5", Value::from(-5i32)),
            ("uint64 18446744073709551615", Value::from(u64::MAX)),
            ("uint32 7", Value::from(7u32)),
            ("byte 7", Value::from(7u8)),
            ("1.5", Value::from(1.5)),
            ("double 2", Value::from(2.0)),
            ("'a b'", Value::from("a b")),
            ("\"it's\"", Value::from("it's")),
            (r"'it\'s \\'", Value::from(r"it's \")),
            ("['a', \"b\"]", Value::from(list(&["a", "b"]))),
            ("[]", Value::from(list(&[]))),
        ] {
            assert_eq!(value(text), Some(wanted), "{text}");
        }
        for text in [
            "",
            "word",
            "'open",
            "'a' b",
            "5000000000",
            "uint64 -1",
            "byte 256",
            "['a' 'b']",
            "[1]",
            "inf.",
            r"'\x41'",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_become_microseconds() {
        for (text, wanted) in [
            ("5", 5_000_000u64),
            ("uint64 2", 2_000_000),
            ("0.25", 250_000),
        ] {
            let found = wish("TimeoutStopSec", text).unwrap();
            assert_eq!(found.name, "TimeoutStopUSec");
            assert_eq!(found.value, Value::from(wanted), "{text}");
        }
        // Not of that kind.
        assert_eq!(
            wish("CPUQuotaPerSecUSec", "uint64 5").unwrap().name,
            "CPUQuotaPerSecUSec"
        );
        for text in ["'5'", "-1", "true"] {
            assert!(wish("TimeoutStopSec", text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_may_not_be_asked_names_the_annotation() {
        let others = [
            "PIDs",
            "PIDFDs",
            "Slice",
            "Delegate",
            "DelegateControllers",
            "DelegateSubgroup",
            "FailureAction",
            "SuccessAction",
            "JobTimeoutAction",
            "StartLimitAction",
            "RebootArgument",
            "OnFailure",
            "OnSuccess",
            "Wants",
            "Requires",
            "Conflicts",
            "BindsTo",
            "PropagatesStopTo",
            "JoinsNamespaceOf",
            "BPFProgram",
            "IPIngressFilterPath",
            "ManagedOOMPreference",
            "MemoryMin",
            "User",
            "Sec",
            "",
            "a_b",
        ];
        let others = others.map(|name| (name, "'x'", "a document may not set it, but only After,"));
        let unread = ("After", "a.service", "\"a.service\" is no value");
        for (name, text, said) in others.into_iter().chain([unread]) {
            let asked = BTreeMap::from([(format!("{PREFIX}{name}"), text.to_string())]);
            let error = wishes(&asked).unwrap_err().to_string();
            let begin = format!("annotations: org.systemd.property.{name}: ");
            assert!(error.starts_with(&begin) && error.contains(said), "{error}");
        }
        let other = BTreeMap::from([("org.systemd".to_string(), "x".to_string())]);
        assert!(wishes(&other).unwrap().is_empty());
    }
}
