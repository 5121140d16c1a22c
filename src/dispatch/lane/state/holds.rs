//! What keeps a lane, or a kind of its messages, from sending after failures.

use super::Lane;
use crate::clock::Moment;
use crate::dispatch::breaker::{Opening, Verdict};
use crate::dispatch::lane::step::Hold;
use crate::domain::held_by::Held;

impl Lane {
    /// Ends holds whose time is over.
    pub(super) fn lift_holds(&mut self, now: Moment) {
        self.hold = self.hold.filter(|hold| now < hold.until);
    }

    /// Returns what the breakers of the number and of its account keep shut.
    pub(super) fn shut(&self, now: Moment) -> Option<Held> {
        [self.breaker.verdict(now), self.account].into_iter().find_map(|verdict| match verdict {
            Verdict::Open(opening) if now < opening.until => Some(Hold::from(opening).held()),
            _ => None,
        })
    }

    /// Tells whether one message may go to find out whether the provider takes them again.
    pub(super) fn is_probing(&self, now: Moment) -> bool {
        self.breaker.verdict(now) == Verdict::Probe || self.account == Verdict::Probe
    }
}

impl From<Opening> for Hold {
    fn from(opening: Opening) -> Self {
        Self { reason: opening.reason, since: opening.since, until: opening.until }
    }
}
