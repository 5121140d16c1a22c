//! The rules of one lane: default, profile and the session's own settings in one.
//!
//! Values only; `dispatch::limits` holds a lane to them.

use std::time::Duration;

use super::profile::WARM_UP;
use super::settings::{BreakSettings, ColdSettings, WarmUpSettings};
use super::{Pacing, PacingProfile, PacingSettings};
use crate::domain::hours::SendingHours;
use crate::domain::moment::Moment;

/// Everything that spaces and caps the sends of one lane.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneRules {
    /// Version of the session's settings.
    pub version: i64,
    /// The profile, if one is chosen.
    pub profile: Option<PacingProfile>,
    /// Steady rate and burst of all sends.
    pub pacing: Pacing,
    /// Share of the interval added at random at most, after each send.
    pub jitter: f64,
    /// Breaks of the whole lane.
    pub breaks: Option<Breaks>,
    /// Sends in any hour, at most.
    pub hourly_cap: Option<u32>,
    /// Sends in any 24 hours, at most.
    pub daily_cap: Option<u32>,
    /// What holds besides for cold recipients.
    pub cold: ColdRules,
    /// Time from a connect until the full pace; zero for none.
    pub slow_start: Duration,
    /// When messages may go, by the recipient's clock; none for always.
    pub hours: Option<SendingHours>,
    /// Time between two messages to one recipient, at least; zero for none.
    pub pair_interval: Duration,
    /// Different recipients in any 24 hours, at most.
    pub tier: Option<u32>,
    /// When the number was first linked; none if that is not known, and then it counts as old.
    pub age_since: Option<Moment>,
}

/// Breaks: after so many sends, so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaks {
    /// Sends between two breaks, least and most.
    pub every: (u32, u32),
    /// Length of a break, least and most.
    pub length: (Duration, Duration),
}

/// What holds for cold recipients besides what holds for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ColdRules {
    /// Steady rate; the burst is 1.
    pub pacing: Option<Pacing>,
    /// Share of the interval added at random at most.
    pub jitter: f64,
    /// Breaks of the cold sends.
    pub breaks: Option<Breaks>,
    /// Cold sends in any 24 hours, at most.
    pub daily_cap: Option<u32>,
    /// How the cap grows with the age of the number.
    pub warm_up: Option<WarmUp>,
    /// When a lane that rested warms up anew.
    pub rewarm: Option<Rewarm>,
}

/// A cap that grows from day to day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUp {
    /// Cold sends on the first day.
    pub first_day: u32,
    /// How many times as many on each day after.
    pub growth: f64,
    /// Where the growth ends.
    pub until: u32,
}

/// Warming up anew after a rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rewarm {
    /// Time without any send.
    pub after: Duration,
    /// How the cap grows from then on.
    pub warm_up: WarmUp,
}

impl LaneRules {
    /// Puts default, profile and own settings together; what is out of range is left to the default.
    ///
    /// Without profile and own settings this is the default pacing and nothing else.
    #[must_use]
    pub fn resolve(settings: &PacingSettings, default: Pacing, version: i64) -> Self {
        let settings = settings.with_profile();
        let pacing = Pacing::new(
            settings.rate_per_minute.unwrap_or_else(|| default.rate_per_minute()),
            settings.burst.unwrap_or_else(|| default.burst().get()),
        );
        // A default that passes through its rate may differ by a nanosecond; untouched it stays what it is.
        let is_default = settings.rate_per_minute.is_none() && settings.burst.is_none();
        Self {
            version,
            profile: settings.profile,
            pacing: if is_default { default } else { pacing.unwrap_or(default) },
            jitter: settings.jitter.unwrap_or_default(),
            breaks: settings.breaks.map(Breaks::from),
            hourly_cap: settings.hourly_cap,
            daily_cap: settings.daily_cap,
            cold: ColdRules::from(settings.cold.unwrap_or_default()),
            slow_start: Duration::from_secs(settings.slow_start_seconds.unwrap_or_default().into()),
            hours: settings.hours,
            pair_interval: Duration::from_millis(settings.pair_interval_ms.unwrap_or_default().into()),
            tier: settings.tier,
            age_since: None,
        }
    }

    /// Makes the rules that are this pacing and nothing else.
    #[must_use]
    pub fn plain(pacing: Pacing) -> Self {
        Self::resolve(&PacingSettings::default(), pacing, 1)
    }

    /// Adds when the number was first linked.
    #[must_use]
    pub fn with_age_since(mut self, since: Option<Moment>) -> Self {
        self.age_since = since;
        self
    }
}

impl From<ColdSettings> for ColdRules {
    fn from(of: ColdSettings) -> Self {
        // Without an end of its own a new warm-up grows until the daily cap is what binds.
        let rewarm = of.warm_up.unwrap_or(WarmUpSettings { until: of.daily_cap.unwrap_or(u32::MAX), ..WARM_UP });
        Self {
            pacing: of.rate_per_minute.and_then(|rate| Pacing::new(rate, 1).ok()),
            jitter: of.jitter.unwrap_or_default(),
            breaks: of.breaks.map(Breaks::from),
            daily_cap: of.daily_cap,
            warm_up: of.warm_up.map(WarmUp::from),
            rewarm: of
                .rewarm_after_hours
                .map(|hours| Rewarm { after: Duration::from_secs(u64::from(hours) * 3_600), warm_up: rewarm.into() }),
        }
    }
}

impl WarmUp {
    /// Returns the cap on the `day`th day, counted from 0.
    #[must_use]
    pub fn cap(self, day: u32) -> u32 {
        // Days beyond a hundred are past any end; a power that large would still be a number.
        let grown = f64::from(self.first_day) * self.growth.powi(i32::try_from(day.min(100)).unwrap_or(100));
        if grown < f64::from(self.until) { floor(grown) } else { self.until }
    }
}

impl From<BreakSettings> for Breaks {
    fn from(of: BreakSettings) -> Self {
        let [shortest, longest] = [of.shortest_seconds, of.longest_seconds].map(|s| Duration::from_secs(s.into()));
        Self { every: (of.every_min, of.every_max), length: (shortest, longest) }
    }
}

impl From<WarmUpSettings> for WarmUp {
    fn from(of: WarmUpSettings) -> Self {
        Self { first_day: of.first_day, growth: of.growth, until: of.until }
    }
}

/// Cuts the fraction off.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a value of u32")]
fn floor(value: f64) -> u32 {
    value as u32
}
