//! The ledger: that every accepted delivery is in exactly one state, counted from the rows.
//!
//! Promise 1 as a number. Counting reads every row, so one count is made at a time.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::domain::campaign::Counters;
use crate::error::{Error, Result};
use crate::limits::LEDGER_COUNTS_MAX;
use crate::store::{Store, StoreError};

/// What a count of all rows found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// Deliveries ever accepted.
    pub accepted: i64,
    /// Sum of all states.
    pub sum: i64,
    /// How many deliveries are off, over all campaigns; 0 when nothing is lost.
    pub drift: i64,
    /// By how many messages the usage of plans is off, over all tenants; 0 when nothing is lost.
    pub usage_drift: i64,
}

/// Counts for people.
#[derive(Debug, Clone)]
pub struct LedgerService {
    store: Store,
    counting: Arc<Semaphore>,
}

impl LedgerService {
    /// Makes the service.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, counting: Arc::new(Semaphore::new(LEDGER_COUNTS_MAX)) }
    }

    /// Counts all rows now.
    ///
    /// # Errors
    /// `Unavailable` while somebody else has them counted here; `Store`.
    pub async fn count(&self) -> Result<Ledger> {
        let _place = self.counting.try_acquire().map_err(|_| Error::Unavailable("a place to count the ledger"))?;
        Ok(count(&self.store).await?)
    }
}

/// Counts all rows and compares them with the counters.
///
/// # Errors
/// [`StoreError`] when the rows could not be read.
pub async fn count(store: &Store) -> std::result::Result<Ledger, StoreError> {
    let mut ledger = Ledger::default();
    for (_, stored, counted) in store.recount().await? {
        ledger.accepted += stored.accepted;
        ledger.sum += counted.sum();
        ledger.drift += drift(&stored, &counted);
    }
    for (_, stored, counted) in store.recount_usage().await? {
        ledger.usage_drift += stored.drift(&counted);
    }
    Ok(ledger)
}

/// How many deliveries of one campaign the counters and the rows disagree about.
fn drift(stored: &Counters, counted: &Counters) -> i64 {
    let pairs = |c: &Counters| {
        [
            c.pending,
            c.sending,
            c.sent,
            c.delivered,
            c.read,
            c.failed_limit,
            c.failed_unavailable,
            c.skipped,
            c.cancelled,
            c.unknown,
        ]
    };
    let moved: i64 = pairs(stored).iter().zip(pairs(counted)).map(|(a, b)| (a - b).abs()).sum();
    (stored.accepted - counted.sum()).abs().max(moved / 2).max(stored.drift())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_loss_shows() {
        let whole = Counters { accepted: 5, pending: 2, sent: 3, ..Counters::default() };
        assert_eq!(drift(&whole, &whole), 0);
        assert_eq!(drift(&whole, &Counters { sent: 2, ..whole }), 1, "a row is gone");
        assert_eq!(drift(&Counters { accepted: 6, ..whole }, &whole), 1, "accepted was never written");
        assert_eq!(drift(&whole, &Counters { sent: 2, read: 1, ..whole }), 1, "a move was not counted");
    }
}
