//! The snapshot that a campaign sends to.
//!
//! Numbers run without gaps from 0 in the order of insertion; the next one is the campaign's
//! `n_recipients`. Changes only drafts.

use crate::domain::id::{CampaignId, DeliveryId, TenantId};
use crate::domain::message::Variables;
use crate::domain::recipient::Recipient;
use crate::store::page::{Page, PageRequest};
use crate::store::{Pool, Store, StoreError};

/// A recipient to add.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecipient {
    /// Who gets the message.
    pub recipient: Recipient,
    /// Values for the message's variables.
    pub variables: Variables,
}

/// A recipient of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientRecord {
    /// Becomes the id of the delivery.
    pub id: DeliveryId,
    /// Place in the campaign, from 0.
    pub seq: i64,
    /// Who gets the message.
    pub recipient: Recipient,
    /// Values for the message's variables.
    pub variables: Variables,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// How many were added.
    pub accepted: usize,
    /// Which were not, because the campaign or the batch had them before; places in the batch.
    pub duplicates: Vec<usize>,
}

/// The recipients in the database.
#[derive(Debug, Clone, Copy)]
pub struct CampaignRecipients<'a> {
    pool: &'a Pool,
}

impl Store {
    /// Returns the recipients of campaigns.
    #[must_use]
    pub fn campaign_recipients(&self) -> CampaignRecipients<'_> {
        CampaignRecipients { pool: self.pool() }
    }
}

impl CampaignRecipients<'_> {
    /// Adds recipients to a draft; `None` if it is not there, not the tenant's or not a draft.
    ///
    /// # Errors
    /// [`StoreError::Database`] when none was added.
    pub async fn append(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        batch: &[NewRecipient],
    ) -> Result<Option<Appended>, StoreError> {
        unimplemented!("{:?} {campaign_id} {tenant_id} {batch:?}", self.pool)
    }

    /// Lists a page of a campaign's recipients in their order; `None` if it is not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn list(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        page: PageRequest,
    ) -> Result<Option<Page<RecipientRecord>>, StoreError> {
        unimplemented!("{:?} {campaign_id} {tenant_id} {page:?}", self.pool)
    }
}
