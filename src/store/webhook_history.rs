//! What webhooks were told and are still to be told, for people; and how the past is forgotten.
//!
//! Sends nothing.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TenantId, WebhookDeliveryId, WebhookId};
use crate::domain::webhook::{WebhookEvent, WebhookProblem};
use crate::store::bind::to_u32;
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::webhooks::Webhooks;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookDeliveryState {
    /// It waits, for its first attempt or for another.
    Pending,
    /// It arrived.
    Delivered,
    /// It did not arrive; a person may have it tried again.
    Failed,
}

impl WebhookDeliveryState {
    /// Returns the word of the API and of the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Failed].into_iter().find(|state| state.as_str() == word)
    }
}

/// Something told, or to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDeliveryRecord {
    /// Its name for the receiver.
    pub id: WebhookDeliveryId,
    /// What happened.
    pub event: WebhookEvent,
    /// Where it stands.
    pub state: WebhookDeliveryState,
    /// Attempts since it was queued, or was asked to be tried again.
    pub n_attempts: u32,
    /// What the event tells: a JSON object.
    pub data: String,
    /// When it happened, UTC milliseconds.
    pub at_ms: i64,
    /// When the next attempt may be made, UTC milliseconds; of one that waits.
    pub due_at_ms: Option<i64>,
    /// When the last attempt ended, UTC milliseconds.
    pub last_attempt_at_ms: Option<i64>,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// Why the last attempt did not arrive.
    pub last_problem: Option<WebhookProblem>,
    /// When it arrived or was given up, UTC milliseconds.
    pub settled_at_ms: Option<i64>,
}

/// What is kept of the past.
#[derive(Debug, Clone, Copy)]
pub struct WebhookKeeping {
    /// What was queued before is forgotten, UTC milliseconds.
    pub before_ms: i64,
    /// Of each address the newest rows.
    pub n_per_webhook: u32,
    /// Rows removed in one transaction, at most.
    pub n_rows: u32,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT delivery_id, event, state, n_attempts, data, at_ms, due_at_ms, last_attempt_at_ms, last_status, \
                 last_problem, settled_at_ms FROM webhook_deliveries WHERE tenant_id = $1 AND webhook_id = $2 ",
            $rest
        )
    };
}
const LIST: Sql = Sql::portable(select!("ORDER BY seq DESC LIMIT $3 OFFSET $4"));
const FIND: Sql = Sql::portable(select!("AND delivery_id = $3"));
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM webhook_deliveries WHERE tenant_id = $1 AND webhook_id = $2");
/// One that waits keeps its attempts under way, but is due at once.
const RETRY: Sql = Sql::portable(
    "UPDATE webhook_deliveries SET state = 'pending', n_attempts = 0, due_at_ms = $4, settled_at_ms = NULL \
     WHERE tenant_id = $1 AND webhook_id = $2 AND delivery_id = $3",
);

/// Addresses whose past is looked at; those that are gone go with all of it.
const KEPT: Sql = Sql::portable("SELECT webhook_id, deleted_at_ms IS NOT NULL FROM webhooks ORDER BY webhook_id");
/// Below the newest rows of an address, and what is too old. What waits stays while it may still be delivered.
const FORGET: Sql = Sql::portable(
    "DELETE FROM webhook_deliveries WHERE seq IN ( \
         SELECT d.seq FROM webhook_deliveries d WHERE d.webhook_id = $1 \
             AND (d.created_at_ms < $2 OR (d.state <> 'pending' AND d.seq <= COALESCE( \
                 (SELECT k.seq FROM webhook_deliveries k WHERE k.webhook_id = $1 ORDER BY k.seq DESC \
                  LIMIT 1 OFFSET $3), 0))) \
         ORDER BY d.seq LIMIT $4)",
);
const FORGET_ALL: Sql = Sql::portable(
    "DELETE FROM webhook_deliveries WHERE seq IN ( \
         SELECT d.seq FROM webhook_deliveries d WHERE d.webhook_id = $1 ORDER BY d.seq LIMIT $2)",
);
const FORGET_WEBHOOK: Sql = Sql::portable(
    "DELETE FROM webhooks WHERE webhook_id = $1 AND deleted_at_ms IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = $1)",
);

const DOING_READ: &str = "read what a webhook was told";
const DOING_RETRY: &str = "have a webhook tried again";
const DOING_FORGET: &str = "forget what webhooks were told";

#[derive(FromRow)]
struct StoredDelivery {
    delivery_id: Uuid,
    event: String,
    state: String,
    n_attempts: i32,
    data: String,
    at_ms: i64,
    due_at_ms: i64,
    last_attempt_at_ms: Option<i64>,
    last_status: Option<i32>,
    last_problem: Option<String>,
    settled_at_ms: Option<i64>,
}

impl TryFrom<StoredDelivery> for WebhookDeliveryRecord {
    type Error = StoreError;

    fn try_from(row: StoredDelivery) -> Result<Self, StoreError> {
        let place = RowPlace { table: "webhook_deliveries", key: row.delivery_id };
        let state = place.known("state", WebhookDeliveryState::parse(&row.state))?;
        Ok(Self {
            id: WebhookDeliveryId(row.delivery_id),
            event: place.known("event", WebhookEvent::parse(&row.event))?,
            state,
            n_attempts: to_u32(row.n_attempts),
            data: row.data,
            at_ms: row.at_ms,
            due_at_ms: (state == WebhookDeliveryState::Pending).then_some(row.due_at_ms),
            last_attempt_at_ms: row.last_attempt_at_ms,
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            last_problem: place.word("last_problem", row.last_problem.as_deref(), WebhookProblem::parse)?,
            settled_at_ms: row.settled_at_ms,
        })
    }
}

impl Webhooks<'_> {
    /// Lists what one of the tenant's was told and is to be told, newest first; nothing if it is not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row can not be.
    pub async fn history(
        &self,
        tenant_id: TenantId,
        id: WebhookId,
        page: PageRequest,
    ) -> Result<Page<WebhookDeliveryRecord>, StoreError> {
        let (count, list) = (COUNT.of(self.store.pool()), LIST.of(self.store.pool()));
        let total: i64 = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar(count).bind(tenant_id.0).bind(id.0).fetch_one(db).await
        })
        .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredDelivery>(list).bind(tenant_id.0).bind(id.0);
            query.bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(WebhookDeliveryRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Puts something told, or given up, back in line with all its attempts; `None` if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn retry(
        &self,
        tenant_id: TenantId,
        id: WebhookId,
        delivery_id: WebhookDeliveryId,
        now_ms: i64,
    ) -> Result<Option<WebhookDeliveryRecord>, StoreError> {
        let mut tx = self.store.begin_write(DOING_RETRY).await?;
        let (retry, find) = (RETRY.of(self.store.pool()), FIND.of(self.store.pool()));
        let row: Result<_, sqlx::Error> = with_tx!(&mut tx, |db| async {
            let query = sqlx::query(retry).bind(tenant_id.0).bind(id.0).bind(delivery_id.0).bind(now_ms);
            query.execute(&mut *db).await?;
            let query = sqlx::query_as::<_, StoredDelivery>(find).bind(tenant_id.0).bind(id.0).bind(delivery_id.0);
            query.fetch_optional(db).await
        }
        .await);
        let row = row.map_err(StoreError::database(DOING_RETRY))?;
        self.store.commit_moves(tx, DOING_RETRY).await?;
        row.map(WebhookDeliveryRecord::try_from).transpose()
    }
}

impl Store {
    /// Forgets what is old or too much, and addresses that were removed; returns how many rows went.
    ///
    /// # Errors
    /// [`StoreError::Database`] when a step failed; safe to repeat.
    pub async fn forget_webhooks(&self, keeping: WebhookKeeping) -> Result<u64, StoreError> {
        let sql = KEPT.of(self.pool());
        let webhooks: Vec<(Uuid, bool)> = with_reader!(self.pool(), |db| sqlx::query_as(sql).fetch_all(db).await)
            .map_err(StoreError::database(DOING_FORGET))?;
        let mut n_gone = 0;
        for (webhook_id, is_deleted) in webhooks {
            loop {
                let mut tx = self.begin_write(DOING_FORGET).await?;
                let n = tx.forget(webhook_id, is_deleted, keeping).await.map_err(StoreError::database(DOING_FORGET))?;
                tx.commit(DOING_FORGET).await?;
                n_gone += n;
                if n < u64::from(keeping.n_rows) {
                    break;
                }
            }
        }
        Ok(n_gone)
    }
}

impl Tx {
    async fn forget(
        &mut self,
        webhook_id: Uuid,
        is_deleted: bool,
        keeping: WebhookKeeping,
    ) -> Result<u64, sqlx::Error> {
        let n_rows = i64::from(keeping.n_rows);
        with_tx!(self, |db| {
            if is_deleted {
                let query = sqlx::query(FORGET_ALL.postgres()).bind(webhook_id).bind(n_rows);
                let n = query.execute(&mut *db).await?.rows_affected();
                sqlx::query(FORGET_WEBHOOK.postgres()).bind(webhook_id).execute(db).await?;
                return Ok(n);
            }
            let query = sqlx::query(FORGET.postgres()).bind(webhook_id).bind(keeping.before_ms);
            let query = query.bind(i64::from(keeping.n_per_webhook)).bind(n_rows);
            query.execute(db).await.map(|done| done.rows_affected())
        })
    }
}
