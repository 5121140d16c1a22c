//! The profiles: sets of figures for numbers of different standing.
//!
//! Nobody outside the provider knows its thresholds. The figures are what peers practise and advise, taken on the
//! careful side; they are settings to start from, never promises.

use serde::{Deserialize, Serialize};

use super::{BreakSettings, ColdSettings, PacingSettings, WarmUpSettings};
use crate::domain::hours::SendingHours;

/// A set of figures by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PacingProfile {
    /// A number linked within the last two weeks.
    New,
    /// A number in ordinary use.
    Standard,
    /// A number of long standing without complaints; the operator's own choice.
    Mature,
    /// A number of the Cloud API, which has limits of its own.
    Cloud,
}

/// The warm-up of a new number: 20 on the first day, as most peers advise, 1.8 times as many on each day after (the
/// growth of the careful ones), until 200.
pub(super) const WARM_UP: WarmUpSettings = WarmUpSettings { first_day: 20, growth: 1.8, until: 200 };

impl PacingProfile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::New, Self::Standard, Self::Mature, Self::Cloud];

    /// Returns the word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Standard => "standard",
            Self::Mature => "mature",
            Self::Cloud => "cloud",
        }
    }

    /// Returns its figures.
    ///
    /// In the three for linked devices every send keeps 1-3 s to the one before (peers' practice for answers to
    /// people who wrote first), begins slowly for 60 s after a connect (as the libraries that watch for bans do), and
    /// goes from 8 to 20 o'clock at the recipient's place. What is stricter holds for cold recipients.
    #[must_use]
    pub fn settings(self) -> PacingSettings {
        match self {
            // Cold 30-60 s and 20-30 an hour: what the guides for fresh numbers agree on.
            Self::New => linked_device(
                25,
                ColdSettings {
                    rate_per_minute: Some(2.0),
                    jitter: Some(1.0),
                    daily_cap: Some(WARM_UP.until),
                    warm_up: Some(WARM_UP),
                    ..ColdSettings::default()
                },
            ),
            // Cold 8-20 s with a break of 1-3 minutes every 20-25, 100 an hour, 250 cold ones a day, warming up anew
            // after three idle days: the middle of peers' practice.
            Self::Standard => linked_device(
                100,
                ColdSettings {
                    rate_per_minute: Some(7.5),
                    jitter: Some(1.5),
                    breaks: Some(BreakSettings {
                        every_min: 20,
                        every_max: 25,
                        shortest_seconds: 60,
                        longest_seconds: 180,
                    }),
                    daily_cap: Some(250),
                    warm_up: None,
                    rewarm_after_hours: Some(72),
                },
            ),
            // Cold 2.5-7 s, 300 an hour, 800 cold ones a day: between the careful and the middle preset of the
            // library that peers use against bans.
            Self::Mature => linked_device(
                300,
                ColdSettings {
                    rate_per_minute: Some(24.0),
                    jitter: Some(1.8),
                    daily_cap: Some(800),
                    ..ColdSettings::default()
                },
            ),
            // The provider's documented 80 a second and one message per recipient in 6 s; a burst of a tenth of a second.
            Self::Cloud => PacingSettings {
                rate_per_minute: Some(4_800.0),
                burst: Some(8),
                pair_interval_ms: Some(6_000),
                ..PacingSettings::default()
            },
        }
    }
}

fn linked_device(hourly_cap: u32, cold: ColdSettings) -> PacingSettings {
    PacingSettings {
        rate_per_minute: Some(60.0),
        burst: Some(1),
        jitter: Some(2.0),
        hourly_cap: Some(hourly_cap),
        cold: Some(cold),
        slow_start_seconds: Some(60),
        hours: Some(SendingHours::daily(8, 20)),
        ..PacingSettings::default()
    }
}
