//! The breakers of all accounts of a node, shared by its shards.
//!
//! Lanes of one account may be in different shards; one of them sends the probe, the others wait for what comes of it.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::watch;

use super::{Breaker, Extent, Noted, Sent, Verdict};
use crate::clock::Moment;
use crate::domain::attempt::Outcome;
use crate::domain::id::SessionId;

/// The breakers of accounts, by the account's name.
#[derive(Debug)]
pub struct Breakers {
    by_account: DashMap<Arc<str>, Breaker>,
    closings: watch::Sender<u64>,
}

impl Default for Breakers {
    fn default() -> Self {
        Self { by_account: DashMap::new(), closings: watch::Sender::new(0) }
    }
}

impl Breakers {
    /// Says whether messages of an account may go.
    #[must_use]
    pub fn verdict(&self, account: &str, now: Moment) -> Verdict {
        if self.by_account.is_empty() {
            return Verdict::Closed;
        }
        self.by_account.get(account).map_or(Verdict::Closed, |breaker| breaker.verdict(now))
    }

    /// Says whether messages of an account may go, and gives the probe to the session that asks.
    pub fn take(&self, account: &str, session_id: SessionId, now: Moment) -> Verdict {
        self.by_account.get_mut(account).map_or(Verdict::Closed, |mut breaker| breaker.take(session_id, now))
    }

    /// Gives a probe back that was not sent after all; others may have it, and all who wait are told.
    pub fn give_back(&self, account: &str, session_id: SessionId) {
        if self.by_account.get_mut(account).is_some_and(|mut breaker| breaker.give_back(session_id)) {
            self.closings.send_modify(|n| *n += 1);
        }
    }

    /// Takes in how a send ended; when that closes the breaker, [`Breakers::closings`] tells all who wait.
    pub fn settle(&self, account: &str, sent: &Sent, outcome: &Outcome, now: Moment) -> Noted {
        let noted = match self.by_account.get_mut(account) {
            Some(mut breaker) => breaker.settle(sent, outcome, now),
            // Nothing has failed yet, and nothing does now.
            None if matches!(outcome, Outcome::Accepted { .. }) => return Noted::Unchanged,
            None => {
                let new = || Breaker::new(Extent::Account);
                self.by_account.entry(account.into()).or_insert_with(new).settle(sent, outcome, now)
            }
        };
        if noted == Noted::Closed {
            self.by_account.remove(account);
            self.closings.send_modify(|n| *n += 1);
        }
        noted
    }

    /// Returns what changes whenever a breaker is closed, or its probe given back.
    #[must_use]
    pub fn closings(&self) -> watch::Receiver<u64> {
        self.closings.subscribe()
    }
}
