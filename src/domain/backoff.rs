//! Whether and when a deferred delivery is tried again.
//!
//! Full jitter from a seed, so that a run can be repeated; knows no clock.

use std::time::Duration;

use crate::domain::failure::Retry;
use crate::domain::moment::Moment;

/// The share of the first wait below which no wait is drawn: nobody comes back at once.
const FLOOR_SHARE: u32 = 10;

/// Returns the wait before the next attempt, or `None` when there is none by itself.
///
/// `n_attempts` counts the attempts made so far (at least 1); `seed` is any value that differs
/// between deliveries. A growing wait is drawn evenly between a tenth of the first one and a ceiling that
/// doubles per attempt (full jitter), so that deliveries refused together do not come back together.
#[must_use]
pub fn wait_before_next(retry: Retry, n_attempts: u32, seed: u64) -> Option<Duration> {
    let n_before = n_attempts.saturating_sub(1);
    match retry {
        Retry::Never | Retry::AfterReconcile => None,
        Retry::After(wait) => Some(wait),
        Retry::AfterAction { probe } => Some(probe),
        Retry::Steps { waits, .. } => {
            let step = usize::try_from(n_before).unwrap_or(usize::MAX);
            waits.get(step).or(waits.last()).copied()
        }
        Retry::Backoff { first, longest, .. } => {
            let ceiling = first.saturating_mul(1 << n_before.min(20)).min(longest);
            let floor = (first / FLOOR_SHARE).min(ceiling);
            let draw = splitmix(seed ^ u64::from(n_attempts)) >> 11;
            let share = f64::from(u32::try_from(draw >> 21).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
            Some(floor + (ceiling - floor).mul_f64(share))
        }
    }
}

/// What becomes of a delivery that was put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt at this moment.
    At(Moment),
    /// It has used up its attempts.
    Exhausted,
    /// It would expire before its next attempt.
    Expired,
}

/// Decides whether and when a delivery is tried again after `n_attempts`, of which the rule allows a number of its own and
/// `attempts_max` bounds all.
#[must_use]
pub fn next_attempt(
    retry: Retry,
    (n_attempts, attempts_max): (u32, u32),
    seed: u64,
    now: Moment,
    expires_at: Option<Moment>,
) -> Next {
    let of_rule = match retry {
        Retry::Backoff { attempts_max, .. } | Retry::Steps { attempts_max, .. } => attempts_max,
        _ => attempts_max,
    };
    if of_rule.min(attempts_max) <= n_attempts {
        return Next::Exhausted;
    }
    match wait_before_next(retry, n_attempts, seed).map(|wait| now + wait) {
        None => Next::Exhausted,
        Some(at) if expires_at.is_some_and(|expires_at| expires_at <= at) => Next::Expired,
        Some(at) => Next::At(at),
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

    const MAX: u32 = 10;
    const WAITS: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(16)];

    proptest! {
        #[test]
        fn waits_grow_and_stay_bounded(n_attempts in 1u32..100, seed: u64) {
            let (first, longest) = (Duration::from_secs(1), Duration::from_mins(1));
            let wait = wait_before_next(Retry::Backoff { first, longest, attempts_max: 9 }, n_attempts, seed).unwrap();
            let ceiling = first.saturating_mul(1 << (n_attempts - 1).min(20)).min(longest);
            prop_assert!(first / 10 <= wait && wait <= ceiling, "{wait:?} of {ceiling:?}");
        }

        /// Whatever the rule, a delivery ends: after few attempts, or when it expires.
        #[test]
        fn attempts_and_time_are_bounded(
            of_rule in 1u32..20, seed: u64, now in 0u64..1 << 60, ttl in prop::option::of(0u64..1 << 40),
            rule in 0usize..4,
        ) {
            let (first, longest) = (Duration::from_secs(1), Duration::from_mins(1));
            let retry = [
                Retry::Backoff { first, longest, attempts_max: of_rule }, Retry::After(first),
                Retry::Steps { waits: WAITS, attempts_max: of_rule },
                Retry::AfterAction { probe: longest },
            ][rule];
            let (start, expires_at) = (Moment(now), ttl.map(|ttl| Moment(now + ttl)));
            let (mut at, mut n_attempts) = (start, 1);
            while let Next::At(next) = next_attempt(retry, (n_attempts, MAX), seed, at, expires_at) {
                prop_assert!(at < next && expires_at.is_none_or(|expires_at| next < expires_at));
                (at, n_attempts) = (next, n_attempts + 1);
            }
            let most = if rule % 2 == 0 { of_rule.min(MAX) } else { MAX };
            prop_assert!(n_attempts <= most.max(1));
            prop_assert!(ttl.is_some() || n_attempts == most.max(1));
        }
    }

    #[test]
    fn draws_spread_evenly_over_all_of_the_ceiling() {
        let (first, longest) = (Duration::from_secs(2), Duration::from_secs(8));
        let retry = Retry::Backoff { first, longest, attempts_max: 9 };
        for (n_attempts, ceiling_ms) in [(1, 2_000), (2, 4_000), (3, 8_000), (9, 8_000)] {
            let waits: Vec<_> = (0..1_000).filter_map(|seed| wait_before_next(retry, n_attempts, seed)).collect();
            let middle = Duration::from_millis((200 + ceiling_ms) / 2);
            let early = waits.iter().filter(|wait| **wait < middle).count();
            assert!((400..600).contains(&early), "{early} of 1000 in the first half of {ceiling_ms} ms");
            let low = Duration::from_millis(200 + ceiling_ms / 20);
            assert!(waits.iter().any(|wait| *wait < low), "none near the floor");
        }
    }

    #[test]
    fn steps_are_taken_as_they_are_written() {
        let retry = Retry::Steps { waits: WAITS, attempts_max: 9 };
        let waits: Vec<_> = (1..6).map(|n| wait_before_next(retry, n, 7).unwrap().as_secs()).collect();
        assert_eq!(waits, [1, 4, 16, 16, 16]);
    }

    #[test]
    fn only_some_rules_come_back_by_themselves() {
        assert_eq!(wait_before_next(Retry::Never, 1, 0), None);
        assert_eq!(wait_before_next(Retry::AfterReconcile, 1, 0), None);
        let wait = Duration::from_secs(4);
        assert_eq!(wait_before_next(Retry::After(wait), 9, 0), Some(wait));
    }
}
