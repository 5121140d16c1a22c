//! How many attempts are on the wire, in all and of each kind of address.
//!
//! Three kinds of places that never help each other out: addresses where nothing arrives have few of their own, so that
//! they take none from others; addresses that have an attempt on the wire share those for more, so that a slow one
//! takes none from those that have none.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{WEBHOOK_FAILING_PLACES, WEBHOOK_FIRST_PLACES, WEBHOOK_MORE_PLACES};

/// The places of a node.
#[derive(Debug)]
pub(super) struct Places {
    first: Arc<Semaphore>,
    more: Arc<Semaphore>,
    failing: Arc<Semaphore>,
}

/// A place, until it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

impl Default for Places {
    fn default() -> Self {
        Self {
            first: Arc::new(Semaphore::new(WEBHOOK_FIRST_PLACES)),
            more: Arc::new(Semaphore::new(WEBHOOK_MORE_PLACES)),
            failing: Arc::new(Semaphore::new(WEBHOOK_FAILING_PLACES)),
        }
    }
}

impl Places {
    /// Waits for a place of an address that has none, in the order of those who wait; none when there are no more.
    pub(super) async fn first(&self, is_failing: bool) -> Option<Place> {
        let places = if is_failing { &self.failing } else { &self.first };
        Arc::clone(places).acquire_owned().await.ok()
    }

    /// Returns a place of an address that has one, if there is one left.
    pub(super) fn another(&self) -> Option<Place> {
        Arc::clone(&self.more).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn failing_addresses_take_no_place_of_others() {
        let places = Places::default();
        let take = |is_failing| places.first(is_failing).now_or_never().flatten();
        let failing: Vec<_> = std::iter::from_fn(|| take(true)).collect();
        let more: Vec<_> = std::iter::from_fn(|| places.another()).collect();
        assert_eq!((failing.len(), more.len()), (WEBHOOK_FAILING_PLACES, WEBHOOK_MORE_PLACES));
        assert!(take(false).is_some());
        drop(failing);
        assert!(take(true).is_some());
    }
}
