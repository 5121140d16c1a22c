//! Judges running campaigns by their canary and their budget; for the daemon, on a beat.
//!
//! What is too much is the domain's.

use crate::domain::safeguards::Verdict;
use crate::error::Result;
use crate::notice::Notice;
use crate::service::CampaignService;

impl CampaignService {
    /// Judges every running campaign with a canary or a budget. Safe to repeat and to run twice at once.
    ///
    /// # Errors
    /// `Store` when a campaign was not judged.
    pub async fn judge(&self) -> Result<()> {
        let (campaigns, notices) = (self.tools.store.campaigns(), &self.tools.notices);
        let now_ms = self.tools.clock.now().as_ms();
        for judged in campaigns.judged().await? {
            let id = judged.campaign_id;
            match judged.standing.judge(now_ms) {
                Verdict::GoOn => {}
                Verdict::Pause(breach) => {
                    if campaigns.pause_itself(&judged, &breach.to_string(), now_ms).await? {
                        tracing::warn!(campaign.id = %id, reason = %breach, "campaign paused itself");
                        notices.tell(Notice::CampaignChanged(id));
                    }
                }
                Verdict::Judge => campaigns.settle_canary(id, Some(now_ms)).await?,
                Verdict::SendOn => campaigns.settle_canary(id, None).await?,
                Verdict::Pass => {
                    if campaigns.pass_canary(id).await? {
                        tracing::info!(campaign.id = %id, "the first recipients of a campaign are fine, the others follow");
                        notices.tell(Notice::OutboxWritten);
                    }
                }
            }
        }
        Ok(())
    }
}
