//! Section `rate_limits`: how many requests the REST front takes from one key, one person and one address.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::problems::Problems;

/// Most requests a minute that a limit can be set to: 10,000 a second.
const PER_MINUTE_MAX: u64 = 600_000;
/// Most requests at once that a limit can be set to.
const BURST_MAX: u64 = 100_000;

/// How many requests are taken; any number where none is given.
#[derive(Debug, Clone, Copy)]
pub struct RateLimitsConfig {
    /// From one API key.
    pub key: Option<RateLimit>,
    /// From one person.
    pub user: Option<RateLimit>,
    /// From one address.
    pub address: Option<RateLimit>,
}

/// One limit.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Requests a minute in the long run.
    pub per_minute: NonZeroU32,
    /// Requests at once after a rest.
    pub burst: NonZeroU32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RateLimitsFile {
    key_per_minute: u64,
    key_burst: u64,
    user_per_minute: u64,
    user_burst: u64,
    address_per_minute: u64,
    address_burst: u64,
}

impl Default for RateLimitsFile {
    fn default() -> Self {
        Self {
            key_per_minute: 6_000,
            key_burst: 200,
            user_per_minute: 6_000,
            user_burst: 200,
            address_per_minute: 30_000,
            address_burst: 1_000,
        }
    }
}

impl RateLimitsFile {
    pub(super) fn check(self, problems: &mut Problems) -> Option<RateLimitsConfig> {
        let mut limit = |whom: &str, per_minute, burst| {
            let per_minute =
                problems.in_range(&format!("rate_limits.{whom}_per_minute"), per_minute, 0..=PER_MINUTE_MAX);
            let burst = problems.in_range(&format!("rate_limits.{whom}_burst"), burst, 1..=BURST_MAX);
            let number = |number: u64| u32::try_from(number).ok().and_then(NonZeroU32::new);
            let (per_minute, burst) = (per_minute?, number(burst?)?);
            Some(number(per_minute).map(|per_minute| RateLimit { per_minute, burst }))
        };
        let key = limit("key", self.key_per_minute, self.key_burst);
        let user = limit("user", self.user_per_minute, self.user_burst);
        let address = limit("address", self.address_per_minute, self.address_burst);
        Some(RateLimitsConfig { key: key?, user: user?, address: address? })
    }
}
