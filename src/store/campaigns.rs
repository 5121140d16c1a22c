//! Campaigns: their settings, their life cycle, their counters.
//!
//! Recipients are [`crate::store::campaign_recipients`]; the counters are moved by the journal and
//! only read here.

use crate::domain::campaign::{CampaignState, Counters, OnUnknown};
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::message::MessageSpec;
use crate::store::page::{Page, PageRequest};
use crate::store::{Pool, Store, StoreError};

/// A campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignRecord {
    /// The campaign.
    pub id: CampaignId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub state: CampaignState,
    /// What is sent.
    pub message: MessageSpec,
    /// What becomes of deliveries without an answer.
    pub on_unknown: OnUnknown,
    /// Recipients in its snapshot.
    pub n_recipients: i64,
    /// Deliveries not sent by then are skipped, UTC milliseconds.
    pub expires_at_ms: Option<i64>,
    /// When it was made, UTC milliseconds.
    pub created_at_ms: i64,
    /// When it was started, UTC milliseconds.
    pub started_at_ms: Option<i64>,
    /// When it was completed, cancelled or failed, UTC milliseconds.
    pub finished_at_ms: Option<i64>,
    /// Its deliveries by state.
    pub counters: Counters,
}

/// What became of a campaign's recipients so far; the numbers add up to `total`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CampaignStats {
    /// Recipients.
    pub total: i64,
    /// Not yet handed to a lane, or waiting in one; 0 before the start.
    pub queued: i64,
    /// With an attempt under way.
    pub sending: i64,
    /// Taken by the provider.
    pub sent: i64,
    /// Reported as delivered.
    pub delivered: i64,
    /// Reported as read.
    pub read: i64,
    /// Failed because of a limit.
    pub failed_limit: i64,
    /// Failed because the session or the provider could not.
    pub failed_unavailable: i64,
    /// Not sent by our decision.
    pub skipped: i64,
    /// Cancelled by a person.
    pub cancelled: i64,
    /// May have been sent.
    pub unknown: i64,
}

impl CampaignRecord {
    /// Counts what became of the recipients.
    ///
    /// Recipients that have no delivery yet are queued while the campaign may still hand them out,
    /// and cancelled once it was cancelled.
    #[must_use]
    pub fn stats(&self) -> CampaignStats {
        let c = self.counters;
        let not_handed_out = (self.n_recipients - c.sum()).max(0);
        let (queued, cancelled) = match self.state {
            CampaignState::Draft | CampaignState::Scheduled => (0, 0),
            CampaignState::Cancelled | CampaignState::Failed => (0, not_handed_out),
            CampaignState::Running | CampaignState::Paused | CampaignState::Completed => (not_handed_out, 0),
        };
        CampaignStats {
            total: self.n_recipients,
            queued: c.pending + queued,
            sending: c.sending,
            sent: c.sent,
            delivered: c.delivered,
            read: c.read,
            failed_limit: c.failed_limit,
            failed_unavailable: c.failed_unavailable,
            skipped: c.skipped,
            cancelled: c.cancelled + cancelled,
            unknown: c.unknown,
        }
    }
}

/// The campaigns in the database.
#[derive(Debug, Clone, Copy)]
pub struct Campaigns<'a> {
    pool: &'a Pool,
}

impl Store {
    /// Returns the campaigns.
    #[must_use]
    pub fn campaigns(&self) -> Campaigns<'_> {
        Campaigns { pool: self.pool() }
    }
}

impl Campaigns<'_> {
    /// Lists a page of the tenant's campaigns, newest first; `state` narrows it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn list(
        &self,
        tenant_id: TenantId,
        state: Option<CampaignState>,
        page: PageRequest,
    ) -> Result<Page<CampaignRecord>, StoreError> {
        unimplemented!("{:?} {page:?} {tenant_id} {state:?}", self.pool)
    }

    /// Finds a campaign of the tenant.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: CampaignId) -> Result<Option<CampaignRecord>, StoreError> {
        unimplemented!("{:?} {id} {tenant_id}", self.pool)
    }

    /// Lists the sessions that send a campaign, in their order; empty if it is not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn session_ids(&self, tenant_id: TenantId, id: CampaignId) -> Result<Vec<SessionId>, StoreError> {
        unimplemented!("{:?} {id} {tenant_id}", self.pool)
    }
}
