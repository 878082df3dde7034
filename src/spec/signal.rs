//! Signals as users and images write them.

use std::str::FromStr;

use nix::sys::signal::Signal;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {0:?}")]
pub struct UnknownSignal(String);

/// A number goes to the kernel as it is; a name has any case, with or without `SIG`. `RTMIN+n` and
/// `RTMAX-n` are crun's addition.
pub fn parse(word: &str) -> Result<i32, UnknownSignal> {
    let unknown = || UnknownSignal(word.into());
    if let Ok(number) = word.parse::<i64>() {
        // What does not fit is no signal, as little as the greatest that does.
        return Ok(i32::try_from(number).unwrap_or(i32::MAX));
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |text: &str| text.parse::<u8>().ok().map(i32::from);
    let real_time = match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
        (Some(n), _) => offset(n).map(|n| libc::SIGRTMIN() + n),
        (_, Some(n)) => offset(n).map(|n| libc::SIGRTMAX() - n),
        _ => {
            return Signal::from_str(&format!("SIG{name}"))
                .map_or(Err(unknown()), |s| Ok(s as i32));
        }
    };
    real_time
        .filter(|n| (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(n))
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_number_or_a_name() {
        for (word, number) in [
            ("9", 9),
            ("0", 0),
            ("999", 999),
            ("99999999999", i32::MAX),
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("Hup", 1),
            ("io", libc::SIGIO),
            ("abrt", 6),
            ("CHLD", libc::SIGCHLD),
            ("rtmin+1", libc::SIGRTMIN() + 1),
            ("SIGRTMAX-0", libc::SIGRTMAX()),
        ] {
            assert_eq!(parse(word), Ok(number), "{word}");
        }
        for word in [
            "",
            "SIG",
            "foo",
            "SIGSIGKILL",
            "rtmin",
            "RTMIN+99",
            "RTMIN+-1",
            "IOT",
            "POLL",
            "CLD",
        ] {
            let error = parse(word).unwrap_err();
            assert_eq!(error.to_string(), format!("unknown signal {word:?}"));
        }
    }
}
