//! How far ahead of its moment an attempt has to be written: by what a commit takes, as measured, the slow ones among them.
//!
//! Too short and messages leave late; too long and a crash leaves more attempts unknown that
//! never left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Shortest and longest lead.
const BOUNDS: (Duration, Duration) = (Duration::from_millis(8), Duration::from_millis(250));

/// What a slow commit counts for less after each other one, as a divisor: half of it after 355 of them, which is a few
/// seconds where the journal is busy.
const SLOW_FADES_BY: u64 = 512;

/// What commits take, shared by the journal and the shards.
#[derive(Debug, Clone, Default)]
pub struct Lead(Arc<Commits>);

#[derive(Debug, Default)]
struct Commits {
    /// A moving average, nanoseconds.
    average_ns: AtomicU64,
    /// The slowest of late, fading.
    slow_ns: AtomicU64,
}

impl Lead {
    /// Takes note of how long a commit took; each one counts an eighth of the average.
    pub fn committed(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let (average, slow) = (self.0.average_ns.load(Ordering::Relaxed), self.0.slow_ns.load(Ordering::Relaxed));
        self.0.average_ns.store(average - average / 8 + took_ns / 8, Ordering::Relaxed);
        self.0.slow_ns.store(took_ns.max(slow - slow / SLOW_FADES_BY), Ordering::Relaxed);
    }

    /// Returns the lead.
    #[must_use]
    pub fn get(&self) -> Duration {
        let average = Duration::from_nanos(self.0.average_ns.load(Ordering::Relaxed));
        let slow = Duration::from_nanos(self.0.slow_ns.load(Ordering::Relaxed));
        // One commit may be under way when the attempt arrives, the next one carries it, and either may take half as
        // long again; or one of the two is a slow one.
        let commits = (average * 3).max(average + slow * 3 / 2);
        (commits + Duration::from_millis(4)).clamp(BOUNDS.0, BOUNDS.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(lead: &Lead, n: usize, took: Duration) {
        (0..n).for_each(|_| lead.committed(took));
    }

    #[test]
    fn follows_the_commits_within_bounds() {
        let lead = Lead::default();
        assert_eq!(lead.get(), BOUNDS.0);
        committed(&lead, 100, Duration::from_millis(20));
        assert!((Duration::from_millis(60)..Duration::from_millis(65)).contains(&lead.get()), "{:?}", lead.get());
        committed(&lead, 100, Duration::from_secs(10));
        assert_eq!(lead.get(), BOUNDS.1);
    }

    /// One in a hundred commits takes three times as long: messages must not be late for that, nor wait for it for good.
    #[test]
    fn remembers_slow_commits_for_a_while() {
        let lead = Lead::default();
        committed(&lead, 200, Duration::from_millis(4));
        let usual = lead.get();
        lead.committed(Duration::from_millis(12));
        committed(&lead, 99, Duration::from_millis(4));
        let (mean, slow) = (Duration::from_millis(4), Duration::from_millis(12));
        assert!(mean + slow < lead.get(), "{:?}", lead.get());
        committed(&lead, 2_000, Duration::from_millis(4));
        assert!(lead.get() < usual + Duration::from_millis(1), "{:?} {usual:?}", lead.get());
    }
}
