//! All limits of one lane that go by the session alone: pace, breaks, slow start, the provider's throughput, caps.
//!
//! Knows the exact moment at which one more send may go and what it waits for until then. Pure: time and seed are
//! arguments, nothing is waited for. Limits that depend on the recipient (pair, sending hours, tier) and on the plan
//! stand elsewhere.

mod caps;
pub mod count;
mod draw;
pub mod memory;
pub mod slow_start;
pub mod spacing;
#[cfg(test)]
mod tests;
pub mod throughput;

use std::sync::Arc;
use std::time::Duration;

pub use memory::LaneMemory;

use crate::clock::Moment;
use crate::dispatch::pacer::{Pacer, ShardTime};
use crate::domain::held_by::HeldBy;
use crate::domain::pacing::{LaneRules, Pacing};
use crate::domain::zone::Temperature;
use caps::Caps;
use draw::{Draws, Purpose};
use slow_start::SlowStart;
use spacing::{ColdRow, OF_ALL, Rest};
use throughput::{Found, Throughput};

/// When one more send may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The earliest moment; the present if nothing is in the way.
    pub at: Moment,
    /// What it waits for until then; [`HeldBy::Pace`] if for nothing.
    pub by: HeldBy,
}

impl Due {
    fn or_later(self, (at, by): (Moment, HeldBy)) -> Self {
        if self.at < at { Self { at, by } } else { self }
    }
}

/// The limits of one lane and where they stand.
///
/// A send is counted by [`begin`](Self::begin) when its attempt is made, takes its place by [`take`](Self::take) when
/// it is let go, or is given back by [`withdraw`](Self::withdraw).
#[derive(Debug)]
pub struct LaneLimits {
    rules: Arc<LaneRules>,
    time: ShardTime,
    draws: Draws,
    pacer: Pacer,
    /// When the last send left, or by when at the latest.
    last: Option<Moment>,
    /// Sends so far; which draws come next.
    n: u64,
    rest: Rest,
    cold: ColdRow,
    slow: Option<SlowStart>,
    throughput: Throughput,
    caps: Caps,
    /// Begun and not yet taken, and the cold ones among them.
    prepared: u32,
    prepared_cold: u32,
}

impl LaneLimits {
    /// Makes the limits of a lane, from what was saved where there is anything.
    ///
    /// What was begun when the memory was saved may have left since: it counts as sent just now. Waits longer than
    /// the rules can make are cut, so that a clock that was wrong once cannot hold a lane for good.
    #[must_use]
    pub fn new(
        rules: Arc<LaneRules>,
        saved: Option<&LaneMemory>,
        tat: Option<Moment>,
        seed: u64,
        time: &ShardTime,
    ) -> Self {
        let now = time.now();
        let pacer = Pacer::with_slack(rules.pacing, tat, slack(&rules), time);
        let memory = saved.cloned().unwrap_or_default();
        let mut limits = Self {
            time: time.clone(),
            draws: Draws { seed },
            last: tat.map(|tat| (tat - rules.pacing.interval()).min(now)),
            pacer,
            n: memory.n,
            rest: memory.rest,
            cold: memory.cold,
            slow: memory.slow,
            throughput: Throughput::restored(memory.throughput, per_second(rules.pacing)),
            caps: Caps::new(&rules, &memory, now),
            prepared: 0,
            prepared_cold: 0,
            rules,
        };
        for n in 0..memory.prepared {
            let is_cold = n < memory.prepared_cold;
            limits.count(now, if is_cold { Temperature::Cold } else { Temperature::Warm });
        }
        limits.cut_waits(now);
        limits
    }

    /// Follows other rules from now on; what was sent before still counts, in caps from their setting on.
    pub fn set_rules(&mut self, rules: Arc<LaneRules>) {
        let now = self.time.now();
        if rules.pacing != self.rules.pacing {
            // Of the burst as much is used as before, or a change of rules would give another one.
            let used_ns = self.pacer.saved_state().map_or(Duration::ZERO, |tat| tat.since(now)).as_nanos();
            let n_used = used_ns.div_ceil(self.rules.pacing.interval().as_nanos().max(1));
            let used = rules.pacing.interval().saturating_mul(u32::try_from(n_used).unwrap_or(u32::MAX));
            let after_last = self.last.map(|last| last + rules.pacing.interval());
            let tat = (!used.is_zero()).then(|| now + used).max(after_last);
            self.pacer = Pacer::with_slack(rules.pacing, tat, used, &self.time);
        }
        self.throughput.forget_at(per_second(rules.pacing));
        self.caps.set_rules(&rules);
        self.rules = rules;
        self.cut_waits(now);
    }

    /// Returns the rules it follows.
    #[must_use]
    pub fn rules(&self) -> &Arc<LaneRules> {
        &self.rules
    }

    /// Returns when one more send may go, and what it waits for: the latest of all limits.
    ///
    /// `n_before` sends are begun and not taken; they are thought to go as early as they may.
    #[must_use]
    pub fn next(&self, now: Moment, n_before: usize, temperature: Temperature) -> Due {
        let mut due = Due { at: now, by: HeldBy::Pace };
        let cold = &self.rules.cold;
        if temperature == Temperature::Cold && (cold.pacing.is_some() || cold.breaks.is_some()) {
            due = due.or_later(self.cold_place(now, n_before));
        }
        due = due.or_later(self.place(now, n_before));
        if self.caps.any() {
            // One that is begun itself does not stand in its own way.
            let n_before = u32::try_from(n_before).unwrap_or(u32::MAX);
            let n_begun = (self.prepared.min(n_before), self.prepared_cold.min(n_before));
            due = self.caps.latest(&self.rules, due, now, (temperature, n_begun));
        }
        due
    }

    /// Counts a send whose attempt is being made.
    pub fn begin(&mut self, temperature: Temperature) {
        self.prepared += 1;
        self.prepared_cold += u32::from(temperature == Temperature::Cold);
    }

    /// Gives back a send that was begun and will not go.
    pub fn withdraw(&mut self, temperature: Temperature) {
        self.prepared = self.prepared.saturating_sub(1);
        if temperature == Temperature::Cold {
            self.prepared_cold = self.prepared_cold.saturating_sub(1);
        }
    }

    /// Takes the place of a send that was begun, if every limit allows one now, and draws what comes after it.
    #[must_use]
    pub fn take(&mut self, now: Moment, temperature: Temperature) -> bool {
        let mut due = Due { at: now, by: HeldBy::Pace }.or_later(self.place(now, 0));
        if temperature == Temperature::Cold {
            due = due.or_later(self.cold_place(now, 0));
        }
        if self.caps.any() {
            due = self.caps.latest(&self.rules, due, now, (temperature, (0, 0)));
        }
        if now < due.at || !self.pacer.take() {
            return false;
        }
        if self.rules.jitter != 0.0 {
            self.pacer.put_off(jitter(&self.rules, self.draws, self.n));
        }
        self.withdraw(temperature);
        self.count(now, temperature);
        true
    }

    /// Takes back a send that was let go and certainly did not leave; its place in the row of all stays taken.
    pub fn not_left(&mut self, released_at: Moment, temperature: Temperature) {
        self.caps.take_back(released_at, temperature);
    }

    /// Takes note of when a send that was released really left: what comes next keeps its distance from there.
    /// Returns whether that moved anything.
    pub fn left(&mut self, released_at: Moment, at: Moment, temperature: Temperature) -> bool {
        let mut moved = self.pacer.left(at);
        self.last = self.last.max(Some(at));
        if let Some(pacing) = self.rules.cold.pacing.filter(|_| temperature == Temperature::Cold) {
            let least = at + pacing.interval();
            moved |= self.cold.next < least;
            self.cold.next = self.cold.next.max(least);
        }
        self.caps.shift(released_at, at, temperature);
        moved
    }

    /// Takes note of when the session was connected; the same moment again changes nothing.
    pub fn connected(&mut self, at: Moment) {
        if self.slow.is_none_or(|slow| slow.since != at) {
            self.slow = Some(SlowStart { since: at, last: None });
        }
    }

    /// Takes note of a throttle of a message released then; returns whether that changed anything.
    pub fn throttled(&mut self, released_at: Moment, now: Moment) -> bool {
        self.throughput.throttled(released_at, now, per_second(self.rules.pacing))
    }

    /// Takes note of a message that the provider accepted.
    pub fn accepted(&mut self, now: Moment) {
        self.throughput.accepted(now, per_second(self.rules.pacing));
    }

    /// Returns since when a send of this temperature could have gone, caps apart; for how late one is.
    #[must_use]
    pub fn free_since(&self, temperature: Temperature) -> Moment {
        let due = Due { at: Moment::default(), by: HeldBy::Pace }.or_later(self.place(Moment::default(), 0));
        if temperature == Temperature::Warm {
            return due.at;
        }
        due.or_later(self.cold_place(Moment::default(), 0)).at
    }

    /// Returns the theoretical arrival time, saved apart from the rest.
    #[must_use]
    pub fn saved_tat(&self) -> Option<Moment> {
        // A pacer that was made later knows nothing of a place that was free by then.
        self.pacer.saved_state().max(self.last.map(|last| last + self.rules.pacing.interval()))
    }

    /// Returns what to save besides the arrival time; none where nothing else is in use.
    #[must_use]
    pub fn memory(&self) -> Option<LaneMemory> {
        let rules = &self.rules;
        let cold = &rules.cold;
        let spaced = rules.jitter != 0.0 || rules.breaks.is_some() || cold.pacing.is_some() || cold.breaks.is_some();
        let throughput = self.throughput.found();
        if !spaced && !self.caps.any() && throughput.is_none() && rules.slow_start.is_zero() {
            return None;
        }
        let mut memory = LaneMemory {
            v: memory::VERSION,
            n: self.n,
            rest: self.rest,
            cold: self.cold,
            prepared: self.prepared,
            prepared_cold: self.prepared_cold,
            slow: self.slow.filter(|_| !rules.slow_start.is_zero()),
            throughput,
            ..LaneMemory::default()
        };
        self.caps.remember(&mut memory);
        Some(memory)
    }

    /// The place in the row of all sends.
    fn place(&self, now: Moment, n_before: usize) -> (Moment, HeldBy) {
        let rules = &self.rules;
        let is_slow = self.slow.is_some() && !rules.slow_start.is_zero();
        if rules.jitter == 0.0 && rules.breaks.is_none() && self.throughput.found().is_none() && !is_slow {
            return (self.pacer.earliest(now, n_before), HeldBy::Pace);
        }
        let mut row = self.row();
        let mut at = now;
        for _ in 0..n_before {
            at = at.max(row.due(rules).0);
            row.sent(at, rules, self.draws);
        }
        row.due(rules)
    }

    /// The place in the row of cold sends, of which some of those before may be.
    fn cold_place(&self, now: Moment, n_before: usize) -> (Moment, HeldBy) {
        let rules = &self.rules;
        let n_cold = n_before.min(usize::try_from(self.prepared_cold).unwrap_or(usize::MAX));
        let (mut cold, mut row, mut at) = (self.cold, self.row(), now);
        for _ in 0..n_cold {
            at = at.max(cold.due().0).max(row.due(rules).0);
            cold.sent(at, &rules.cold, self.draws);
            row.sent(at, rules, self.draws);
        }
        let due = Due { at: Moment::default(), by: HeldBy::Pace }.or_later(cold.due()).or_later(row.due(rules));
        (due.at, due.by)
    }

    fn row(&self) -> Row {
        let slow = self.slow.filter(|_| !self.rules.slow_start.is_zero());
        Row { tat: self.pacer.saved_state(), n: self.n, rest: self.rest, slow, found: self.throughput.found() }
    }

    /// Counts a send that goes now, but for the pacer's place and its jitter, which are taken before.
    fn count(&mut self, now: Moment, temperature: Temperature) {
        let rules = &self.rules;
        self.last = self.last.max(Some(now));
        if let Some(breaks) = &rules.breaks {
            self.rest.sent(now, self.n, breaks, (self.draws, OF_ALL));
        }
        if let Some(slow) = &mut self.slow {
            slow.last = Some(now);
        }
        self.throughput.take(now);
        if temperature == Temperature::Cold {
            self.cold.sent(now, &rules.cold, self.draws);
        }
        self.n += 1;
        self.caps.add(rules, now, temperature);
    }

    fn cut_waits(&mut self, now: Moment) {
        self.rest.cut(now, self.rules.breaks.as_ref());
        self.cold.cut(now, &self.rules.cold);
        self.throughput.cut(now);
        self.slow =
            self.slow.map(|slow| SlowStart { since: slow.since.min(now), last: slow.last.map(|last| last.min(now)) });
    }
}

/// The row of all sends, to go ahead on.
struct Row {
    tat: Option<Moment>,
    n: u64,
    rest: Rest,
    slow: Option<SlowStart>,
    found: Option<Found>,
}

impl Row {
    fn due(&self, rules: &LaneRules) -> (Moment, HeldBy) {
        let pacing = rules.pacing;
        let tolerance = pacing.interval() * (pacing.burst().get() - 1);
        let mut due = Due { at: self.tat.map_or(Moment::default(), |tat| tat - tolerance), by: HeldBy::Pace };
        if let Some(found) = &self.found {
            due = due.or_later((found.due(), HeldBy::Throughput));
        }
        if let Some(slow) = &self.slow {
            due = due.or_later((slow.due(rules.slow_start, pacing.interval()), HeldBy::SlowStart));
        }
        due = due.or_later((self.rest.until, HeldBy::Break));
        (due.at, due.by)
    }

    fn sent(&mut self, at: Moment, rules: &LaneRules, draws: Draws) {
        self.tat = Some(self.tat.map_or(at, |tat| tat.max(at)) + rules.pacing.interval());
        if rules.jitter != 0.0 {
            self.tat = self.tat.map(|tat| tat + jitter(rules, draws, self.n));
        }
        if let Some(breaks) = &rules.breaks {
            self.rest.sent(at, self.n, breaks, (draws, OF_ALL));
        }
        if let Some(slow) = &mut self.slow {
            slow.last = Some(at);
        }
        if let Some(found) = &mut self.found {
            found.take(at);
        }
        self.n += 1;
    }
}

/// What is added to the interval after the `n`th send.
fn jitter(rules: &LaneRules, draws: Draws, n: u64) -> Duration {
    rules.pacing.interval().mul_f64(rules.jitter * draws.share(Purpose::Gap, n))
}

/// How much further ahead than a full burst jitter can put the arrival time.
fn slack(rules: &LaneRules) -> Duration {
    (rules.pacing.interval() * rules.pacing.burst().get()).mul_f64(rules.jitter)
}

fn per_second(pacing: Pacing) -> f64 {
    pacing.interval().as_secs_f64().recip()
}
