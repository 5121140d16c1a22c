//! How sends ended, and what follows for their lane: by the handling that the failure table names.

use super::Lane;
use crate::clock::Moment;
use crate::dispatch::breaker::{Noted, Sent, WITHOUT_RULE};
use crate::dispatch::lane::pairs;
use crate::dispatch::lane::step::{Hold, MaxByEnd, Verdict};
use crate::dispatch::lane::work::Work;
use crate::domain::attempt::Outcome;
use crate::domain::backoff::{Next, next_attempt};
use crate::domain::failure::{Failure, Handling, Retry};
use crate::domain::held_by::Held;
use crate::limits::ATTEMPTS_PER_DELIVERY_MAX;

/// When a delivery is due again, in the database and in this lane's memory.
struct Again {
    due_at: Moment,
    ready_at: Moment,
    /// Whether the attempt counts against those that the delivery may have.
    is_try: bool,
}

impl Again {
    /// Counts the attempt: it was about the delivery, or may have been.
    fn tried(at: Moment) -> Self {
        Self { due_at: at, ready_at: at, is_try: true }
    }

    /// Lets the delivery wait with the others of its kind.
    fn with_its_kind(held: Option<Held>, now: Moment) -> Self {
        Self::spared(held.and_then(|held| held.until).unwrap_or(now), now)
    }

    /// Does not count the attempt: the delivery waits with the others of its kind.
    fn spared(due_at: Moment, ready_at: Moment) -> Self {
        Self { due_at, ready_at, is_try: false }
    }
}

impl Lane {
    /// Tells the lane how a send ended; returns what to write.
    pub fn finished(&mut self, mut work: Box<Work>, outcome: Outcome, released_at: Moment, now: Moment) -> Verdict {
        self.n_in_flight -= 1;
        let sent = sent(&work, released_at);
        let of_kinds = self.settle_kinds(&work, (&sent, &outcome), now);
        for noted in [self.breaker.settle(&sent, &outcome, now)].into_iter().chain(of_kinds) {
            match noted {
                Noted::Unchanged => {}
                Noted::Opened(_) => self.unsaved = true,
                Noted::Closed => (self.open_since, self.unsaved) = (now, true),
            }
        }
        if matches!(outcome, Outcome::Accepted { .. }) {
            self.limits.accepted(now);
        }
        let Outcome::Deferred(failure) = outcome else {
            self.members.remove(&work.delivery_id);
            self.n_unwritten += 1;
            return Verdict { outcome, is_try: true, due_at: now, again: None };
        };
        let Some(Again { due_at, ready_at, is_try }) = self.handle(&failure, &work, released_at, now) else {
            self.members.remove(&work.delivery_id);
            self.n_unwritten += 1;
            return Verdict { outcome: Outcome::Rejected(failure), is_try: true, due_at: now, again: None };
        };
        work.ready_at = ready_at;
        work.n_attempts_before += u32::from(!is_try);
        self.n_returning += 1;
        Verdict { outcome: Outcome::Deferred(failure), is_try, due_at, again: Some(work) }
    }

    /// Tells the breakers of the kinds of messages that one is of, or that its failure is about.
    fn settle_kinds(&mut self, work: &Work, told: (&Sent, &Outcome), now: Moment) -> Vec<Noted> {
        let handling = told.1.failure().map(|failure| failure.handling);
        let mut noted = Vec::new();
        if work.is_cold() || handling == Some(Handling::HoldCold) {
            noted.push(self.cold.settle(work.delivery_id, told, now));
        }
        if work.is_business() || handling == Some(Handling::HoldBusinessInitiated) {
            noted.push(self.business.settle(work.delivery_id, told, now));
        }
        noted
    }

    /// Does what the failure asks for; returns when the delivery is due again, none when it is not.
    fn handle(&mut self, failure: &Failure, work: &Work, released_at: Moment, now: Moment) -> Option<Again> {
        match failure.handling {
            Handling::Throttle => {
                self.unsaved |= self.limits.throttled(released_at, now);
                // The provider itself may say how long.
                if let Retry::After(_) = failure.retry {
                    let until = self.until(failure, work, now);
                    let hold = Hold { reason: failure.reason, since: now, until };
                    self.hold = self.hold.max_by_end(hold);
                    self.unsaved = true;
                }
                Some(Again::spared(now, now))
            }
            // What holds a kind of message lets the delivery go back to its stream, where it waits with the others.
            Handling::HoldCold => Some(Again::with_its_kind(self.cold.held(now), now)),
            Handling::HoldBusinessInitiated => Some(Again::with_its_kind(self.business.held(now), now)),
            Handling::HoldStream => {
                let due_at = self.retry_after(failure, work, now)?;
                let hold = Hold { reason: failure.reason, since: now, until: due_at };
                self.streams.shares.hold(work.campaign_id, hold, now);
                self.unsaved = true;
                Some(Again::spared(due_at, now))
            }
            Handling::HoldPair => {
                let due_at = self.retry_after(failure, work, now)?;
                self.pairs.hold(&work.recipient, due_at, now);
                Some(Again::tried(due_at))
            }
            Handling::HoldLane | Handling::HoldAccount | Handling::LoseSession => {
                // Until a breaker is sure that it is about more, it is about this message.
                let shut_until = self.shut(now).and_then(|held| held.until);
                match shut_until {
                    Some(until) => Some(Again::spared(until, until)),
                    None => self.retry_after(failure, work, now).map(Again::tried),
                }
            }
            // The session's state says so in a moment, and says when it is connected again.
            Handling::CloseSession => {
                self.connected = false;
                Some(Again::spared(now, now))
            }
            Handling::FailMessage | Handling::RetryMessage | Handling::Reconcile => {
                self.retry_after(failure, work, now).map(Again::tried)
            }
        }
    }

    /// Until when a kind of message is held.
    fn until(&self, failure: &Failure, work: &Work, now: Moment) -> Moment {
        match next_attempt(failure.retry, (1, u32::MAX), work.seed(), now, None) {
            Next::At(at) => at,
            Next::Exhausted | Next::Expired => now + WITHOUT_RULE,
        }
    }

    /// When a delivery refused on its own account is due again; `None` when its attempts or its time are used up.
    fn retry_after(&self, failure: &Failure, work: &Work, now: Moment) -> Option<Moment> {
        let tried = (work.n_tries(), ATTEMPTS_PER_DELIVERY_MAX);
        match next_attempt(failure.retry, tried, work.seed(), now, work.plan.expires_at) {
            Next::At(at) => Some(at),
            Next::Exhausted | Next::Expired => None,
        }
    }
}

/// What a breaker has to know of a message that was let go.
#[must_use]
pub fn sent(work: &Work, released_at: Moment) -> Sent {
    Sent { recipient: pairs::key(&work.recipient), seed: work.seed(), released_at }
}
