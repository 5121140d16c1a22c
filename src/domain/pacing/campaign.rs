//! What a campaign sets about its own pace.
//!
//! It only ever slows down: the rules of the session hold besides.

use serde::{Deserialize, Serialize};

use super::settings::{Problems, SettingProblem};
use crate::domain::hours::SendingHours;

/// A campaign's own pace, in each of its sessions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CampaignPacing {
    /// Sends per minute in each session, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<f64>,
    /// Sends in any 24 hours in each session, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_cap: Option<u32>,
    /// When messages may go, by the recipient's clock; those of the session hold besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<SendingHours>,
}

impl CampaignPacing {
    /// Checks everything.
    ///
    /// # Errors
    /// All problems, each with its field and range.
    pub fn check(&self) -> Result<(), Vec<SettingProblem>> {
        let mut problems = Problems::default();
        problems.rate("ratePerMinute", self.rate_per_minute);
        problems.cap("dailyCap", self.daily_cap);
        if problems.0.is_empty() { Ok(()) } else { Err(problems.0) }
    }
}
