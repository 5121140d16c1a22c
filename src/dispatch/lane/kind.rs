//! What holds back one kind of a lane's messages after refusals, and the single message that finds out whether it is over.
//!
//! Which messages are of the kind is the lane's to say.

use crate::clock::Moment;
use crate::dispatch::breaker::{Breaker, Extent, Noted, Sent, Verdict};
use crate::dispatch::lane::memory::SavedHold;
use crate::dispatch::lane::step::Hold;
use crate::domain::attempt::Outcome;
use crate::domain::held_by::Held;
use crate::domain::id::{DeliveryId, SessionId};

/// The breaker of one kind of messages.
#[derive(Debug)]
pub struct KindBreaker {
    session_id: SessionId,
    extent: Extent,
    breaker: Breaker,
    /// The delivery that finds out, from its beginning to its end.
    probe: Option<DeliveryId>,
}

impl KindBreaker {
    /// Makes a closed one.
    #[must_use]
    pub fn new(session_id: SessionId, extent: Extent) -> Self {
        Self { session_id, extent, breaker: Breaker::new(extent), probe: None }
    }

    /// Goes on from what was saved; where its time is over, one message finds out.
    pub fn restore(&mut self, saved: Option<&SavedHold>) {
        let opening = saved.and_then(SavedHold::opening);
        self.breaker = Breaker::restored(self.extent, opening, saved.map_or(0, |saved| saved.n_strikes));
    }

    /// Returns what to save.
    #[must_use]
    pub fn saved(&self) -> Option<SavedHold> {
        let opening = self.breaker.opening()?;
        Some(SavedHold { n_strikes: self.breaker.n_strikes(), ..Hold::from(opening).into() })
    }

    /// Returns what holds messages of the kind, also while one of them finds out.
    #[must_use]
    pub fn held(&self, now: Moment) -> Option<Held> {
        match self.breaker.verdict(now) {
            Verdict::Open(opening) => Some(Hold::from(opening).held()),
            Verdict::Probe | Verdict::Closed => None,
        }
    }

    /// The same for one that was begun: the one that finds out is not held.
    #[must_use]
    pub fn held_of(&self, delivery_id: DeliveryId, now: Moment) -> Option<Held> {
        self.held(now).filter(|_| self.probe != Some(delivery_id))
    }

    /// Takes note of one that begins: it may be the one that finds out.
    pub fn begin(&mut self, delivery_id: DeliveryId, now: Moment) {
        if self.breaker.take(self.session_id, now) == Verdict::Probe {
            self.probe = Some(delivery_id);
        }
    }

    /// Takes note of one that will not go after all.
    pub fn give_back(&mut self, delivery_id: DeliveryId) {
        if self.probe.take_if(|probe| *probe == delivery_id).is_some() {
            self.breaker.give_back(self.session_id);
        }
    }

    /// Takes in how one ended; returns whether that changed what is held.
    pub fn settle(&mut self, delivery_id: DeliveryId, (sent, outcome): (&Sent, &Outcome), now: Moment) -> Noted {
        self.probe.take_if(|probe| *probe == delivery_id);
        self.breaker.settle(sent, outcome, now)
    }
}
