//! Deliveries as the API shows them: one, its history, a campaign's export.
//!
//! Only reads; the message path writes them in batches elsewhere.

use crate::domain::delivery::DeliveryState;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::recipient::Recipient;
use crate::store::{Pool, Store, StoreError};

/// One delivery and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRecord {
    /// The delivery.
    pub id: DeliveryId,
    /// Which session sends it.
    pub session_id: SessionId,
    /// Its campaign; [`CampaignId::DIRECT`] for single messages.
    pub campaign_id: CampaignId,
    /// Place in its session and campaign.
    pub seq: i64,
    /// Who gets it.
    pub recipient: Recipient,
    /// Where it stands.
    pub state: DeliveryState,
    /// Class of its last failure.
    pub failure_class: Option<FailureClass>,
    /// Reason of its last failure.
    pub reason: Option<Reason>,
    /// The provider's own code of its last failure: `graph:131056`.
    pub provider_code: Option<String>,
    /// The provider's own name of the message, once it took it.
    pub provider_message_id: Option<String>,
    /// Attempts so far.
    pub n_attempts: i32,
    /// When it was accepted, UTC milliseconds.
    pub created_at_ms: i64,
    /// Not sent before, UTC milliseconds; 0 for at once.
    pub due_at_ms: i64,
    /// When the provider took it, UTC milliseconds.
    pub sent_at_ms: Option<i64>,
    /// When it was reported as delivered, UTC milliseconds.
    pub delivered_at_ms: Option<i64>,
    /// When it was reported as read, UTC milliseconds.
    pub read_at_ms: Option<i64>,
    /// When it was settled, UTC milliseconds.
    pub settled_at_ms: Option<i64>,
}

/// One thing that happened to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEvent {
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// What.
    pub kind: TimelineKind,
}

/// What can stand in a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimelineKind {
    /// We accepted it.
    Queued,
    /// An attempt was made durable, just before it was sent.
    AttemptStarted {
        /// Which attempt, from 1.
        attempt_no: i32,
    },
    /// An attempt ended.
    AttemptEnded {
        /// Which attempt, from 1.
        attempt_no: i32,
        /// `accepted`, `deferred`, `rejected`, `unknown` or `withdrawn`.
        outcome: String,
        /// Class of the failure.
        failure_class: Option<FailureClass>,
        /// Reason of the failure.
        reason: Option<Reason>,
        /// The provider's own code.
        provider_code: Option<String>,
    },
    /// The provider reported that it reached the phone.
    Delivered,
    /// The provider reported that it was read.
    Read,
    /// It was settled in a way that no attempt explains: failed by a receipt, skipped, cancelled.
    Settled {
        /// The state it was settled in.
        state: DeliveryState,
        /// Reason of the failure.
        reason: Option<Reason>,
    },
}

/// Where an export goes on: behind delivery `seq` of the campaign's session number `ordinal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportCursor {
    /// Which of the campaign's sessions.
    pub ordinal: i32,
    /// The last delivery of that session that was read; -1 for none.
    pub seq: i64,
}

/// A step of an export.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportStep {
    /// Deliveries, in the order of session and place.
    pub deliveries: Vec<DeliveryRecord>,
    /// Where to go on; `None` at the end.
    pub next: Option<ExportCursor>,
}

impl ExportCursor {
    /// The beginning of every export.
    pub const START: Self = Self { ordinal: 0, seq: -1 };
}

/// Deliveries as the API shows them.
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a> {
    pool: &'a Pool,
}

impl Store {
    /// Returns the deliveries as the API shows them.
    #[must_use]
    pub fn messages(&self) -> Messages<'_> {
        Messages { pool: self.pool() }
    }
}

impl Messages<'_> {
    /// Finds a delivery of the tenant; one that is still in the outbox is pending.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        unimplemented!("{:?} {id} {tenant_id}", self.pool)
    }

    /// Tells everything that happened to a delivery of the tenant, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn timeline(
        &self,
        tenant_id: TenantId,
        id: DeliveryId,
    ) -> Result<Option<Vec<TimelineEvent>>, StoreError> {
        unimplemented!("{:?} {id} {tenant_id}", self.pool)
    }

    /// Reads the next step of a campaign's export; `None` if the campaign is not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn export(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        cursor: ExportCursor,
    ) -> Result<Option<ExportStep>, StoreError> {
        unimplemented!("{:?} {campaign_id} {tenant_id} {cursor:?}", self.pool)
    }
}
