//! Judges running campaigns by their canary and their budget; for the daemon, on a beat.
//!
//! What is too much is the domain's.

use crate::domain::safeguards::Verdict;
use crate::error::{Failures, Result};
use crate::notice::Notice;
use crate::service::CampaignService;
use crate::store::guardrails::Judged;

/// Why a campaign pauses itself whose budget nobody can watch.
const UNREADABLE: &str = "guardrail: this version can not read the budget";

impl CampaignService {
    /// Judges every running campaign with a canary or a budget; one that can not be judged is paused. Safe to repeat and
    /// to run twice at once.
    ///
    /// # Errors
    /// `Store` when a campaign was not judged; the others were.
    pub async fn judge(&self) -> Result<()> {
        let mut failures = Failures::default();
        for judged in self.tools.store.campaigns().judged().await? {
            let result = self.judge_one(&judged).await;
            failures.note(judged.campaign_id, "judge a campaign", result)?;
        }
        failures.into_result()
    }

    async fn judge_one(&self, judged: &Judged) -> Result<()> {
        let (campaigns, id) = (self.tools.store.campaigns(), judged.campaign_id);
        let now_ms = self.tools.clock.now().as_ms();
        match judged.standing.map(|standing| standing.judge(now_ms)) {
            None => self.pause_itself(judged, UNREADABLE, now_ms).await?,
            Some(Verdict::GoOn) => {}
            Some(Verdict::Pause(breach)) => self.pause_itself(judged, &breach.to_string(), now_ms).await?,
            Some(Verdict::Judge) => campaigns.settle_canary(id, Some(now_ms)).await?,
            Some(Verdict::SendOn) => campaigns.settle_canary(id, None).await?,
            Some(Verdict::Pass) => {
                if campaigns.pass_canary(id).await? {
                    tracing::info!(campaign.id = %id, "the first recipients of a campaign are fine, the others follow");
                    self.tools.notices.tell(Notice::OutboxWritten);
                }
            }
        }
        Ok(())
    }

    async fn pause_itself(&self, judged: &Judged, reason: &str, now_ms: i64) -> Result<()> {
        if self.tools.store.campaigns().pause_itself(judged, reason, now_ms).await? {
            tracing::warn!(campaign.id = %judged.campaign_id, reason, "campaign paused itself");
            self.tools.notices.tell(Notice::CampaignChanged(judged.campaign_id));
        }
        Ok(())
    }
}
