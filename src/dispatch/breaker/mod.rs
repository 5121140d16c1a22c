//! Stops sending where the provider refuses a whole number or a whole account, and finds out with single messages when
//! it is over.
//!
//! A pure function of what came of sends and of the time. Knows no lane; who waits, and which message is the probe, is the
//! lane's. Failures of one message, pair or template are none of its business: [`Handling`] tells.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;
use crate::domain::attempt::Outcome;
use crate::domain::backoff::wait_before_next;
use crate::domain::failure::{Failure, Handling, Reason, Retry};
use crate::domain::id::SessionId;

pub use registry::Breakers;

mod registry;

/// Sends to different recipients that are looked back on.
const COHORT: usize = 5;

/// How many of them must have failed before a failure that may be about one message is believed to be about more.
const FAILED_IN_COHORT: usize = 3;

/// How long the answer to a probe is waited for; requests are bounded in time, so this only matters when it never left.
const PROBE_LAPSES_AFTER: Duration = Duration::from_secs(120);

/// How long a failure holds whose rule names no time.
pub const WITHOUT_RULE: Duration = Duration::from_secs(60);

/// Longest wait between two messages that find out whether a kind of them is taken again, unless the rule's is longer.
const KIND_WAIT_MAX: Duration = Duration::from_secs(86_400);

/// How many times that wait doubles at most, to stay within numbers.
const DOUBLINGS_MAX: u32 = 16;

/// The hold after silence: each send into it leaves one more delivery unknown.
const SILENCE: Retry =
    Retry::Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60), attempts_max: u32::MAX };

/// What a breaker is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// One number or session.
    Number,
    /// An account with all its numbers, its app, and the platform behind them.
    Account,
    /// Messages of one number to recipients who never wrote to it.
    NewChats,
    /// Messages of one number that are no answer.
    BusinessInitiated,
}

/// Whether messages may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They may.
    Closed,
    /// One may, to find out.
    Probe,
    /// None may.
    Open(Opening),
}

/// Why and for how long nothing may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Why.
    pub reason: Reason,
    /// Since when; stays the same while probes fail.
    pub since: Moment,
    /// Until when nothing may go; then one message may. While a probe is out, until when its answer is waited for.
    pub until: Moment,
}

/// A message that was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Tells recipients apart: a hash of the recipient.
    pub recipient: u64,
    /// Differs between deliveries; spreads the waits.
    pub seed: u64,
    /// When it was let go.
    pub released_at: Moment,
}

/// What the end of a send did to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Nothing that others must know of.
    Unchanged,
    /// It is open now, or again: nothing may go before `until`.
    Opened(Opening),
    /// It was open and is closed: whoever waits may go.
    Closed,
}

/// One breaker.
#[derive(Debug, Clone)]
pub struct Breaker {
    extent: Extent,
    /// The last send to each of the last recipients, oldest first, from the first failure on.
    cohort: VecDeque<(u64, Seen)>,
    opening: Option<Opening>,
    /// Openings in a row without an answer between them.
    n_strikes: u32,
    /// When it was last opened; what left before says nothing new.
    opened_at: Moment,
    /// Who has the probe, and until when its answer is waited for.
    probe: Option<(SessionId, Moment)>,
}

/// How a send ended, as far as it may be about more than itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Answered,
    Refused,
    Silent,
}

/// What an outcome says about number or account.
enum Says<'a> {
    /// The provider takes messages of it.
    Open,
    /// It refuses it, without a doubt.
    Refuses(&'a Failure),
    /// It may refuse it, or just this message.
    MayRefuse(&'a Failure, Seen),
    /// Nothing.
    Nothing,
}

impl Extent {
    /// Tells whether it is a kind of messages of a number.
    fn is_kind(self) -> bool {
        self.handling().is_some()
    }

    /// Returns the handling that shuts a kind of messages; none of what is no such kind.
    fn handling(self) -> Option<Handling> {
        match self {
            Self::Number | Self::Account => None,
            Self::NewChats => Some(Handling::HoldCold),
            Self::BusinessInitiated => Some(Handling::HoldBusinessInitiated),
        }
    }

    fn hears(self, outcome: &Outcome) -> Says<'_> {
        match outcome {
            Outcome::Deferred(failure) | Outcome::Rejected(failure) if self.is_kind() => {
                // Whatever else is wrong with a message tells nothing about its kind.
                let is_own = self.handling() == Some(failure.handling);
                if is_own { Says::Refuses(failure) } else { Says::Nothing }
            }
            Outcome::Accepted { .. } => Says::Open,
            // A number that gets no answers is no reason to stop the others.
            Outcome::Unknown(failure) if self == Self::Number => Says::MayRefuse(failure, Seen::Silent),
            Outcome::Unknown(_) => Says::Nothing,
            Outcome::Deferred(failure) | Outcome::Rejected(failure) => match (failure.handling, self) {
                (Handling::HoldAccount, Self::Account) | (Handling::HoldLane | Handling::LoseSession, Self::Number) => {
                    if may_be_one_message(failure.reason) {
                        Says::MayRefuse(failure, Seen::Refused)
                    } else {
                        Says::Refuses(failure)
                    }
                }
                (Handling::HoldAccount | Handling::CloseSession, Self::Number) => Says::Nothing,
                // Nobody was asked yet.
                _ if failure.reason == Reason::MediaUploading => Says::Nothing,
                _ => Says::Open,
            },
        }
    }
}

/// Failures that one message can bring about by itself, although they name more.
fn may_be_one_message(reason: Reason) -> bool {
    matches!(reason, Reason::ProviderUnavailable | Reason::ObjectMissing)
}

impl Breaker {
    /// Makes a closed one.
    #[must_use]
    pub fn new(extent: Extent) -> Self {
        Self { extent, cohort: VecDeque::new(), opening: None, n_strikes: 0, opened_at: Moment::default(), probe: None }
    }

    /// Makes one that goes on from where another was saved.
    #[must_use]
    pub fn restored(extent: Extent, opening: Option<Opening>, n_strikes: u32) -> Self {
        Self { opening, n_strikes, ..Self::new(extent) }
    }

    /// Returns why it is open, if it is; also while it probes.
    #[must_use]
    pub fn opening(&self) -> Option<Opening> {
        self.opening
    }

    /// Returns how many times in a row it was opened without an answer in between.
    #[must_use]
    pub fn n_strikes(&self) -> u32 {
        self.n_strikes
    }

    /// Says whether messages may go.
    #[must_use]
    pub fn verdict(&self, now: Moment) -> Verdict {
        let Some(opening) = self.opening else { return Verdict::Closed };
        if now < opening.until {
            return Verdict::Open(opening);
        }
        match self.probe {
            Some((_, lapses_at)) if now < lapses_at => Verdict::Open(Opening { until: lapses_at, ..opening }),
            _ => Verdict::Probe,
        }
    }

    /// Says whether messages may go, and gives the probe to the session that asks: until its answer, everybody else waits.
    pub fn take(&mut self, session_id: SessionId, now: Moment) -> Verdict {
        let verdict = self.verdict(now);
        if verdict == Verdict::Probe {
            self.probe = Some((session_id, now + PROBE_LAPSES_AFTER));
        }
        verdict
    }

    /// Gives a probe back that was not sent after all.
    ///
    /// Returns whether it had it.
    pub fn give_back(&mut self, session_id: SessionId) -> bool {
        self.probe.take_if(|(holder, _)| *holder == session_id).is_some()
    }

    /// Takes in how a send ended.
    pub fn settle(&mut self, sent: &Sent, outcome: &Outcome, now: Moment) -> Noted {
        if sent.released_at <= self.opened_at {
            return Noted::Unchanged;
        }
        let was_probe = self.opening.is_some() && self.probe.take().is_some();
        match self.extent.hears(outcome) {
            // Silence answers no question, and the next one must not be asked at once: each may leave a delivery unknown.
            Says::Nothing => match self.opening.filter(|_| was_probe && matches!(outcome, Outcome::Unknown(_))) {
                Some(opening) => self.open(opening.reason, SILENCE, sent.seed, now),
                None => Noted::Unchanged,
            },
            Says::Open if self.opening.is_some() => {
                *self = Self { opened_at: self.opened_at, ..Self::new(self.extent) };
                Noted::Closed
            }
            Says::Open => {
                self.remember(sent.recipient, Seen::Answered);
                Noted::Unchanged
            }
            // It slipped through when the breaker had just been opened.
            _ if self.opening.is_some() && !was_probe => Noted::Unchanged,
            Says::Refuses(failure) => self.open(failure.reason, failure.retry, sent.seed, now),
            Says::MayRefuse(failure, seen) => {
                self.remember(sent.recipient, seen);
                if !was_probe && !self.is_about_more_than_one() {
                    return Noted::Unchanged;
                }
                match seen {
                    Seen::Silent => self.open(Reason::ProviderUnavailable, SILENCE, sent.seed, now),
                    _ => self.open(failure.reason, failure.retry, sent.seed, now),
                }
            }
        }
    }

    fn open(&mut self, reason: Reason, retry: Retry, seed: u64, now: Moment) -> Noted {
        self.n_strikes = self.n_strikes.saturating_add(1);
        let mut wait = wait_before_next(retry, self.n_strikes, seed).unwrap_or(WITHOUT_RULE);
        if let (true, Retry::AfterAction { .. }) = (self.extent.is_kind(), retry) {
            // Nobody knows when: each refusal makes it longer.
            let doublings = self.n_strikes.saturating_sub(1).min(DOUBLINGS_MAX);
            wait = wait.saturating_mul(1 << doublings).min(KIND_WAIT_MAX.max(wait));
        }
        let since = self.opening.map_or(now, |opening| opening.since);
        let opening = Opening { reason, since, until: now + wait };
        (self.opening, self.opened_at, self.probe) = (Some(opening), now, None);
        self.cohort.clear();
        Noted::Opened(opening)
    }

    /// Keeps the last send to a recipient; while nothing fails there is nothing to keep.
    fn remember(&mut self, recipient: u64, seen: Seen) {
        self.cohort.retain(|(known, _)| *known != recipient);
        if self.cohort.is_empty() && seen == Seen::Answered {
            return;
        }
        self.cohort.push_back((recipient, seen));
        while COHORT < self.cohort.len() || self.cohort.front().is_some_and(|(_, seen)| *seen == Seen::Answered) {
            self.cohort.pop_front();
        }
    }

    /// Tells whether enough of the last recipients were refused. Silence counts only without an answer in between: where one
    /// request in five is lost, two of the others are no sign.
    fn is_about_more_than_one(&self) -> bool {
        let last_failed = self.cohort.iter().rev().take_while(|(_, seen)| *seen != Seen::Answered).count();
        let n_refused = self.cohort.iter().filter(|(_, seen)| *seen == Seen::Refused).count();
        FAILED_IN_COHORT <= last_failed || FAILED_IN_COHORT <= n_refused
    }
}

#[cfg(test)]
mod tests;
