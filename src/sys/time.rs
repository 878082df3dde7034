//! Moments as RFC 3339 writes them.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC, to the nanosecond, between the years 0 and 9999.
///
/// Shown as Go's `RFC3339Nano` does (`2026-01-02T15:04:05.5Z`, zeros at the end left out), which
/// is what callers decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Since 1970, leap seconds not counted; may be negative.
    seconds: i64,
    nanos: u32,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a time in UTC as RFC 3339 writes it")]
pub struct TimeError(String);

const DAY: i64 = 86_400;

impl Time {
    pub fn now() -> Self {
        // A clock before 1970 is a fault of the host that no caller can act on.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            seconds: since.as_secs().cast_signed(),
            nanos: since.subsec_nanos(),
        }
    }

    /// The same without the part of a second, as log lines show it.
    pub fn whole_second(self) -> Self {
        Self { nanos: 0, ..self }
    }

    /// How long it is until `later`; nothing where that has been.
    pub fn until(self, later: Self) -> Duration {
        let since = |time: Self| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let nanos = u64::try_from((since(later) - since(self)).max(0));
        Duration::from_nanos(nanos.unwrap_or(u64::MAX))
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar. Years are taken
/// to begin in March, so that the leap day is the last of its year.
fn date(day: i64) -> (i64, i64, i64) {
    // 719468 days lie between 0000-03-01 and 1970-01-01; 146097 days are 400 years.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// The reverse of [`date`].
fn day(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Time {
    type Err = TimeError;

    /// Takes exactly what `Display` writes, or more zeros.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse(text).ok_or_else(|| TimeError(text.into()))
    }
}

fn parse(text: &str) -> Option<Time> {
    let form = text.get(..19)?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, b)| form.as_bytes()[*at] != *b) {
        return None;
    }
    let number = |at: usize, width: usize| -> Option<i64> {
        let digits = form.get(at..at + width)?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    let (year, month, of_month) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let days = day(year, month, of_month);
    // A day that the calendar lacks comes back as another one.
    if date(days) != (year, month, of_month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }

    let nanos = match text[19..].strip_suffix('Z')? {
        "" => 0,
        rest => {
            let digits = rest.strip_prefix('.')?;
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            if !plain || digits.is_empty() || digits.len() > 9 {
                return None;
            }
            format!("{digits:0<9}").parse().ok()?
        }
    };
    Some(Time {
        seconds: days * DAY + hour * 3600 + minute * 60 + second,
        nanos,
    })
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_go_writes_it_and_read_back() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_399, 1, "2000-02-28T23:59:59.000000001Z"),
            (951_782_400, 500_000_000, "2000-02-29T00:00:00.5Z"),
            (951_868_800, 120_000, "2000-03-01T00:00:00.00012Z"),
            (1_767_225_599, 0, "2025-12-31T23:59:59Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00Z"),
            (-1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
        ] {
            let time = Time { seconds, nanos };
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_read_back() {
        let mut last = String::new();
        for n in -146_097..146_097 {
            let (year, month, of_month) = date(n);
            assert_eq!(day(year, month, of_month), n);
            let text = format!("{year:04}-{month:02}-{of_month:02}");
            assert!(text > last, "{text} after {last}");
            last = text;
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "2026",
            "2026-01-02T15:04:05",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T15:04:05.Z",
            "2026-01-02T15:04:05.0123456789Z",
            "2026-01-02T15:04:05+01:00",
            "+026-01-02T15:04:05Z",
            "2026-01-02T15:04:é5Z",
        ] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }
}
