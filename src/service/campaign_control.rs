//! The life cycle of a campaign: start, pause, resume, cancel.
//!
//! Hands out no delivery itself; it writes what is wanted and nudges the daemon.

use crate::domain::id::{CampaignId, TenantId};
use crate::error::Result;
use crate::service::CampaignService;
use crate::store::campaigns::CampaignRecord;

impl CampaignService {
    /// Starts a campaign; does nothing when it runs.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state refuses, when it has no recipients, or when none of its
    /// sessions accepts messages.
    pub async fn start(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignRecord> {
        unimplemented!("{tenant_id} {id}")
    }

    /// Holds a campaign; does nothing when it is held. Attempts under way finish.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state refuses.
    pub async fn pause(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignRecord> {
        unimplemented!("{tenant_id} {id}")
    }

    /// Lets a held campaign go on; does nothing when it runs.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state refuses.
    pub async fn resume(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignRecord> {
        unimplemented!("{tenant_id} {id}")
    }

    /// Ends a campaign early; does nothing when it was ended so. Attempts under way finish.
    ///
    /// Its deliveries that wait are cancelled by [`Self::settle_cancelled`].
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state refuses.
    pub async fn cancel(&self, tenant_id: TenantId, id: CampaignId) -> Result<CampaignRecord> {
        unimplemented!("{tenant_id} {id}")
    }

    /// Cancels the waiting deliveries of cancelled campaigns and returns how many; for the daemon:
    /// at its start, on a beat and when a campaign has changed. Safe to repeat and to break off.
    ///
    /// # Errors
    /// `Store` when a step did not happen.
    pub async fn settle_cancelled(&self) -> Result<u64> {
        unimplemented!()
    }
}
