//! What a session sets itself about its pace; everything may be left out.
//!
//! Says what is wrong with it, all at once. What follows from it together with profile and default is
//! [`LaneRules`](super::LaneRules).

use serde::{Deserialize, Serialize};

use super::{BURST_MAX, PacingProfile, RATE_PER_MINUTE_MAX, RATE_PER_MINUTE_MIN};
use crate::domain::hours::SendingHours;

/// Largest share of the interval that may be added at random: ten more of it.
pub(super) const JITTER_MAX: f64 = 10.0;
/// Longest break: a day.
const BREAK_SECONDS_MAX: u32 = 86_400;
/// Most sends between two breaks.
const BREAK_EVERY_MAX: u32 = 10_000;
/// Largest cap: more than the fastest pace sends in a day is no cap, but nobody needs to be told.
const CAP_MAX: u32 = 100_000_000;
/// Largest growth of the warm-up from day to day.
const GROWTH_MAX: f64 = 10.0;
/// Shortest rest after which a session warms up anew: shorter than the window of the caps makes no sense.
const REWARM_HOURS_MIN: u32 = 24;
/// Longest rest after which a session warms up anew: a year.
const REWARM_HOURS_MAX: u32 = 8_784;
/// Longest slow start: an hour.
const SLOW_START_SECONDS_MAX: u32 = 3_600;
/// Longest distance between two messages to one recipient: a day.
const PAIR_INTERVAL_MS_MAX: u32 = 86_400_000;

/// What a session sets itself; what is left out comes from its profile, or else from the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PacingSettings {
    /// The profile whose figures stand where nothing else is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<PacingProfile>,
    /// Sends per minute, to whomever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<f64>,
    /// Sends that may go at once after a rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Share of the interval added at random at most: 1 makes 10 s to 10-20 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    /// Breaks of the whole session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakSettings>,
    /// Sends in any hour, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly_cap: Option<u32>,
    /// Sends in any 24 hours, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_cap: Option<u32>,
    /// What holds besides for recipients who never wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<ColdSettings>,
    /// Seconds from a connect until the full pace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start_seconds: Option<u32>,
    /// When messages may go, by the recipient's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<SendingHours>,
    /// Milliseconds between two messages to one recipient, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_interval_ms: Option<u32>,
    /// Different recipients in any 24 hours, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u32>,
}

/// Breaks: after so many sends, so long, both drawn anew each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BreakSettings {
    /// Sends between two breaks, at least.
    pub every_min: u32,
    /// Sends between two breaks, at most.
    pub every_max: u32,
    /// Seconds of the shortest break.
    pub shortest_seconds: u32,
    /// Seconds of the longest break.
    pub longest_seconds: u32,
}

/// What holds besides for recipients who never wrote to the session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ColdSettings {
    /// Cold sends per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<f64>,
    /// Share of the interval added at random at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    /// Breaks of the cold sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakSettings>,
    /// Cold sends in any 24 hours, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_cap: Option<u32>,
    /// How the cap grows with the age of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUpSettings>,
    /// Hours without any send after which the session warms up anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewarm_after_hours: Option<u32>,
}

/// A cap that grows from day to day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WarmUpSettings {
    /// Cold sends on the first day.
    pub first_day: u32,
    /// How many times as many on each day after.
    pub growth: f64,
    /// Where the growth ends.
    pub until: u32,
}

/// A setting out of range: which, and what it may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct SettingProblem {
    /// The field, with dots between its parts.
    pub field: String,
    /// What it must be, to be read after the field's name.
    pub rule: String,
}

/// Problems as they are found.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<SettingProblem>);

impl Problems {
    pub(super) fn add(&mut self, field: &str, rule: impl Into<String>) {
        self.0.push(SettingProblem { field: field.to_owned(), rule: rule.into() });
    }

    pub(super) fn rate(&mut self, field: &str, rate_per_minute: Option<f64>) {
        if rate_per_minute.is_some_and(|rate| !(RATE_PER_MINUTE_MIN..=RATE_PER_MINUTE_MAX).contains(&rate)) {
            self.add(field, "must be between 0.0007 (one a day) and 60000 (1,000 a second)");
        }
    }

    pub(super) fn whole(&mut self, field: &str, value: Option<u32>, (least, most): (u32, u32)) {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            self.add(field, format!("must be between {least} and {most}"));
        }
    }

    pub(super) fn cap(&mut self, field: &str, value: Option<u32>) {
        self.whole(field, value, (1, CAP_MAX));
    }

    fn part(&mut self, field: &str, value: Option<f64>, (least, most): (f64, f64)) {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            self.add(field, format!("must be between {least} and {most}"));
        }
    }

    fn breaks(&mut self, field: &str, breaks: Option<&BreakSettings>) {
        let Some(breaks) = breaks else { return };
        let within = |name: &str| format!("{field}.{name}");
        self.whole(&within("everyMin"), Some(breaks.every_min), (1, BREAK_EVERY_MAX));
        self.whole(&within("everyMax"), Some(breaks.every_max), (1, BREAK_EVERY_MAX));
        self.whole(&within("shortestSeconds"), Some(breaks.shortest_seconds), (1, BREAK_SECONDS_MAX));
        self.whole(&within("longestSeconds"), Some(breaks.longest_seconds), (1, BREAK_SECONDS_MAX));
        if breaks.every_max < breaks.every_min {
            self.add(&within("everyMax"), "must not be less than everyMin");
        }
        if breaks.longest_seconds < breaks.shortest_seconds {
            self.add(&within("longestSeconds"), "must not be less than shortestSeconds");
        }
    }
}

impl PacingSettings {
    /// Checks everything.
    ///
    /// # Errors
    /// All problems, each with its field and range.
    pub fn check(&self) -> Result<(), Vec<SettingProblem>> {
        let mut problems = Problems::default();
        problems.rate("ratePerMinute", self.rate_per_minute);
        problems.whole("burst", self.burst, (1, BURST_MAX));
        problems.part("jitter", self.jitter, (0.0, JITTER_MAX));
        problems.breaks("breaks", self.breaks.as_ref());
        problems.cap("hourlyCap", self.hourly_cap);
        problems.cap("dailyCap", self.daily_cap);
        if let Some(cold) = &self.cold {
            cold.check(&mut problems);
        }
        problems.whole("slowStartSeconds", self.slow_start_seconds, (0, SLOW_START_SECONDS_MAX));
        problems.whole("pairIntervalMs", self.pair_interval_ms, (0, PAIR_INTERVAL_MS_MAX));
        problems.cap("tier", self.tier);
        if problems.0.is_empty() { Ok(()) } else { Err(problems.0) }
    }
}

impl PacingSettings {
    /// Fills what is left out from the profile.
    #[must_use]
    pub fn with_profile(&self) -> Self {
        let own = self.clone();
        let Some(profile) = self.profile.map(PacingProfile::settings) else { return own };
        Self {
            profile: own.profile,
            rate_per_minute: own.rate_per_minute.or(profile.rate_per_minute),
            burst: own.burst.or(profile.burst),
            jitter: own.jitter.or(profile.jitter),
            breaks: own.breaks.or(profile.breaks),
            hourly_cap: own.hourly_cap.or(profile.hourly_cap),
            daily_cap: own.daily_cap.or(profile.daily_cap),
            cold: match (own.cold, profile.cold) {
                (Some(own), Some(profile)) => Some(own.over(profile)),
                (own, profile) => own.or(profile),
            },
            slow_start_seconds: own.slow_start_seconds.or(profile.slow_start_seconds),
            hours: own.hours.or(profile.hours),
            pair_interval_ms: own.pair_interval_ms.or(profile.pair_interval_ms),
            tier: own.tier.or(profile.tier),
        }
    }
}

impl ColdSettings {
    /// Fills what is left out from another.
    fn over(self, other: Self) -> Self {
        Self {
            rate_per_minute: self.rate_per_minute.or(other.rate_per_minute),
            jitter: self.jitter.or(other.jitter),
            breaks: self.breaks.or(other.breaks),
            daily_cap: self.daily_cap.or(other.daily_cap),
            warm_up: self.warm_up.or(other.warm_up),
            rewarm_after_hours: self.rewarm_after_hours.or(other.rewarm_after_hours),
        }
    }

    fn check(&self, problems: &mut Problems) {
        problems.rate("cold.ratePerMinute", self.rate_per_minute);
        problems.part("cold.jitter", self.jitter, (0.0, JITTER_MAX));
        problems.breaks("cold.breaks", self.breaks.as_ref());
        problems.cap("cold.dailyCap", self.daily_cap);
        if let Some(warm_up) = &self.warm_up {
            problems.cap("cold.warmUp.firstDay", Some(warm_up.first_day));
            problems.part("cold.warmUp.growth", Some(warm_up.growth), (1.0, GROWTH_MAX));
            problems.cap("cold.warmUp.until", Some(warm_up.until));
            if warm_up.until < warm_up.first_day {
                problems.add("cold.warmUp.until", "must not be less than firstDay");
            }
        }
        problems.whole("cold.rewarmAfterHours", self.rewarm_after_hours, (REWARM_HOURS_MIN, REWARM_HOURS_MAX));
    }
}
