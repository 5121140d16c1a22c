//! The waits between two tries at something that is away: a database, a broker.
//!
//! For loops that must go on until it is back; knows nothing of deliveries, whose waits are in `domain::backoff`.

use std::time::Duration;

use backoff::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

/// First and longest wait: a restart of the database takes about a second, and 2 s more are no harm.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How one loop waits: each time about twice as long, with jitter, until something has worked.
#[derive(Debug)]
pub struct Patience(ExponentialBackoff);

impl Default for Patience {
    fn default() -> Self {
        let (first, longest) = WAITS;
        let waits = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).without_max_times();
        Self(waits.with_jitter().build())
    }
}

impl Patience {
    /// Waits before the next try.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.0.next().unwrap_or(WAITS.1)).await;
    }

    /// Waits before the next try; `false` when told to stop before.
    pub async fn wait_unless(&mut self, stop: &CancellationToken) -> bool {
        stop.run_until_cancelled(self.wait()).await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_longest_and_never_end() {
        let mut patience = Patience::default();
        for n in 0..200_u32 {
            let before = Instant::now();
            patience.wait().await;
            let least = WAITS.0.saturating_mul(1 << n.min(10)).min(WAITS.1);
            let waited = before.elapsed();
            // The jitter adds at most as much again; tokio's timer is good to the millisecond.
            assert!(least <= waited && waited <= least * 2 + Duration::from_millis(2), "{n}: {waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait() {
        let (mut patience, stop) = (Patience::default(), CancellationToken::new());
        assert!(patience.wait_unless(&stop).await);
        stop.cancel();
        assert!(!patience.wait_unless(&stop).await);
    }
}
