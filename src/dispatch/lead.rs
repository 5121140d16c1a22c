//! How far ahead of its moment an attempt has to be written: about three commits, as measured.
//!
//! Too short and messages leave late; too long and a crash leaves more attempts unknown that
//! never left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Shortest and longest lead.
const BOUNDS: (Duration, Duration) = (Duration::from_millis(8), Duration::from_millis(250));

/// A moving average of commit times, shared by the journal and the shards.
#[derive(Debug, Clone, Default)]
pub struct Lead(Arc<AtomicU64>);

impl Lead {
    /// Takes note of how long a commit took; each one counts an eighth.
    pub fn committed(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let average = self.0.load(Ordering::Relaxed);
        self.0.store(average - average / 8 + took_ns / 8, Ordering::Relaxed);
    }

    /// Returns the lead.
    #[must_use]
    pub fn get(&self) -> Duration {
        let average = Duration::from_nanos(self.0.load(Ordering::Relaxed));
        // One commit may be under way when the attempt arrives, the next one carries it, and either
        // may take half as long again.
        (average * 3 + Duration::from_millis(4)).clamp(BOUNDS.0, BOUNDS.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_commits_within_bounds() {
        let lead = Lead::default();
        assert_eq!(lead.get(), BOUNDS.0);
        (0..100).for_each(|_| lead.committed(Duration::from_millis(20)));
        assert!((Duration::from_millis(60)..Duration::from_millis(65)).contains(&lead.get()), "{:?}", lead.get());
        (0..100).for_each(|_| lead.committed(Duration::from_secs(10)));
        assert_eq!(lead.get(), BOUNDS.1);
    }
}
