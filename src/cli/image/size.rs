//! Sizes as people read them.

/// In powers of a thousand, as Docker prints them: `78.1MB`.
pub(super) fn shown(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut unit, mut scale) = (0, 1_u64);
    while unit + 1 < UNITS.len() && bytes / scale >= 1000 {
        (unit, scale) = (unit + 1, scale * 1000);
    }
    let (whole, tenth) = (bytes / scale, bytes % scale * 10 / scale);
    match unit {
        0 => format!("{whole}B"),
        _ => format!("{whole}.{tenth}{}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.0kB"),
            (78_190_000, "78.1MB"),
            (u64::MAX, "18446744.0TB"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }
}
