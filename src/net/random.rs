//! Numbers that nobody else can foresee.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// 64 bits: the standard library's hash of nothing under a key of its own, which the kernel's random
/// numbers were drawn for and which differs at each call.
pub fn number() -> u64 {
    RandomState::new().hash_one(0)
}

/// A pause before the attempt after `attempt` (from 0) failed: up to `first`, doubled each time, at
/// most `longest`. Anything between nothing and all of it, so that many who failed together do not
/// come back together.
pub fn pause(attempt: u32, first: Duration, longest: Duration) -> Duration {
    let most = first.saturating_mul(1 << attempt.min(16)).min(longest);
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(number() % millis.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ() {
        let mut numbers: Vec<u64> = (0..1000).map(|_| number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 1000);
    }

    #[test]
    fn a_pause_has_a_bound() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        for attempt in 0..40 {
            assert!(pause(attempt, first, longest) <= longest);
        }
        assert!(pause(0, first, longest) <= first);
    }
}
