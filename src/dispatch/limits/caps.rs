//! Caps in moving windows: an hour, a day, a day of cold sends, and how the last one grows while a number warms up.
//!
//! A send counts from when it goes; one that is begun counts as if it went at any moment.

use std::time::Duration;

use super::count::MovingCount;
use super::memory::LaneMemory;
use super::{Due, LaneRules, Temperature};
use crate::clock::Moment;
use crate::domain::held_by::HeldBy;
use crate::domain::pacing::WarmUp;

const DAY: Duration = Duration::from_secs(86_400);
/// Steps of a warm-up looked ahead, at most: a window of a day ends within two.
const STEPS_MAX: usize = 4;

/// The counts of one lane.
#[derive(Debug)]
pub(super) struct Caps {
    hour: Option<MovingCount>,
    day: Option<MovingCount>,
    cold_day: Option<MovingCount>,
    last_send: Option<Moment>,
    /// Since when the lane warms up anew.
    warm_since: Option<Moment>,
}

/// The cap of cold sends at some moment.
struct ColdCap {
    cap: u32,
    by: HeldBy,
    /// When it grows.
    grows_at: Option<Moment>,
}

impl Caps {
    pub(super) fn new(rules: &LaneRules, memory: &LaneMemory, now: Moment) -> Self {
        let restored = |count: MovingCount, saved: Option<&super::count::SavedCount>| match saved {
            Some(saved) => count.restored(saved, now),
            None => count,
        };
        let mut caps = Self {
            hour: Some(restored(MovingCount::hour(), memory.hour.as_ref())),
            day: Some(restored(MovingCount::day(), memory.day.as_ref())),
            cold_day: Some(restored(MovingCount::day(), memory.cold_day.as_ref())),
            last_send: memory.last_send.map(|at| at.min(now)),
            warm_since: memory.warm_since.map(|at| at.min(now)),
        };
        caps.set_rules(rules);
        caps
    }

    /// Keeps the counts that the rules need.
    pub(super) fn set_rules(&mut self, rules: &LaneRules) {
        keep(&mut self.hour, rules.hourly_cap.is_some(), MovingCount::hour);
        keep(&mut self.day, rules.daily_cap.is_some(), MovingCount::day);
        let cold = &rules.cold;
        let has_cold = cold.daily_cap.is_some() || cold.warm_up.is_some() || cold.rewarm.is_some();
        keep(&mut self.cold_day, has_cold, MovingCount::day);
    }

    /// Tells whether there are any.
    pub(super) fn any(&self) -> bool {
        self.hour.is_some() || self.day.is_some() || self.cold_day.is_some()
    }

    /// Returns the later of `due` and what the caps allow to one more send, with so many begun before it.
    pub(super) fn latest(
        &self,
        rules: &LaneRules,
        mut due: Due,
        now: Moment,
        (temperature, (n_begun, n_begun_cold)): (Temperature, (u32, u32)),
    ) -> Due {
        if temperature == Temperature::Cold
            && let Some(count) = &self.cold_day
        {
            due = due.or_later(self.cold_earliest(rules, count, now, n_begun_cold));
        }
        if let (Some(count), Some(cap)) = (&self.hour, rules.hourly_cap) {
            due = due.or_later((count.earliest(now, n_begun, cap), HeldBy::HourlyCap));
        }
        if let (Some(count), Some(cap)) = (&self.day, rules.daily_cap) {
            due = due.or_later((count.earliest(now, n_begun, cap), HeldBy::DailyCap));
        }
        due
    }

    /// Counts a send.
    pub(super) fn add(&mut self, rules: &LaneRules, now: Moment, temperature: Temperature) {
        if self.is_rested(rules, now) {
            self.warm_since = Some(now);
        }
        self.last_send = self.last_send.max(Some(now));
        let cold_day = self.cold_day.as_mut().filter(|_| temperature == Temperature::Cold);
        for count in [self.hour.as_mut(), self.day.as_mut(), cold_day].into_iter().flatten() {
            count.add(now);
        }
    }

    /// Takes back a send that did not go after all.
    pub(super) fn take_back(&mut self, at: Moment, temperature: Temperature) {
        let cold_day = self.cold_day.as_mut().filter(|_| temperature == Temperature::Cold);
        for count in [self.hour.as_mut(), self.day.as_mut(), cold_day].into_iter().flatten() {
            count.take_back(at);
        }
    }

    /// Moves a send to when it really left.
    pub(super) fn shift(&mut self, from: Moment, to: Moment, temperature: Temperature) {
        let cold_day = self.cold_day.as_mut().filter(|_| temperature == Temperature::Cold);
        for count in [self.hour.as_mut(), self.day.as_mut(), cold_day].into_iter().flatten() {
            count.shift(from, to);
        }
        self.last_send = self.last_send.max(Some(to));
    }

    pub(super) fn remember(&self, memory: &mut LaneMemory) {
        memory.hour = self.hour.as_ref().map(MovingCount::saved);
        memory.day = self.day.as_ref().map(MovingCount::saved);
        memory.cold_day = self.cold_day.as_ref().map(MovingCount::saved);
        memory.last_send = self.last_send;
        memory.warm_since = self.warm_since;
    }

    fn cold_earliest(&self, rules: &LaneRules, count: &MovingCount, now: Moment, n_begun: u32) -> (Moment, HeldBy) {
        let mut at = now;
        let mut by = HeldBy::ColdCap;
        for _ in 0..STEPS_MAX {
            let Some(cold) = self.cold_cap(rules, at) else { return (at, by) };
            by = cold.by;
            let free_at = count.earliest(at, n_begun, cold.cap);
            match cold.grows_at {
                Some(grows_at) if grows_at < free_at => at = grows_at,
                _ => return (free_at, by),
            }
        }
        (at, by)
    }

    /// The narrowest of the caps on cold sends at a moment.
    fn cold_cap(&self, rules: &LaneRules, at: Moment) -> Option<ColdCap> {
        let cold = &rules.cold;
        let fixed = cold.daily_cap.map(|cap| ColdCap { cap, by: HeldBy::ColdCap, grows_at: None });
        let by_age = cold.warm_up.zip(rules.age_since).map(|(warm_up, since)| grown(warm_up, since, at));
        let rested = cold.rewarm.and_then(|rewarm| {
            let since = if self.is_rested(rules, at) { Some(at) } else { self.warm_since };
            since.map(|since| grown(rewarm.warm_up, since, at))
        });
        [rested, by_age, fixed].into_iter().flatten().min_by_key(|cold| cold.cap)
    }

    /// Tells whether the lane has rested for so long that it warms up anew.
    fn is_rested(&self, rules: &LaneRules, at: Moment) -> bool {
        let after = rules.cold.rewarm.map(|rewarm| rewarm.after);
        after.zip(self.last_send).is_some_and(|(after, last)| after <= at.since(last))
    }
}

fn grown(warm_up: WarmUp, since: Moment, at: Moment) -> ColdCap {
    let day = u32::try_from(at.since(since).as_secs() / DAY.as_secs()).unwrap_or(u32::MAX);
    let cap = warm_up.cap(day);
    let grows_at = (cap < warm_up.until).then(|| since + DAY * day.saturating_add(1));
    ColdCap { cap, by: HeldBy::WarmUp, grows_at }
}

fn keep(count: &mut Option<MovingCount>, needed: bool, make: fn() -> MovingCount) {
    if needed {
        count.get_or_insert_with(make);
    } else {
        *count = None;
    }
}
