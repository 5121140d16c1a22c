//! How a lane spaces its sends: rate and burst, what a session sets beside them, and what follows from both.
//!
//! Only the settings; the arithmetic over time is `dispatch::pacer` and `dispatch::limits`.

mod campaign;
mod patch;
mod profile;
mod rules;
mod settings;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::Duration;

pub use campaign::CampaignPacing;
pub use profile::PacingProfile;
pub use rules::{Breaks, ColdRules, LaneRules, Rewarm, WarmUp};
pub use settings::{BreakSettings, ColdSettings, PacingSettings, SettingProblem, WarmUpSettings};

/// Slowest pace, sends per minute: one a day.
pub const RATE_PER_MINUTE_MIN: f64 = 1.0 / (24.0 * 60.0);
/// Fastest pace, sends per minute: the provider's own ceiling of 1,000 a second.
pub const RATE_PER_MINUTE_MAX: f64 = 60_000.0;
/// Largest burst: as many as one lane may have in flight.
pub const BURST_MAX: u32 = 64;

/// Steady rate and burst of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    interval: Duration,
    burst: NonZeroU32,
}

/// A pacing out of range; the text names the range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacingProblem {
    /// The rate is not a number between the bounds.
    #[error("must be between 0.0007 (one a day) and 60000 (1,000 a second)")]
    Rate,
    /// The burst is not between the bounds.
    #[error("must be between 1 and 64")]
    Burst,
}

impl Pacing {
    /// Makes a pacing from sends per minute and burst.
    ///
    /// # Errors
    /// [`PacingProblem`] when either is out of range.
    pub fn new(rate_per_minute: f64, burst: u32) -> Result<Self, PacingProblem> {
        if !(RATE_PER_MINUTE_MIN..=RATE_PER_MINUTE_MAX).contains(&rate_per_minute) {
            return Err(PacingProblem::Rate);
        }
        let burst = NonZeroU32::new(burst).filter(|n| n.get() <= BURST_MAX).ok_or(PacingProblem::Burst)?;
        Ok(Self { interval: Duration::from_secs_f64(60.0 / rate_per_minute), burst })
    }

    /// Returns the time between two sends at the steady rate.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns how many sends may go at once after a rest.
    #[must_use]
    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// Returns the steady rate.
    #[must_use]
    pub fn rate_per_minute(&self) -> f64 {
        60.0 / self.interval.as_secs_f64()
    }
}
