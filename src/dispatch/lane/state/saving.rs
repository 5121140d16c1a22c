//! What a lane keeps in the database, and how it goes on from there.

use std::time::Duration;

use super::Lane;
use crate::clock::Moment;
use crate::dispatch::breaker::{Breaker, Extent};
use crate::dispatch::lane::memory::{LaneStanding, LaneState};
use crate::dispatch::lane::step::Hold;

impl Lane {
    /// Returns where the lane stands, to be saved; the limiter's state is rounded up: a lane may come back a
    /// microsecond late, never early.
    pub fn save(&mut self, now: Moment) -> LaneStanding {
        self.unsaved = false;
        self.saved_at_us = now.as_us().max(self.saved_at_us + 1);
        let tat = self.limits.saved_tat().unwrap_or_default();
        LaneStanding {
            session_id: self.session_id,
            saved_at_us: self.saved_at_us,
            tat_us: (tat + Duration::from_nanos(999)).as_us(),
            state: self.state(now),
        }
    }

    /// Tells whether something has changed that no attempt carries into the database.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// Goes on from what was saved; the limits were made from it already.
    pub fn restore(&mut self, saved: LaneState, saved_at_us: i64, now: Moment) {
        // What this lane saves must replace what its last owner saved, whatever the clock of that one said.
        self.saved_at_us = saved_at_us;
        let opening = saved.number.as_ref().and_then(|hold| hold.opening());
        self.breaker = Breaker::restored(Extent::Number, opening, saved.n_strikes);
        self.hold = saved.throttle.as_ref().and_then(|hold| hold.hold(now));
        self.cold.restore(saved.cold.as_ref());
        self.business.restore(saved.business.as_ref());
        self.streams.shares.remember(&saved, now);
    }

    /// What is kept; what is over is not.
    fn state(&self, now: Moment) -> LaneState {
        let lasting = |hold: Option<Hold>| hold.filter(|hold| now < hold.until).map(Into::into);
        let mut state = LaneState {
            limits: self.limits.memory(),
            number: self.breaker.opening().map(|opening| Hold::from(opening).into()),
            n_strikes: self.breaker.n_strikes(),
            throttle: lasting(self.hold),
            cold: self.cold.saved(),
            business: self.business.saved(),
            ..LaneState::default()
        };
        self.streams.shares.save_into(&mut state, now);
        state
    }
}
