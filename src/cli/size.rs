//! Sizes as users write them: `512m`.

/// What config.json has room for.
const MOST: u64 = i64::MAX as u64;

/// Bytes, with a binary suffix in any case: what runc takes (`RAMInBytes` of docker/go-units).
/// `None` where that finds no size.
pub(super) fn parse(text: &str) -> Option<u64> {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.rfind(digits).map_or(0, |last| last + 1);
    let (number, suffix) = text.split_at(end);
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix).to_lowercase();
    let power = match suffix.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let unit = 1u64 << (10 * power);
    if !number.chars().all(digits) {
        return None;
    }
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit).filter(|bytes| *bytes <= MOST);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a power of two keeps its value, and a number of digits alone is not negative"
    )]
    let bytes = (number.parse::<f64>().ok()? * unit as f64) as u64;
    (bytes < MOST).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_a_binary_suffix() {
        for (text, bytes) in [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32k", 32 << 10),
            ("32kb", 32 << 10),
            ("32KiB", 32 << 10),
            ("32 M", 32 << 20),
            ("32 ", 32),
            ("1.5g", 3 << 29),
            (".5m", 1 << 19),
            ("2t", 2 << 40),
            ("3P", 3 << 50),
            ("9223372036854775807", (1 << 63) - 1),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            " ",
            "k",
            "-1",
            "+1",
            "1x",
            "1kk",
            "1  k",
            "1e3",
            "0x10",
            "1.2.3",
            "m5",
            "inf",
            "99999999999999999999",
            "9000p",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
