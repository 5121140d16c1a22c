//! Look-ups of numbers: how often they may come, and what is still believed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{CHECK_EVERY, CHECK_KEPT, CHECKS_AT_ONCE_MAX, CHECKS_KEPT_MAX};

/// What look-ups of all sessions told.
#[derive(Default)]
pub(crate) struct Checks {
    known: Mutex<HashMap<Box<str>, (bool, Instant)>>,
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checks").field("n_known", &self.lock().len()).finish()
    }
}

impl Checks {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, (bool, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is believed about a number.
    pub(super) fn get(&self, number: &str) -> Option<bool> {
        self.lock().get(number).filter(|(_, since)| since.elapsed() < CHECK_KEPT).map(|(exists, _)| *exists)
    }

    /// Keeps what a look-up told.
    pub(super) fn put(&self, number: &str, exists: bool) {
        let mut known = self.lock();
        if CHECKS_KEPT_MAX <= known.len() {
            known.retain(|_, (_, since)| since.elapsed() < CHECK_KEPT / 2);
        }
        if CHECKS_KEPT_MAX <= known.len() {
            known.clear();
        }
        known.insert(number.into(), (exists, Instant::now()));
    }
}

/// How many look-ups a session has left.
#[derive(Debug)]
pub(super) struct Budget {
    /// When the last of them would be paid back.
    full_at: Mutex<Instant>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { full_at: Mutex::new(Instant::now()) }
    }

    /// Takes one; tells in what time there is one where there is none.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let (now, mut full_at) = (Instant::now(), self.full_at.lock().unwrap_or_else(PoisonError::into_inner));
        let next = (*full_at).max(now) + CHECK_EVERY;
        let latest = now + CHECK_EVERY * CHECKS_AT_ONCE_MAX;
        if latest < next {
            return Err(next - latest);
        }
        *full_at = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_is_a_burst_and_then_a_trickle() {
        let budget = Budget::new();
        for _ in 0..CHECKS_AT_ONCE_MAX {
            assert_eq!(budget.take(), Ok(()));
        }
        assert_eq!(budget.take(), Err(CHECK_EVERY));
        tokio::time::advance(CHECK_EVERY).await;
        assert_eq!((budget.take(), budget.take()), (Ok(()), Err(CHECK_EVERY)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_is_believed_for_a_day() {
        let checks = Checks::default();
        checks.put("1", true);
        assert_eq!((checks.get("1"), checks.get("2")), (Some(true), None));
        tokio::time::advance(CHECK_KEPT).await;
        assert_eq!(checks.get("1"), None);
    }
}
