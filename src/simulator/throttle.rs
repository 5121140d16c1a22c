//! The provider's own limits: throughput of a number, and the pair limit of a number and a recipient.
//!
//! Plain values that are given the time; who holds them and what is answered is decided elsewhere.

use std::time::Duration;

/// A bucket of tokens, kept as the one moment at which it would be full again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    full_at_ns: u64,
}

impl Bucket {
    /// Takes a token if there is one: `burst` of them at rest, one more every `interval`.
    pub(crate) fn take(&mut self, now_us: u64, interval: Duration, burst: u32) -> bool {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let now_ns = now_us.saturating_mul(1_000);
        let room_ns = interval_ns.saturating_mul(u64::from(burst.saturating_sub(1)));
        if self.full_at_ns > now_ns.saturating_add(room_ns) {
            return false;
        }
        self.full_at_ns = self.full_at_ns.max(now_ns).saturating_add(interval_ns);
        true
    }
}

/// How the pair limit is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairModel {
    /// The words of Meta: a burst within one interval borrows, and is followed by a block as long as it would have taken at
    /// the normal pace (Meta: about-the-platform, pair rate limits: "a burst of 20 … about two minutes").
    BorrowBlock,
    /// The softer reading: a bucket that holds the burst and refills at the normal pace.
    Gcra,
}

/// The pair limit: one message every `interval`, `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PairLimit {
    pub(crate) model: PairModel,
    pub(crate) interval: Duration,
    pub(crate) burst: u32,
    /// Status of the refusal.
    pub(crate) http: u16,
}

/// What one pair has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pair {
    burst_began_us: u64,
    n_sent: u32,
    bucket: Bucket,
}

impl Pair {
    /// Takes one message of the pair, if the limit allows it now.
    pub(crate) fn take(&mut self, now_us: u64, limit: &PairLimit) -> bool {
        match limit.model {
            PairModel::Gcra => self.bucket.take(now_us, limit.interval, limit.burst),
            PairModel::BorrowBlock => self.borrow(now_us, limit),
        }
    }

    fn borrow(&mut self, now_us: u64, limit: &PairLimit) -> bool {
        let interval_us = u64::try_from(limit.interval.as_micros()).unwrap_or(u64::MAX);
        let blocked_until_us = self.burst_began_us.saturating_add(interval_us.saturating_mul(u64::from(self.n_sent)));
        if self.n_sent == 0 || now_us >= blocked_until_us {
            *self = Self { burst_began_us: now_us, n_sent: 1, ..*self };
            return true;
        }
        if now_us < self.burst_began_us.saturating_add(interval_us) && self.n_sent < limit.burst {
            self.n_sent += 1;
            return true;
        }
        false
    }

    /// Tells whether nothing would change if the pair were forgotten.
    pub(crate) fn is_at_rest(&self, now_us: u64, limit: &PairLimit) -> bool {
        let interval_us = u64::try_from(limit.interval.as_micros()).unwrap_or(u64::MAX);
        let blocked_until_us = self.burst_began_us.saturating_add(interval_us.saturating_mul(u64::from(self.n_sent)));
        now_us >= blocked_until_us && self.bucket.full_at_ns <= now_us.saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(model: PairModel) -> PairLimit {
        PairLimit { model, interval: Duration::from_secs(6), burst: 45, http: 429 }
    }

    fn taken(pair: &mut Pair, limit: &PairLimit, now_us: u64, tries: u32) -> u32 {
        (0..tries).map(|_| u32::from(pair.take(now_us, limit))).sum()
    }

    #[test]
    fn bucket_holds_its_burst_and_refills_at_its_rate() {
        let mut bucket = Bucket::default();
        let interval = Duration::from_millis(100);
        assert_eq!((0..10).filter(|_| bucket.take(1_000_000, interval, 3)).count(), 3);
        assert!(!bucket.take(1_099_999, interval, 3));
        assert!(bucket.take(1_100_000, interval, 3));
        assert!(!bucket.take(1_100_000, interval, 3));
    }

    #[test]
    fn burst_of_twenty_blocks_the_pair_for_two_minutes() {
        let (mut pair, limit) = (Pair::default(), limit(PairModel::BorrowBlock));
        assert_eq!(taken(&mut pair, &limit, 1, 20), 20);
        assert_eq!(taken(&mut pair, &limit, 119_999_999, 1), 0);
        assert!(!pair.is_at_rest(119_999_999, &limit));
        assert!(pair.is_at_rest(120_000_001, &limit));
        assert_eq!(taken(&mut pair, &limit, 120_000_001, 100), 45);
    }

    #[test]
    fn steady_pace_passes_under_both_models() {
        for model in [PairModel::BorrowBlock, PairModel::Gcra] {
            let (mut pair, limit) = (Pair::default(), limit(model));
            for n in 0..50 {
                assert!(pair.take(n * 6_000_000, &limit), "{model:?} refused message {n}");
            }
        }
    }

    #[test]
    fn gcra_keeps_what_the_burst_left() {
        let (mut pair, limit) = (Pair::default(), limit(PairModel::Gcra));
        assert_eq!(taken(&mut pair, &limit, 0, 20), 20);
        assert_eq!(taken(&mut pair, &limit, 0, 100), 25);
        assert_eq!(taken(&mut pair, &limit, 6_000_000, 2), 1);
    }
}
