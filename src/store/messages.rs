//! Deliveries as the API shows them: one, or a campaign's export.
//!
//! A delivery's history is [`crate::store::timeline`]; the message path writes deliveries in batches
//! elsewhere.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::delivery::DeliveryState;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::job::Job;
use crate::domain::recipient::Recipient;
use crate::limits::EXPORT_STEP_MAX;
use crate::store::column::RowPlace;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

pub use crate::store::timeline::{TimelineEvent, TimelineKind};

const FIND: Sql = Sql::portable(
    "SELECT delivery_id, session_id, campaign_id, seq, recipient, state, failure_class, reason, provider_code, \
         provider_message_id, n_attempts, created_at_ms, due_at_ms, sent_at_ms, delivered_at_ms, read_at_ms, \
         settled_at_ms \
     FROM deliveries WHERE delivery_id = $1 AND tenant_id = $2",
);
const EXPORT: Sql = Sql::portable(
    "SELECT delivery_id, session_id, campaign_id, seq, recipient, state, failure_class, reason, provider_code, \
         provider_message_id, n_attempts, created_at_ms, due_at_ms, sent_at_ms, delivered_at_ms, read_at_ms, \
         settled_at_ms \
     FROM deliveries WHERE session_id = $1 AND campaign_id = $2 AND seq > $3 AND tenant_id = $4 \
     ORDER BY seq LIMIT $5",
);
/// The tenant is inside the job and is compared once that is read.
const FIND_IN_OUTBOX: Sql =
    Sql::portable("SELECT job, created_at_ms, cancelled_at_ms FROM outbox WHERE outbox_id = $1 AND job IS NOT NULL");
const OWNER: Sql =
    Sql::portable("SELECT 1 FROM campaigns WHERE campaign_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL");
const SESSIONS: Sql = Sql::portable(
    "SELECT ordinal, session_id FROM campaign_sessions WHERE campaign_id = $1 AND ordinal >= $2 ORDER BY ordinal",
);

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
    /// When it is to go, UTC milliseconds; only while it waits for that and for nothing else.
    pub scheduled_at_ms: Option<i64>,
}

impl DeliveryRecord {
    /// Returns the word that the API documents for where it stands.
    #[must_use]
    pub fn api_word(&self) -> &'static str {
        if self.scheduled_at_ms.is_some() { "scheduled" } else { self.state.api_word() }
    }

    /// Describes the one delivery of a job that is still in the outbox, or was cancelled there.
    pub(super) fn in_outbox(row: OutboxMessage, id: DeliveryId) -> Result<(Self, TenantId), StoreError> {
        let place = RowPlace { table: "outbox", key: id };
        let job: Job = place.json("job", &row.job)?;
        let delivery = place.known("job", job.deliveries.iter().find(|delivery| delivery.id == id))?;
        let queued = Self::queued(id, &job, delivery.to.clone(), row.created_at_ms);
        let state = if row.cancelled_at_ms.is_some() { DeliveryState::Cancelled } else { DeliveryState::Pending };
        Ok((Self { state, settled_at_ms: row.cancelled_at_ms, ..queued }, job.tenant_id))
    }

    /// Describes a delivery of a job that is still in the outbox.
    #[must_use]
    pub fn queued(id: DeliveryId, job: &Job, recipient: Recipient, created_at_ms: i64) -> Self {
        Self {
            id,
            session_id: job.session_id,
            campaign_id: job.campaign(),
            seq: 0,
            recipient,
            state: DeliveryState::Pending,
            failure_class: None,
            reason: None,
            provider_code: None,
            provider_message_id: None,
            n_attempts: 0,
            created_at_ms,
            due_at_ms: 0,
            sent_at_ms: None,
            delivered_at_ms: None,
            read_at_ms: None,
            settled_at_ms: None,
            scheduled_at_ms: None,
        }
    }
}

/// A single message in the outbox.
#[derive(FromRow)]
pub(super) struct OutboxMessage {
    job: String,
    created_at_ms: i64,
    cancelled_at_ms: Option<i64>,
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
    pub(super) store: &'a Store,
}

impl Store {
    /// Returns the deliveries as the API shows them.
    #[must_use]
    pub fn messages(&self) -> Messages<'_> {
        Messages { store: self }
    }
}

impl Messages<'_> {
    /// Finds a delivery of the tenant; one that is still in the outbox is pending, handed on or not, unless it was cancelled
    /// there; one whose time has not come is scheduled.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn find(&self, tenant_id: TenantId, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        if let Some(found) = self.find_admitted(tenant_id, id).await? {
            return Ok(Some(found));
        }
        // The way that it goes, so that one that moves between two looks is met.
        if let Some(found) = self.find_scheduled(tenant_id, id).await? {
            return Ok(Some(found));
        }
        if let Some(found) = self.find_in_outbox(tenant_id, id).await? {
            return Ok(Some(found));
        }
        self.find_admitted(tenant_id, id).await
    }

    async fn find_admitted(&self, tenant_id: TenantId, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, DeliveryRow>(FIND.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .fetch_optional(db)
                .await
        });
        let row = row.map_err(StoreError::database("find a delivery"))?;
        row.map(DeliveryRecord::try_from).transpose()
    }

    async fn find_in_outbox(&self, tenant_id: TenantId, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, OutboxMessage>(FIND_IN_OUTBOX.of(self.store.pool())).bind(id.0).fetch_optional(db).await
        });
        let row = row.map_err(StoreError::database("find a message in the outbox"))?;
        let found = row.map(|row| DeliveryRecord::in_outbox(row, id)).transpose()?;
        Ok(found.filter(|(_, owner)| *owner == tenant_id).map(|(found, _)| found))
    }

    /// Reads the next step of a campaign's export; `None` if the campaign is not the tenant's.
    ///
    /// Goes through the campaign's sessions one by one, since deliveries are kept in their order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn export(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        cursor: ExportCursor,
    ) -> Result<Option<ExportStep>, StoreError> {
        let doing = "export a campaign";
        let owner = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query(OWNER.of(self.store.pool())).bind(campaign_id.0).bind(tenant_id.0);
            query.fetch_optional(db).await.map(|row| row.is_some())
        });
        if !owner.map_err(StoreError::database(doing))? {
            return Ok(None);
        }
        let sessions: Result<Vec<(i32, Uuid)>, _> = with_reader!(self.store.pool(), |db| {
            sqlx::query_as(SESSIONS.of(self.store.pool())).bind(campaign_id.0).bind(cursor.ordinal).fetch_all(db).await
        });
        let limit = usize::try_from(EXPORT_STEP_MAX).expect("a step fits into memory");
        let mut deliveries: Vec<DeliveryRecord> = Vec::with_capacity(limit);
        for (ordinal, session_id) in sessions.map_err(StoreError::database(doing))? {
            let after_seq = if ordinal == cursor.ordinal { cursor.seq } else { ExportCursor::START.seq };
            let room = i64::from(EXPORT_STEP_MAX) - i64::try_from(deliveries.len()).expect("a step is short");
            let rows = with_reader!(self.store.pool(), |db| {
                sqlx::query_as::<_, DeliveryRow>(EXPORT.of(self.store.pool()))
                    .bind(session_id)
                    .bind(campaign_id.0)
                    .bind(after_seq)
                    .bind(tenant_id.0)
                    .bind(room)
                    .fetch_all(db)
                    .await
            });
            for row in rows.map_err(StoreError::database(doing))? {
                deliveries.push(row.try_into()?);
            }
            if deliveries.len() == limit {
                let seq = deliveries.last().map_or(after_seq, |last| last.seq);
                return Ok(Some(ExportStep { deliveries, next: Some(ExportCursor { ordinal, seq }) }));
            }
        }
        Ok(Some(ExportStep { deliveries, next: None }))
    }
}

#[derive(FromRow)]
pub(super) struct DeliveryRow {
    delivery_id: Uuid,
    session_id: Uuid,
    campaign_id: Uuid,
    seq: i64,
    recipient: String,
    state: String,
    failure_class: Option<String>,
    reason: Option<String>,
    provider_code: Option<String>,
    provider_message_id: Option<String>,
    n_attempts: i32,
    created_at_ms: i64,
    due_at_ms: i64,
    sent_at_ms: Option<i64>,
    delivered_at_ms: Option<i64>,
    read_at_ms: Option<i64>,
    settled_at_ms: Option<i64>,
}

impl TryFrom<DeliveryRow> for DeliveryRecord {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "deliveries", key: row.delivery_id };
        Ok(Self {
            id: DeliveryId(row.delivery_id),
            session_id: SessionId(row.session_id),
            campaign_id: CampaignId(row.campaign_id),
            seq: row.seq,
            recipient: place.recipient(&row.recipient)?,
            state: place.known("state", DeliveryState::parse(&row.state))?,
            failure_class: place.word("failure_class", row.failure_class.as_deref(), FailureClass::parse)?,
            reason: place.word("reason", row.reason.as_deref(), Reason::parse)?,
            provider_code: row.provider_code,
            provider_message_id: row.provider_message_id,
            n_attempts: row.n_attempts,
            created_at_ms: row.created_at_ms,
            due_at_ms: row.due_at_ms,
            sent_at_ms: row.sent_at_ms,
            delivered_at_ms: row.delivered_at_ms,
            read_at_ms: row.read_at_ms,
            settled_at_ms: row.settled_at_ms,
            scheduled_at_ms: None,
        })
    }
}
