//! Lists of numbers: processors and memory nodes, as cpuset(7) writes them.

use std::fmt;

/// A set of small numbers, as the bit mask that the kernel takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    words: Vec<u64>,
}

impl Numbers {
    /// Reads `0-3,7`: blanks around the parts and empty parts are fine, an empty list is not. No
    /// number is above `most`.
    pub(super) fn parse(list: &str, most: usize) -> Result<Self, String> {
        let mut numbers = Self::default();
        for part in list.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |word: &str| {
                let word = word.trim();
                let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
                digits.then(|| word.parse().unwrap_or(usize::MAX))
            };
            let (Some(first), Some(last)) = (number(first), number(last)) else {
                return Err(format!("{list:?} is no list like 0-3,7: it has {part:?}"));
            };
            if first > last {
                return Err(format!("{list:?}: {part:?} ends before it begins"));
            }
            if last > most {
                return Err(format!("{list:?}: {last} is above {most}"));
            }
            (first..=last).for_each(|number| numbers.insert(number));
        }
        if numbers.words.is_empty() {
            return Err(format!("{list:?} names none"));
        }
        Ok(numbers)
    }

    fn insert(&mut self, number: usize) {
        let (word, bit) = (number / 64, number % 64);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << bit;
    }

    /// Bit n of the mask is number n.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    fn has(&self, number: usize) -> bool {
        let word = self.words.get(number / 64);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        let starts = |n: &usize| self.has(*n) && (*n == 0 || !self.has(n - 1));
        for first in (0..self.words.len() * 64).filter(starts) {
            let last = (first..).find(|n| !self.has(n + 1)).unwrap_or(first);
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn a_list_is_read_as_the_kernel_writes_it() {
        for (list, shown, words) in [
            ("0", "0", &[1][..]),
            ("0-3,7", "0-3,7", &[0x8f]),
            (" 1 , 2-2,, 64", "1-2,64", &[6, 1]),
            ("63-64", "63-64", &[1 << 63, 1]),
            ("5,3,4", "3-5", &[0x38]),
        ] {
            let numbers = Numbers::parse(list, 100).unwrap();
            assert_eq!(numbers.words(), words, "{list}");
            assert_eq!(numbers.to_string(), shown, "{list}");
        }
    }

    #[test]
    fn a_list_that_is_none_is_told() {
        for (list, said) in [
            ("", r#""" names none"#),
            (" , ", r#"" , " names none"#),
            ("a", r#""a" is no list like 0-3,7: it has "a""#),
            ("1-", r#""1-" is no list like 0-3,7: it has "1-""#),
            ("-1", r#""-1" is no list like 0-3,7: it has "-1""#),
            ("+1", r#""+1" is no list like 0-3,7: it has "+1""#),
            ("3-1", r#""3-1": "3-1" ends before it begins"#),
            ("0-101", r#""0-101": 101 is above 100"#),
            (
                "99999999999999999999",
                &format!(r#""99999999999999999999": {} is above 100"#, usize::MAX),
            ),
        ] {
            assert_eq!(Numbers::parse(list, 100).unwrap_err(), said, "{list}");
        }
    }
}
