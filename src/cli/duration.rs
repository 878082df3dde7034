//! Spans of time as Go writes them: `1m30s`.

use std::time::Duration;

/// Takes what Go's `time.ParseDuration` takes. No span is below zero: a negative one is none.
pub(super) fn parse(text: &str) -> Result<Duration, &'static str> {
    let (is_negative, spans) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let sum = if spans == "0" { Some(0.0) } else { sum(spans) };
    let sum = sum.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match sum.ok_or("not a span of time like 1m30s")? {
        _ if is_negative => Ok(Duration::ZERO),
        sum => Ok(sum),
    }
}

/// In seconds: numbers, each with its unit.
fn sum(mut spans: &str) -> Option<f64> {
    if spans.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !spans.is_empty() {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        let end = spans.find(|c| !is_digit(c))?;
        let (number, rest) = spans.split_at(end);
        let end = rest.find(is_digit).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        seconds += number.parse::<f64>().ok()? * unit_of(unit)?;
        spans = rest;
    }
    Some(seconds)
}

fn unit_of(name: &str) -> Option<f64> {
    Some(match name {
        "ns" => 1e-9,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_sum_of_numbers_with_units() {
        for (text, milliseconds) in [
            ("0", 0),
            ("5s", 5000),
            ("+5s", 5000),
            ("1m30s", 90_000),
            ("100ms", 100),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("2500us", 2),
            ("\u{b5}s", -1),
            ("3000000\u{b5}s", 3000),
            ("-5s", 0),
            ("", -1),
            ("-", -1),
            ("5", -1),
            ("s", -1),
            ("5 s", -1),
            ("5sec", -1),
            ("1..2s", -1),
            ("5s1", -1),
            ("1e3s", -1),
            ("99999999999999999999999h", -1),
        ] {
            let found = parse(text).map_or(-1, |span| i64::try_from(span.as_millis()).unwrap());
            assert_eq!(found, milliseconds, "{text:?}");
        }
    }
}
