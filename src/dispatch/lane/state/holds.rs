//! When a lane is held after failures and silences, and when a refused delivery is tried again.

use std::time::Duration;

use super::Lane;
use crate::clock::Moment;
use crate::dispatch::lane::step::Hold;
use crate::dispatch::lane::work::Work;
use crate::domain::attempt::Outcome;
use crate::domain::backoff::{Next, next_attempt, wait_before_next};
use crate::domain::failure::{Failure, Reason, Retry, Scope};
use crate::limits::ATTEMPTS_PER_DELIVERY_MAX;

/// Sends in a row without an answer after which a lane is held and probed. One in twenty may
/// hang without that three in a row are likely.
const SILENCES_MAX: u32 = 3;

/// The first and the longest hold of a lane that gets no answers.
const SILENCE_HOLD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl Lane {
    /// Holds the lane after a failure of number scope or wider; returns until when.
    pub(super) fn hold_after(&mut self, failure: &Failure, seed: u64, released_at: Moment, now: Moment) -> Moment {
        // Sends that left before the lane was held say nothing new.
        if released_at <= self.held_at {
            return self.hold.map_or(now, |hold| hold.until);
        }
        self.n_strikes = self.n_strikes.saturating_add(1);
        let wait = wait_before_next(failure.retry, self.n_strikes, seed).unwrap_or(Duration::from_secs(60));
        let hold = Hold { reason: failure.reason, since: now, until: now + wait };
        self.hold = Some(hold);
        (self.held_at, self.n_out_before_hold) = (now, self.n_in_flight);
        hold.until
    }

    /// Holds the lane when nobody answers: each send into the silence would leave one more
    /// delivery unknown.
    pub(super) fn note_silence(&mut self, outcome: &Outcome, seed: u64, released_at: Moment, now: Moment) {
        let Outcome::Unknown(failure) = outcome else {
            self.n_silences = 0;
            return;
        };
        self.n_silences = self.n_silences.saturating_add(1);
        if SILENCES_MAX <= self.n_silences {
            let retry = Retry::Backoff { first: SILENCE_HOLD.0, longest: SILENCE_HOLD.1, attempts_max: u32::MAX };
            let failure =
                Failure { reason: Reason::ProviderUnavailable, scope: Scope::Platform, retry, ..failure.clone() };
            self.hold_after(&failure, seed, released_at, now);
        }
    }

    /// When a delivery refused on its own account is due again; `None` when its attempts or its time are used up.
    pub(super) fn retry_after(&self, failure: &Failure, work: &Work, now: Moment) -> Option<Moment> {
        let tried = (work.n_tries(), ATTEMPTS_PER_DELIVERY_MAX);
        match next_attempt(failure.retry, tried, work.seed(), now, work.plan.expires_at) {
            Next::At(at) => Some(at),
            Next::Exhausted | Next::Expired => None,
        }
    }
}
