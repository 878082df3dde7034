//! Words of somebody else's: of a server, or of a program that was asked.

/// Of them no more is shown.
const SHOWN: usize = 300;

/// As they may go to a terminal: nothing that moves its cursor or turns its text round, and not much.
pub fn plain(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain: String = text
        .chars()
        .filter(|c| !c.is_control() && !turns(*c))
        .take(SHOWN)
        .collect();
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        assert_eq!(
            plain(" down \u{1b}[31mfor\u{202e} repair\n"),
            "down [31mfor repair"
        );
        assert_eq!(plain(&"x".repeat(1000)).len(), SHOWN);
    }
}
