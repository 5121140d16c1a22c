//! The life cycle of a campaign: start, pause, resume, cancel.
//!
//! Hands out no delivery itself; it writes what is wanted and nudges the daemon.

use crate::domain::campaign::{CampaignEvent, CampaignState};
use crate::domain::id::{CampaignId, TenantId};
use crate::domain::session::SessionState;
use crate::error::{Error, Result};
use crate::limits::{CANCEL_BATCH_MAX, CHANGE_TRIES_MAX};
use crate::notice::Notice;
use crate::service::CampaignService;
use crate::service::campaign_changes::CampaignPatch;
use crate::service::plans::check_active;
use crate::store::campaign_moves::Move;
use crate::store::campaigns::CampaignRecord;
use crate::store::heads::HeadRequest;

impl CampaignService {
    /// Starts a campaign; does nothing when it runs.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state refuses, when it has no recipients, when it has expired,
    /// or when none of its sessions accepts messages; `SubscriptionInactive`.
    pub async fn start(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignRecord> {
        self.advance(tenant_id, id, CampaignEvent::Started).await
    }

    /// Holds a campaign; does nothing when it is held. Attempts under way finish. One that is scheduled becomes a draft.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state refuses.
    pub async fn pause(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignRecord> {
        let campaign = self.tools.store.campaigns().find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
        if campaign.state == CampaignState::Scheduled {
            let patch = CampaignPatch { scheduled_at: Some(None), ..CampaignPatch::default() };
            return self.change(tenant_id, id, patch).await;
        }
        self.advance(tenant_id, id, CampaignEvent::Paused).await
    }

    /// Lets a held campaign go on; does nothing when it runs.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state refuses; `SubscriptionInactive`.
    pub async fn resume(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignRecord> {
        self.advance(tenant_id, id, CampaignEvent::Resumed).await
    }

    /// Ends a campaign early; does nothing when it was ended so. Attempts under way finish.
    ///
    /// Its deliveries that wait are cancelled by [`Self::settle_cancelled`].
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state refuses.
    pub async fn cancel(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignRecord> {
        self.advance(tenant_id, id, CampaignEvent::Cancelled).await
    }

    /// Cancels the waiting deliveries of cancelled campaigns and returns how many; for the daemon:
    /// at its start, on a beat and when a campaign has changed. Safe to repeat and to break off.
    ///
    /// # Errors
    /// `Store` when a step did not happen.
    pub async fn settle_cancelled(&self) -> Result<u64> {
        let store = &self.tools.store;
        let mut n_cancelled = 0;
        for (campaign_id, session_id, band) in store.campaigns().streams_to_cancel().await? {
            let mut next = Some(-1);
            while let Some(after_seq) = next {
                let request = HeadRequest { session_id, campaign_id, band, after_seq, limit: CANCEL_BATCH_MAX };
                let (n, goes_on) = store.cancel_pending(request).await?;
                n_cancelled += u64::try_from(n).unwrap_or(u64::MAX);
                // Each step goes on behind the last one, so that the loop ends with the stream.
                next = goes_on.filter(|seq| after_seq < *seq);
            }
        }
        Ok(n_cancelled)
    }

    async fn advance(&self, tenant_id: TenantId, id: CampaignId, event: CampaignEvent) -> Result<CampaignRecord> {
        let campaigns = self.tools.store.campaigns();
        for _ in 0..CHANGE_TRIES_MAX {
            let campaign = campaigns.find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"))?;
            let to = campaign.state.apply(event)?;
            if to == campaign.state {
                return Ok(campaign);
            }
            if matches!(event, CampaignEvent::Started | CampaignEvent::Resumed) {
                check_active(&self.tools, tenant_id).await?;
            }
            if event == CampaignEvent::Started {
                self.check_start(&campaign).await?;
            }
            let step = Move { from: campaign.state, to, at_ms: self.tools.clock.now().as_ms() };
            if self.write(&campaign, event, step).await? {
                return campaigns.find(tenant_id, id).await?.ok_or(Error::NotFound("campaign"));
            }
        }
        Err(Error::conflict("The campaign changed meanwhile."))
    }

    async fn write(&self, campaign: &CampaignRecord, event: CampaignEvent, step: Move) -> Result<bool> {
        let (tenant_id, id) = (campaign.tenant_id, campaign.id);
        let canary = campaign.safeguards.canary.and_then(|canary| canary.n_first(campaign.n_recipients));
        let campaigns = self.tools.store.campaigns();
        let moved = match event {
            CampaignEvent::Started => campaigns.transition_into_outbox(tenant_id, id, step, canary).await?,
            CampaignEvent::Cancelled => campaigns.transition_out_of_outbox(tenant_id, id, step).await?,
            CampaignEvent::Resumed => campaigns.transition_into_running(tenant_id, id, step).await?,
            _ => campaigns.transition(tenant_id, id, step).await?,
        };
        if moved {
            self.tools.notices.tell(Notice::CampaignChanged(id));
            if step.to == CampaignState::Running {
                self.tools.notices.tell(Notice::OutboxWritten);
            }
        }
        Ok(moved)
    }

    pub(super) async fn check_start(&self, campaign: &CampaignRecord) -> Result<()> {
        if campaign.n_recipients == 0 {
            return Err(Error::conflict("The campaign has no recipients."));
        }
        if !campaign.is_readable {
            return Err(Error::conflict("The campaign has settings that this version does not know."));
        }
        let now_ms = self.tools.clock.now().as_ms();
        if campaign.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            return Err(Error::conflict("The campaign has expired."));
        }
        let states = self.tools.store.campaigns().session_states(campaign.tenant_id, campaign.id).await?;
        if !states.into_iter().any(SessionState::accepts_messages) {
            return Err(Error::conflict("None of the campaign's sessions is connected."));
        }
        Ok(())
    }
}
