//! The wait before the next attempt of a deferred delivery.
//!
//! Full jitter from a seed, so that a run can be repeated; knows no clock.

use std::time::Duration;

use crate::domain::failure::Retry;

/// Returns the wait before the next attempt, or `None` when there is none by itself.
///
/// `n_attempts` counts the attempts made so far (at least 1); `seed` is any value that differs
/// between deliveries. A growing wait doubles per attempt and is drawn from its upper half, so that
/// deliveries refused together do not come back together and none comes back at once.
#[must_use]
pub fn wait_before_next(retry: Retry, n_attempts: u32, seed: u64) -> Option<Duration> {
    match retry {
        Retry::Never | Retry::AfterReconcile => None,
        Retry::After(wait) => Some(wait),
        Retry::AfterAction { probe } => Some(probe),
        Retry::Backoff { first, longest, .. } => {
            let doublings = n_attempts.saturating_sub(1).min(20);
            let ceiling = first.saturating_mul(1 << doublings).min(longest);
            let draw = splitmix(seed ^ u64::from(n_attempts)) >> 11;
            let share = f64::from(u32::try_from(draw >> 21).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
            Some(ceiling.mul_f64(0.5 + 0.5 * share))
        }
    }
}

/// Mixes a seed into an even spread of bits (the finaliser of `SplitMix64`).
#[must_use]
pub fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_and_stay_bounded(n_attempts in 1u32..100, seed: u64) {
            let (first, longest) = (Duration::from_secs(1), Duration::from_mins(1));
            let wait = wait_before_next(Retry::Backoff { first, longest, attempts_max: 9 }, n_attempts, seed).unwrap();
            let ceiling = first.saturating_mul(1 << (n_attempts - 1).min(20)).min(longest);
            prop_assert!(ceiling / 2 <= wait && wait <= ceiling, "{wait:?} of {ceiling:?}");
        }
    }

    #[test]
    fn draws_spread_evenly() {
        let retry = Retry::Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(2), attempts_max: 9 };
        let waits: Vec<_> = (0..1_000).filter_map(|seed| wait_before_next(retry, 1, seed)).collect();
        let early = waits.iter().filter(|wait| **wait < Duration::from_millis(1_500)).count();
        assert!((400..600).contains(&early), "{early} of 1000 in the first half");
    }

    #[test]
    fn only_some_rules_come_back_by_themselves() {
        assert_eq!(wait_before_next(Retry::Never, 1, 0), None);
        assert_eq!(wait_before_next(Retry::AfterReconcile, 1, 0), None);
        let wait = Duration::from_secs(4);
        assert_eq!(wait_before_next(Retry::After(wait), 9, 0), Some(wait));
    }
}
