//! Requests that count once, by a key of the client's own.
//!
//! The first request with a key is done and its answer kept; the same request is answered from there, another one
//! with the same key is refused. A request that changed nothing gives its key back. What became of a request whose
//! node died or failed is not known; it is not done again.

use std::time::Duration;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::limits::{
    CHANGE_TRIES_MAX, IDEMPOTENCY_KEY_CHARS_MAX, IDEMPOTENCY_ROWS_REMOVED_MAX, IDEMPOTENCY_UNDER_WAY_MAX,
};
use crate::service::Tools;
use crate::store::idempotency::{Claim, EarlierRequest, RequestName, StoredAnswer};

/// The header that carries the key, as problems name it.
const FIELD: &str = "Idempotency-Key";
/// Transactions that forget answers in one go: 50 × 1,000 rows.
const FORGET_STEPS_MAX: u32 = 50;

/// What is to be done with a request that has a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is the first: do it, then keep its answer or give the key back.
    Do(Claim),
    /// It was done before: this was the answer.
    Done(StoredAnswer),
}

/// Lets requests count once.
#[derive(Debug, Clone)]
pub struct IdempotencyService {
    tools: Tools,
    /// How long answers are kept; for ever where there is none.
    kept: Option<Duration>,
}

impl IdempotencyService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools, kept: Option<Duration>) -> Self {
        Self { tools, kept }
    }

    /// Returns before when answers are forgotten, UTC milliseconds.
    fn kept_from_ms(&self) -> i64 {
        self.kept.map_or(i64::MIN, |kept| (self.tools.clock.now() - kept).as_ms())
    }

    /// Decides what becomes of a request; of several at once one is done.
    ///
    /// # Errors
    /// `Validation` by the field `Idempotency-Key`; `Conflict` when the key was used for another request, when its
    /// request is under way, and when it is not known what became of it.
    pub async fn admit(&self, name: RequestName, fingerprint: [u8; 32]) -> Result<Admission> {
        check_key(&name.key)?;
        let requests = self.tools.store.idempotency();
        let claim = Claim { name, claim_id: Uuid::now_v7() };
        for _ in 0..CHANGE_TRIES_MAX {
            let now = self.tools.clock.now();
            let times = (now.as_ms(), self.kept_from_ms());
            if requests.claim(&claim, fingerprint, times).await? {
                return Ok(Admission::Do(claim));
            }
            // Gone meanwhile: whoever had it has given it back.
            if let Some(earlier) = requests.find(&claim.name).await? {
                return self.judge(earlier, fingerprint).map(Admission::Done);
            }
        }
        Err(Error::conflict("Other requests with this Idempotency-Key are under way: ask again in a moment."))
    }

    fn judge(&self, earlier: EarlierRequest, fingerprint: [u8; 32]) -> Result<StoredAnswer> {
        if earlier.fingerprint != fingerprint {
            return Err(Error::conflict("This Idempotency-Key was used for another request: take another one."));
        }
        let under_way_from = self.tools.clock.now() - IDEMPOTENCY_UNDER_WAY_MAX;
        earlier.answer.ok_or_else(|| {
            Error::conflict(if under_way_from.as_ms() < earlier.claimed_at_ms {
                "A request with this Idempotency-Key is under way: ask again in a moment."
            } else {
                "What became of the request with this Idempotency-Key is not known, because its server failed: look \
                 whether it was done, and take another key if not."
            })
        })
    }

    /// Keeps the answer of a request that was done.
    ///
    /// # Errors
    /// `Store` when it is not certain to be kept; then whoever asks again is told that it is not known.
    pub async fn keep(&self, claim: &Claim, answer: &StoredAnswer) -> Result<()> {
        Ok(self.tools.store.idempotency().answer(claim, answer).await?)
    }

    /// Gives the key of a request back that changed nothing.
    ///
    /// # Errors
    /// `Store` when it is not certain to be free.
    pub async fn release(&self, claim: &Claim) -> Result<()> {
        Ok(self.tools.store.idempotency().release(claim).await?)
    }

    /// Forgets answers whose time is over.
    ///
    /// # Errors
    /// `Store` when not all could be forgotten; safe to repeat.
    pub async fn forget_old(&self) -> Result<()> {
        let before_ms = self.kept_from_ms();
        for _ in 0..FORGET_STEPS_MAX {
            let requests = self.tools.store.idempotency();
            let n_forgotten = requests.forget(before_ms, IDEMPOTENCY_ROWS_REMOVED_MAX).await?;
            if n_forgotten < u64::from(IDEMPOTENCY_ROWS_REMOVED_MAX) {
                break;
            }
        }
        Ok(())
    }
}

/// A key is short and visible, so that it can be read from a log and copied.
fn check_key(key: &str) -> Result<()> {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain && (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.len()) {
        return Ok(());
    }
    let problem = format!("must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters without spaces");
    Err(Error::invalid(FIELD, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_visible() {
        let long = "x".repeat(IDEMPOTENCY_KEY_CHARS_MAX);
        for good in ["a", "order-17.a_B:{9}", "5f0c7a5e-8f3e-7b1c-9d2a-0123456789ab", &long] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\tb", "a\u{0}b", "é", &format!("{long}x")] {
            assert!(matches!(check_key(bad), Err(Error::Validation(_))), "{bad:?}");
        }
    }
}
