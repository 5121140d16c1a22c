//! What people ask of a campaign's deliveries that came to an end: tried again, or declared sent.
//!
//! Takes the first steps itself, so that the answer can say what was done; the daemon takes the rest.

use std::time::Duration;

use crate::domain::failure::Reason;
use crate::domain::id::{CampaignId, TenantId, UserId};
use crate::domain::recall::RecallKind;
use crate::error::{Error, Failures, Problems, Result};
use crate::limits::RECALL_STEPS_PER_REQUEST_MAX;
use crate::notice::Notice;
use crate::service::CampaignService;
use crate::service::plans::check_active;
use crate::store::audit::Actor;
use crate::store::recalls::{Asked, NewRecall, Progress};

/// How long whoever asked may take steps before the daemon takes over.
const ASKER_TIME: Duration = Duration::from_secs(10);

/// What becomes of deliveries whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// They were sent.
    Sent,
    /// They go back in line.
    Retry,
}

impl CampaignService {
    /// Puts failed deliveries back in line, at the end, with as many attempts as new ones; all whose reason is not final
    /// for the recipient, or those with the given reasons. A completed campaign runs again.
    ///
    /// # Errors
    /// `Validation` by the fields `reasons`, `reasons[n]`; `NotFound`; `SubscriptionInactive`; `Conflict` when it was cancelled, has
    /// not started, or is being changed so already.
    pub async fn retry_failed(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        reasons: Option<Vec<String>>,
        by: (UserId, &Actor),
    ) -> Result<Progress> {
        let reasons = match reasons {
            None => Reason::ALL.iter().copied().filter(|reason| !reason.is_final_for_recipient()).collect(),
            Some(words) => check_reasons(&words)?,
        };
        self.recall(tenant_id, id, (RecallKind::RetryFailed, reasons), by).await
    }

    /// Settles deliveries whose outcome is unknown: they were sent, or they go back in line. A completed campaign runs
    /// again where they go back.
    ///
    /// # Errors
    /// `NotFound`; `SubscriptionInactive` where they go back; `Conflict` as for [`Self::retry_failed`].
    pub async fn resolve_unknown(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        to: Resolution,
        by: (UserId, &Actor),
    ) -> Result<Progress> {
        let kind = match to {
            Resolution::Sent => RecallKind::ResolveSent,
            Resolution::Retry => RecallKind::ResolveRetry,
        };
        self.recall(tenant_id, id, (kind, Vec::new()), by).await
    }

    /// Takes the steps that nobody else takes any more; for the daemon, on a beat. Safe to break off.
    ///
    /// # Errors
    /// `Store` when a step was not taken; those of other campaigns were.
    pub async fn finish_recalls(&self) -> Result<()> {
        let before = self.tools.clock.now() - ASKER_TIME;
        let mut failures = Failures::default();
        for campaign_id in self.tools.store.open_recalls(before.as_ms()).await? {
            let result = self.finish_recall(campaign_id).await;
            failures.note(campaign_id, "finish what people asked of it", result)?;
        }
        failures.into_result()
    }

    async fn finish_recall(&self, campaign_id: CampaignId) -> Result<()> {
        while let Some(progress) = self.step(campaign_id).await? {
            if progress.is_done {
                break;
            }
        }
        self.tools.notices.tell(Notice::CampaignChanged(campaign_id));
        Ok(())
    }

    async fn recall(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        (kind, reasons): (RecallKind, Vec<Reason>),
        (user_id, actor): (UserId, &Actor),
    ) -> Result<Progress> {
        if kind.puts_back() {
            let campaign = self.tools.store.campaigns().find(tenant_id, campaign_id).await?;
            campaign.ok_or(Error::NotFound("campaign"))?;
            check_active(&self.tools, tenant_id).await?;
        }
        let (at_ms, request_id) = (self.tools.clock.now().as_ms(), actor.request_id.clone());
        let new = NewRecall { tenant_id, campaign_id, kind, reasons, user_id, request_id, at_ms };
        match self.tools.store.ask_recall(&new).await? {
            Asked::Begun => {}
            Asked::Nothing => return Ok(Progress { n_moved: 0, is_done: true }),
            Asked::Busy => return Err(Error::conflict("The campaign's messages are being moved already.")),
            Asked::NotFound => return Err(Error::NotFound("campaign")),
            Asked::Refused(refused) => return Err(refused.into()),
        }
        let mut last = Progress { n_moved: 0, is_done: false };
        for _ in 0..RECALL_STEPS_PER_REQUEST_MAX {
            match self.step(campaign_id).await? {
                Some(progress) => last = progress,
                None => last.is_done = true,
            }
            if last.is_done {
                break;
            }
        }
        self.tools.notices.tell(Notice::CampaignChanged(campaign_id));
        Ok(last)
    }

    async fn step(&self, campaign_id: CampaignId) -> Result<Option<Progress>> {
        Ok(self.tools.store.step_recall(campaign_id, self.tools.clock.now().as_ms()).await?)
    }
}

fn check_reasons(words: &[String]) -> Result<Vec<Reason>> {
    let mut problems = Problems::default();
    let mut reasons = Vec::with_capacity(words.len());
    if words.is_empty() {
        problems.push("reasons", "must name at least one reason");
    }
    if Reason::ALL.len() < words.len() {
        return Err(Error::invalid("reasons", format!("must name at most {} reasons", Reason::ALL.len())));
    }
    for (place, word) in words.iter().enumerate() {
        match Reason::parse(word) {
            Some(reason) if reason.is_final_for_recipient() => {
                problems.push(format!("reasons[{place}]"), "is final for the recipient");
            }
            Some(reason) => reasons.push(reason),
            None => problems.push(format!("reasons[{place}]"), "is not a reason of failures"),
        }
    }
    problems.check()?;
    Ok(reasons)
}
