//! Where a campaign stands, for those who look on.

use serde::Serialize;
use utoipa::ToSchema;

use super::views::CountersView;
use crate::domain::id::CampaignId;
use crate::store::campaign_progress::CampaignProgress;

/// Where a campaign stands, as those who look on are told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    campaign_id: CampaignId,
    /// Its status.
    #[schema(example = "running")]
    status: &'static str,
    /// Why it paused itself; null when it did not.
    #[schema(example = "guardrail: failure rate 12 % above 5 %")]
    pause_reason: Option<String>,
    /// What became of its recipients.
    counters: CountersView,
}

impl From<&CampaignProgress> for ProgressView {
    fn from(progress: &CampaignProgress) -> Self {
        Self {
            campaign_id: progress.id,
            status: progress.state.as_str(),
            pause_reason: progress.pause_reason.clone(),
            counters: progress.stats.into(),
        }
    }
}
