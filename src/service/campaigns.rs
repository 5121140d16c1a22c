//! Campaigns: made, and given recipients.
//!
//! Starting, pausing and cancelling is [`crate::service::campaign_control`].

use crate::clock::Moment;
use crate::domain::campaign::OnUnknown;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::message::{MessageSpec, Variables};
use crate::error::Result;
use crate::service::Tools;
use crate::service::recipient_import::RecipientImport;
use crate::store::campaigns::CampaignRecord;

/// A campaign to make.
#[derive(Debug, Clone)]
pub struct NewCampaign {
    /// What people call it; 1 to 200 characters.
    pub name: String,
    /// The sessions that send it: 1 to 1,000 of the tenant's, each once.
    pub session_ids: Vec<SessionId>,
    /// What is sent.
    pub message: MessageSpec,
    /// What becomes of deliveries without an answer.
    pub on_unknown: OnUnknown,
    /// Deliveries not sent by then are skipped.
    pub expires_at: Option<Moment>,
    /// Its first recipients.
    pub recipients: Vec<RecipientInput>,
}

/// A recipient as given.
#[derive(Debug, Clone)]
pub struct RecipientInput {
    /// The address as written by people.
    pub phone: String,
    /// Values for the message's variables.
    pub variables: Variables,
}

/// What became of recipients given at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddedRecipients {
    /// New ones.
    pub accepted: u64,
    /// Those that the campaign or the list had before.
    pub duplicates: u64,
}

/// Makes campaigns.
#[derive(Debug, Clone)]
pub struct CampaignService {
    pub(super) tools: Tools,
}

impl CampaignService {
    /// Makes the service.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Makes a campaign, a draft; all or nothing of it.
    ///
    /// # Errors
    /// `Validation` with every problem, by the fields `name`, `sessionIds`, `message`, `expiresAt`,
    /// `recipients[n].phone`.
    pub async fn create(&self, tenant_id: TenantId, new: NewCampaign) -> Result<(CampaignRecord, AddedRecipients)> {
        unimplemented!("{tenant_id} {new:?}")
    }

    /// Adds recipients to a draft, all of them or none; those it has are only counted.
    ///
    /// # Errors
    /// `Validation` with every problem, by the fields `recipients` and `recipients[n].phone`;
    /// `NotFound`; `Conflict` when it is no draft.
    pub async fn add_recipients(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        recipients: Vec<RecipientInput>,
    ) -> Result<AddedRecipients> {
        unimplemented!("{tenant_id} {id} {recipients:?}")
    }

    /// Starts taking a recipient file for a draft.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is no draft.
    pub async fn import_recipients(&self, tenant_id: TenantId, id: CampaignId) -> Result<RecipientImport> {
        unimplemented!("{tenant_id} {id}")
    }
}
