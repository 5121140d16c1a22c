//! How many messages a second the provider takes from the number, found by trying.
//!
//! A throttle brings the rate down to a little less than what was really accepted; each acceptance brings it up by a
//! little. Does not decide what a throttle is.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// What is left of the accepted rate after a throttle.
const KEPT: f64 = 0.92;
/// Acceptances from the lowered rate back to where it was: one refusal in so many is under 1 %.
const CYCLE_MESSAGES: f64 = 1_000.0;
/// The same in seconds at least, for fast numbers.
const CYCLE_SECONDS: f64 = 15.0;
/// The same in seconds at most, for slow numbers, but for so many acceptances in any case.
const CYCLE_SECONDS_MAX: f64 = 60.0;
const CYCLE_MESSAGES_MIN: f64 = 300.0;
/// How much slower the rate grows where it was never accepted before.
const PROBE_SHARE: f64 = 0.125;
/// Quiet time after which the provider's limit may have changed: the growth doubles, and again every minute.
const QUIET: Duration = Duration::from_secs(300);
/// Doublings at most.
const DOUBLINGS_MAX: f64 = 10.0;
/// Lowest rate that throttles lead to, per second, unless half of the configured one is lower still.
const RATE_MIN: f64 = 0.1;
/// Sends that may go at once because the machine was late, as time.
const LATE_S: f64 = 0.02;
/// Length of a slot in which acceptances are counted, and how many there are: together the last five seconds.
const SLOT: Duration = Duration::from_millis(500);
const N_SLOTS: usize = 10;

/// The provider's throughput as known so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Throughput {
    found: Option<Found>,
    recent: Recent,
}

/// A rate found by throttles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The rate now, per second.
    pub rate: f64,
    /// The rate that was accepted when the last throttle came, per second.
    pub ceiling: f64,
    /// When the rate was lowered last; throttles of messages released before are of the old rate.
    #[serde(with = "crate::dispatch::limits::memory::ns")]
    pub lowered_at: Moment,
    /// The theoretical arrival time at this rate.
    #[serde(with = "crate::dispatch::limits::memory::ns")]
    pub tat: Moment,
}

/// Acceptances of the last seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    /// Number of the newest slot.
    newest: u64,
    counts: [u32; N_SLOTS],
    /// When the first of an unbroken row came.
    since: Moment,
}

impl Throughput {
    /// Goes on from what was saved, if it can be.
    pub(super) fn restored(found: Option<Found>, configured: f64) -> Self {
        let sane =
            found.filter(|found| (f64::MIN_POSITIVE..=f64::MAX).contains(&found.rate) && found.ceiling.is_finite());
        let mut throughput = Self { found: sane, recent: Recent::default() };
        throughput.forget_at(configured);
        throughput
    }

    /// Cuts waits to the longest that there can be.
    pub(super) fn cut(&mut self, now: Moment) {
        if let Some(found) = &mut self.found {
            found.lowered_at = found.lowered_at.min(now);
            found.tat = found.tat.min(now + found.interval() * 2);
        }
    }

    pub(super) fn found(&self) -> Option<Found> {
        self.found
    }

    /// Forgets the rate when the configured one is no higher.
    pub(super) fn forget_at(&mut self, configured: f64) {
        self.found = self.found.filter(|found| found.rate < configured);
    }

    /// Takes a place.
    pub(super) fn take(&mut self, now: Moment) {
        if let Some(found) = &mut self.found {
            found.take(now);
        }
    }

    /// Takes note of a throttle; returns whether that changed anything.
    pub(super) fn throttled(&mut self, released_at: Moment, now: Moment, configured: f64) -> bool {
        if self.found.is_some_and(|found| released_at <= found.lowered_at) {
            return false;
        }
        let rate = self.found.map_or(configured, |found| found.rate);
        let accepted = self.recent.rate(now).min(rate);
        // Acceptances may be under way still, so what is known of them tells the rate only where it is not far below.
        let lowered = (accepted * KEPT).max(rate / 2.0).max(RATE_MIN.min(configured / 2.0)).min(rate);
        let tat = self.found.map_or(now, |found| found.tat);
        // Where nothing was accepted of late, all that is known is what was before.
        let ceiling =
            if accepted < RATE_MIN { self.found.map_or(rate, |found| found.ceiling) } else { accepted.max(lowered) };
        let mut found = Found { rate: lowered, ceiling, lowered_at: now, tat };
        found.tat = tat.max(now + found.interval());
        self.found = Some(found);
        true
    }

    /// Takes note of an acceptance.
    pub(super) fn accepted(&mut self, now: Moment, configured: f64) {
        self.recent.add(now);
        let Some(found) = &mut self.found else { return };
        // A rate that is not used proves nothing by being accepted.
        if self.recent.rate(now) < found.rate / 2.0 {
            return;
        }
        // Far below what was accepted before, because for a while nothing was: back there in a few steps.
        if found.rate < found.ceiling * KEPT / 2.0 {
            found.rate *= 2.0;
            return;
        }
        let cycle = (CYCLE_SECONDS_MAX * found.ceiling)
            .clamp(CYCLE_MESSAGES_MIN, CYCLE_MESSAGES)
            .max(CYCLE_SECONDS * found.ceiling);
        let mut step = found.ceiling * (1.0 - KEPT) / cycle;
        if found.ceiling <= found.rate {
            step *= PROBE_SHARE;
        }
        let quiet = now.since(found.lowered_at).saturating_sub(QUIET);
        step *= (quiet.as_secs_f64() / 60.0).min(DOUBLINGS_MAX).exp2();
        found.rate += step.max(RATE_MIN / CYCLE_MESSAGES);
        self.forget_at(configured);
    }
}

impl Found {
    /// When the next send may go.
    pub(super) fn due(&self) -> Moment {
        self.tat - self.tolerance()
    }

    /// Takes a place.
    pub(super) fn take(&mut self, now: Moment) {
        self.tat = self.tat.max(now) + self.interval();
    }

    fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }

    /// As much as the machine may be late without losing places.
    fn tolerance(&self) -> Duration {
        let late = Duration::from_secs_f64(LATE_S);
        if self.interval() < late { late } else { Duration::ZERO }
    }
}

impl Recent {
    fn add(&mut self, now: Moment) {
        self.turn_to(now);
        if self.counts.iter().all(|count| *count == 0) {
            self.since = now;
        }
        self.counts[0] += 1;
    }

    /// Acceptances per second.
    fn rate(&self, now: Moment) -> f64 {
        let mut turned = *self;
        turned.turn_to(now);
        let n: u32 = turned.counts.iter().sum();
        let slot_ns = slot_ns();
        let oldest = Moment((turned.newest + 1).saturating_sub(N_SLOTS as u64) * slot_ns);
        // A provider that lets a second's worth through at once would else look as fast as we are.
        let span = now.since(turned.since.max(oldest)).max(Duration::from_secs(1));
        f64::from(n) / span.as_secs_f64()
    }

    fn turn_to(&mut self, now: Moment) {
        let newest = now.0 / slot_ns();
        let n_new = newest.saturating_sub(self.newest);
        if n_new != 0 {
            let n_kept = N_SLOTS.saturating_sub(usize::try_from(n_new).unwrap_or(usize::MAX));
            self.counts.copy_within(..n_kept, N_SLOTS - n_kept);
            self.counts[..N_SLOTS - n_kept].fill(0);
            self.newest = newest;
        }
    }
}

fn slot_ns() -> u64 {
    u64::try_from(SLOT.as_nanos()).unwrap_or(u64::MAX)
}
