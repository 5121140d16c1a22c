//! The pace of one lane: governor's arithmetic on our own clock and our own saved state.
//!
//! Knows when the next send may go and takes that place when it goes. Waits for nothing: the
//! shard asks [`Pacer::earliest`] and comes back then. The state is one number, the theoretical
//! arrival time, which is saved with the outcomes and restored on start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::clock::Moment;
use crate::domain::pacing::Pacing;

/// The time that a shard's limiters see; the shard sets it before each round.
#[derive(Debug, Clone, Default)]
pub struct ShardTime(Arc<AtomicU64>);

impl ShardTime {
    /// Sets the present.
    pub fn set(&self, now: Moment) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    /// Returns the present.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }
}

/// [`Moment`] in governor's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Moment);

impl std::ops::Add<Nanos> for Instant {
    type Output = Self;

    fn add(self, later: Nanos) -> Self {
        Self(Moment(self.0.0.saturating_add(later.into())))
    }
}

impl Reference for Instant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::from(self.0.0.saturating_sub(earlier.0.0))
    }

    fn saturating_sub(&self, earlier: Nanos) -> Self {
        Self(Moment(self.0.0.saturating_sub(earlier.into())))
    }
}

impl GovernorClock for ShardTime {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Instant(Self::now(self))
    }
}

/// The theoretical arrival time, relative to the limiter's start; 0 stands for none.
///
/// One shard owns it, so plain loads and stores do.
#[derive(Debug, Clone, Default)]
struct SavedTat(Arc<AtomicU64>);

impl StateStore for SavedTat {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let before = self.0.load(Ordering::Relaxed);
        let (answer, after) = decide((before != 0).then(|| Nanos::from(before)))?;
        self.0.store(after.into(), Ordering::Relaxed);
        Ok(answer)
    }
}

/// Spaces the sends of one lane.
#[derive(Debug)]
pub struct Pacer {
    limiter: RateLimiter<NotKeyed, SavedTat, ShardTime, NoOpMiddleware<Instant>>,
    tat: SavedTat,
    /// What governor counts from: the moment this pacer was made.
    start: Moment,
    pacing: Pacing,
}

impl Pacer {
    /// Makes the pacer of a lane, from its saved state where there is one.
    ///
    /// A saved arrival time that lies further ahead than a full burst can reach is cut to that, so
    /// that a clock that was wrong once cannot hold a lane for longer than it would have taken.
    #[must_use]
    pub fn new(pacing: Pacing, saved_tat: Option<Moment>, time: &ShardTime) -> Self {
        Self::with_slack(pacing, saved_tat, Duration::ZERO, time)
    }

    /// Makes the pacer of a lane whose arrival time may lie `slack` further ahead than a full burst: it was put off
    /// by [`Pacer::put_off`].
    #[must_use]
    pub fn with_slack(pacing: Pacing, saved_tat: Option<Moment>, slack: Duration, time: &ShardTime) -> Self {
        let quota = Quota::with_period(pacing.interval())
            .expect("a pacing's interval is never zero")
            .allow_burst(pacing.burst());
        let (tat, start) = (SavedTat::default(), time.now());
        let limiter = RateLimiter::new(quota, tat.clone(), time.clone());
        let pacer = Self { limiter, tat, start, pacing };
        if let Some(saved) = saved_tat {
            pacer.restore(saved.min(state_after_full_burst(pacing, start) + slack));
        }
        pacer
    }

    /// Takes the place of one send, if the pace allows one now.
    #[must_use]
    pub fn take(&self) -> bool {
        self.limiter.check().is_ok()
    }

    /// Takes note of when a send really left, which on a busy machine may be after its place: the
    /// next one keeps its distance from there. Returns whether that moved anything.
    pub fn left(&self, at: Moment) -> bool {
        let least = at + self.pacing.interval();
        let moves = self.saved_state().is_some_and(|tat| tat < least);
        if moves {
            self.restore(least);
        }
        moves
    }

    /// Puts the next place off by a while.
    pub fn put_off(&self, by: Duration) {
        if let Some(tat) = self.saved_state() {
            self.restore(tat + by);
        }
    }

    /// Returns when the send after `n_before` others may go, if those go as early as they may.
    #[must_use]
    pub fn earliest(&self, now: Moment, n_before: usize) -> Moment {
        let interval = self.pacing.interval();
        let tolerance = interval * (self.pacing.burst().get() - 1);
        let mut tat = self.saved_state().unwrap_or(now);
        let mut at = now.max(tat - tolerance);
        for _ in 0..n_before {
            tat = tat.max(at) + interval;
            at = at.max(tat - tolerance);
        }
        at
    }

    /// Returns the state to save: the theoretical arrival time.
    #[must_use]
    pub fn saved_state(&self) -> Option<Moment> {
        let tat_ns = self.tat.0.load(Ordering::Relaxed);
        (tat_ns != 0).then(|| self.start + Duration::from_nanos(tat_ns))
    }

    /// Returns the pacing it follows.
    #[must_use]
    pub fn pacing(&self) -> Pacing {
        self.pacing
    }

    fn restore(&self, tat: Moment) {
        self.tat.0.store(tat.0.saturating_sub(self.start.0), Ordering::Relaxed);
    }
}

/// Returns the state of a lane whose whole burst left at `now`.
///
/// Saved for lanes with attempts under way when the process died: when those left is not known,
/// so the latest possible moment is assumed.
#[must_use]
pub fn state_after_full_burst(pacing: Pacing, now: Moment) -> Moment {
    now + pacing.interval() * pacing.burst().get()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Moment = Moment(1_800_000_000_000_000_000);

    fn pacer_at(time: &ShardTime, rate_per_minute: f64, burst: u32, saved: Option<Moment>) -> Pacer {
        Pacer::new(Pacing::new(rate_per_minute, burst).unwrap(), saved, time)
    }

    proptest! {
        /// The announced moment is exact: one nanosecond before, the place is refused.
        #[test]
        fn earliest_is_exact(burst in 1u32..8, rests_ms in prop::collection::vec(0u64..3_000, 1..60)) {
            let time = ShardTime::default();
            time.set(START);
            let pacer = pacer_at(&time, 60.0, burst, None);
            for rest_ms in rests_ms {
                time.set(time.now() + Duration::from_millis(rest_ms));
                let at = pacer.earliest(time.now(), 0);
                if time.now() < at {
                    time.set(at - Duration::from_nanos(1));
                    prop_assert!(!pacer.take());
                    time.set(at);
                }
                prop_assert!(pacer.take());
            }
        }

        /// In no window are there more sends than rate and burst allow, whatever the rests,
        /// restarts from saved state included.
        #[test]
        fn never_above_pace(burst in 1u32..5, steps in prop::collection::vec((0u64..2_000, any::<bool>()), 1..80)) {
            let time = ShardTime::default();
            time.set(START);
            let mut pacer = pacer_at(&time, 120.0, burst, None);
            let mut sent: Vec<Moment> = Vec::new();
            for (rest_ms, restart) in steps {
                time.set(time.now() + Duration::from_millis(rest_ms));
                if restart {
                    pacer = pacer_at(&time, 120.0, burst, pacer.saved_state());
                }
                while pacer.take() {
                    sent.push(time.now());
                }
            }
            let interval = Duration::from_millis(500);
            for (i, first) in sent.iter().enumerate() {
                for (n, later) in sent[i..].iter().enumerate() {
                    let allowed = u32::try_from(n).unwrap().saturating_sub(burst - 1);
                    prop_assert!(interval * allowed <= later.since(*first), "{n} more after {first:?}");
                }
            }
        }

        /// Looking ahead agrees with going there.
        #[test]
        fn looks_ahead(burst in 1u32..5, n_before in 0usize..10) {
            let time = ShardTime::default();
            time.set(START);
            let pacer = pacer_at(&time, 600.0, burst, None);
            let announced = pacer.earliest(START, n_before);
            for _ in 0..n_before {
                time.set(pacer.earliest(time.now(), 0));
                prop_assert!(pacer.take());
            }
            prop_assert_eq!(pacer.earliest(time.now(), 0), announced);
        }
    }

    #[test]
    fn a_send_that_left_late_moves_the_next_place() {
        let time = ShardTime::default();
        time.set(START);
        let pacer = pacer_at(&time, 60.0, 1, None);
        assert!(pacer.take());
        assert!(pacer.left(START + Duration::from_millis(40)));
        assert_eq!(pacer.earliest(START, 0), START + Duration::from_millis(1_040));
        assert!(!pacer.left(START + Duration::from_millis(30)));
        assert_eq!(pacer.earliest(START, 0), START + Duration::from_millis(1_040));
    }

    #[test]
    fn a_wrong_clock_cannot_hold_a_lane() {
        let time = ShardTime::default();
        time.set(START);
        let pacer = pacer_at(&time, 60.0, 2, Some(START + Duration::from_secs(86_400)));
        assert_eq!(pacer.earliest(START, 0), START + Duration::from_secs(1));
        assert_eq!(pacer.earliest(START, 1), START + Duration::from_secs(2));
    }
}
