//! What is to be delivered to webhooks: what is due at an address, and how attempts ended.
//!
//! Who may deliver is [`super::webhook_claims`]. Times are arguments: nodes share the database's clock by their own.

use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::id::{TenantId, WebhookDeliveryId, WebhookId};
use crate::domain::webhook::{DisabledReason, WebhookEvent, WebhookProblem};
use crate::store::bind::{column, to_i32, to_json, to_u32};
use crate::store::column::RowPlace;
use crate::store::events::event_time;
use crate::store::sql::now_ms;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Pool, Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// Something to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWebhook {
    /// Its place.
    pub seq: i64,
    /// Its name for the receiver.
    pub id: WebhookDeliveryId,
    /// What happened.
    pub event: WebhookEvent,
    /// What it is about.
    pub subject_id: Uuid,
    /// When it happened.
    pub at: OffsetDateTime,
    /// What else is to be known: a JSON object.
    pub data: String,
    /// Attempts so far.
    pub n_attempts: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookAttempt {
    /// The place of the delivery.
    pub seq: i64,
    /// What it is about.
    pub subject_id: Uuid,
    /// When it ended, UTC milliseconds.
    pub at_ms: i64,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it did not arrive; none when it did.
    pub problem: Option<WebhookProblem>,
    /// When the next one is made, UTC milliseconds; none when it was the last, or arrived.
    pub next_at_ms: Option<i64>,
}

/// What becomes of an address after some attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookHealth {
    /// Something arrived.
    pub any_arrived: bool,
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// It is told nothing more if nothing has arrived since before this time, UTC milliseconds.
    pub failing_before_ms: i64,
    /// The receiver said that it is not there any more.
    pub is_gone: bool,
}

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookBacklog {
    /// Deliveries.
    pub n_waiting: i64,
    /// When the oldest of them was queued, UTC milliseconds.
    pub oldest_ms: Option<i64>,
}

const DUE: Sql = Sql::portable(
    "SELECT d.seq, d.delivery_id, d.event, d.subject_id, d.at_ms, d.data, d.n_attempts, d.due_at_ms, \
         (SELECT MAX(e.due_at_ms) FROM webhook_deliveries e WHERE e.webhook_id = d.webhook_id \
              AND e.subject_id = d.subject_id AND e.state = 'pending' AND e.seq < d.seq) AS behind_due_ms \
     FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.state = 'pending' AND d.due_at_ms <= $2 \
     ORDER BY d.due_at_ms, d.seq LIMIT $3",
);
const PARK: Sql = Sql::per_dialect(
    "UPDATE webhook_deliveries AS d SET due_at_ms = u.due_at_ms \
     FROM UNNEST($1::int8[], $2::int8[]) AS u (seq, due_at_ms) WHERE d.seq = u.seq AND d.state = 'pending'",
    "UPDATE webhook_deliveries AS d SET due_at_ms = u.value ->> 1 \
     FROM json_each($1) AS u WHERE d.seq = u.value ->> 0 AND d.state = 'pending'",
);
const RECORD: Sql = Sql::per_dialect(
    "UPDATE webhook_deliveries AS d SET state = u.state, n_attempts = d.n_attempts + 1, last_attempt_at_ms = u.at_ms, \
         last_status = u.status, last_problem = u.problem, due_at_ms = COALESCE(u.next_at_ms, d.due_at_ms), \
         settled_at_ms = CASE WHEN u.state = 'pending' THEN NULL ELSE u.at_ms END \
     FROM UNNEST($1::int8[], $2::text[], $3::int8[], $4::int4[], $5::text[], $6::int8[]) \
          AS u (seq, state, at_ms, status, problem, next_at_ms) WHERE d.seq = u.seq AND d.state = 'pending'",
    "UPDATE webhook_deliveries AS d SET state = u.value ->> 1, n_attempts = d.n_attempts + 1, \
         last_attempt_at_ms = u.value ->> 2, last_status = u.value ->> 3, last_problem = u.value ->> 4, \
         due_at_ms = COALESCE(u.value ->> 5, d.due_at_ms), \
         settled_at_ms = CASE WHEN u.value ->> 1 = 'pending' THEN NULL ELSE u.value ->> 2 END \
     FROM json_each($1) AS u WHERE d.seq = u.value ->> 0 AND d.state = 'pending'",
);
/// An attempt that is lost in a crash is made again under the same name, which receivers bear; so it need not wait for
/// the disk.
const RECORD_LAZILY: &str = "SET LOCAL synchronous_commit = off";
/// Switched off by a person meanwhile it stays off, without a reason of ours.
macro_rules! note_health {
    ($reason:literal) => {
        concat!(
            "UPDATE webhooks SET failing_since_ms = $2, disabled_reason = CASE WHEN is_active THEN ",
            $reason,
            " ELSE disabled_reason END, is_active = (is_active AND ",
            $reason,
            " IS NULL) WHERE webhook_id = $1"
        )
    };
}
const NOTE_HEALTH: Sql = Sql::per_dialect(note_health!("$3::text"), note_health!("$3"));
const FAILING_SINCE: Sql = Sql::per_dialect(
    "SELECT failing_since_ms FROM webhooks WHERE webhook_id = $1 FOR NO KEY UPDATE",
    "SELECT failing_since_ms FROM webhooks WHERE webhook_id = $1",
);
macro_rules! queue_test {
    ($now_ms:expr) => {
        concat!(
            "INSERT INTO webhook_deliveries (delivery_id, webhook_id, tenant_id, event, subject_id, at_ms, data, \
                 created_at_ms, due_at_ms) \
             SELECT $3, w.webhook_id, w.tenant_id, 'webhook.test', $3, $4, $5, ",
            $now_ms,
            ", ",
            $now_ms,
            " FROM webhooks w WHERE w.webhook_id = $1 AND w.tenant_id = $2 AND w.is_active"
        )
    };
}
const QUEUE_TEST: Sql = Sql::per_dialect(queue_test!(now_ms!(postgres)), queue_test!(now_ms!(sqlite)));
const BACKLOG: Sql = Sql::portable(
    "SELECT COUNT(*), MIN(d.created_at_ms) FROM webhooks w JOIN webhook_deliveries d ON d.webhook_id = w.webhook_id \
     WHERE w.is_active AND d.state = 'pending'",
);

/// The index of what waits is read as far as the bound, of those only where nothing arrives.
const DISABLE_OVERFULL: Sql = Sql::portable(
    "UPDATE webhooks SET is_active = FALSE, disabled_reason = $2 \
     WHERE is_active AND failing_since_ms IS NOT NULL AND EXISTS ( \
         SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = webhooks.webhook_id AND d.state = 'pending' \
         LIMIT 1 OFFSET $1) \
     RETURNING webhook_id",
);

const DOING_READ: &str = "read what is due for a webhook";
const DOING_RECORD: &str = "record attempts of webhooks";
const DOING_TEST: &str = "queue a test of a webhook";

#[derive(FromRow)]
struct StoredDue {
    seq: i64,
    delivery_id: Uuid,
    event: String,
    subject_id: Uuid,
    at_ms: i64,
    data: String,
    n_attempts: i32,
    due_at_ms: i64,
    behind_due_ms: Option<i64>,
}

impl StoredDue {
    /// Returns when an earlier delivery of the same subject is due, if that is later.
    fn waits_until(&self) -> Option<i64> {
        self.behind_due_ms.filter(|due_ms| self.due_at_ms < *due_ms)
    }
}

impl TryFrom<StoredDue> for DueWebhook {
    type Error = StoreError;

    fn try_from(row: StoredDue) -> Result<Self, StoreError> {
        let place = RowPlace { table: "webhook_deliveries", key: row.delivery_id };
        Ok(Self {
            seq: row.seq,
            id: WebhookDeliveryId(row.delivery_id),
            event: place.known("event", WebhookEvent::parse(&row.event))?,
            subject_id: row.subject_id,
            at: event_time(row.at_ms),
            data: row.data,
            n_attempts: to_u32(row.n_attempts),
        })
    }
}

impl WebhookAttempt {
    fn state(&self) -> &'static str {
        match (self.problem, self.next_at_ms) {
            (None, _) => "delivered",
            (Some(_), Some(_)) => "pending",
            (Some(_), None) => "failed",
        }
    }
}

impl Store {
    /// Returns what is due at an address, those due longest first, and of each subject in its order.
    ///
    /// What waits behind an earlier delivery of its subject is put off until that one is due.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row can not be.
    pub async fn due_webhooks(&self, id: WebhookId, now_ms: i64, limit: u32) -> Result<Vec<DueWebhook>, StoreError> {
        loop {
            let mut tx = self.begin_read(DOING_READ).await?;
            let sql = DUE.of(self.pool());
            let rows = with_tx!(&mut tx, |db| {
                let query = sqlx::query_as::<_, StoredDue>(sql).bind(id.0).bind(now_ms).bind(i64::from(limit));
                query.fetch_all(db).await
            })
            .map_err(StoreError::database(DOING_READ))?;
            tx.commit(DOING_READ).await?;
            let parked: Vec<_> = rows.iter().filter_map(|row| Some((row.seq, row.waits_until()?))).collect();
            if parked.is_empty() {
                return rows.into_iter().map(DueWebhook::try_from).collect();
            }
            self.park_webhooks(&parked).await?;
        }
    }

    async fn park_webhooks(&self, parked: &[(i64, i64)]) -> Result<(), StoreError> {
        let done = match self.pool() {
            Pool::Postgres(pool) => {
                let query = sqlx::query(PARK.postgres()).bind(column(parked, |(seq, _)| *seq));
                query.bind(column(parked, |(_, due_ms)| *due_ms)).execute(pool).await.map(drop)
            }
            Pool::Sqlite { writer, .. } => {
                sqlx::query(PARK.sqlite()).bind(to_json(parked, |row| *row)).execute(writer).await.map(drop)
            }
        };
        done.map_err(StoreError::database("put off webhooks"))
    }

    /// Records how attempts at an address ended, and what that says about the address; returns why it is told nothing
    /// more, if this was the reason.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; the attempts are then made again under the same names.
    pub async fn record_webhooks(
        &self,
        id: WebhookId,
        attempts: &[WebhookAttempt],
        health: WebhookHealth,
    ) -> Result<Option<DisabledReason>, StoreError> {
        let mut tx = self.begin_write(DOING_RECORD).await?;
        let disabled = tx.record_webhooks(id, attempts, health).await.map_err(StoreError::database(DOING_RECORD))?;
        tx.commit(DOING_RECORD).await?;
        Ok(disabled)
    }

    /// Queues a test for an address of the tenant; `false` if it is not there or not active.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn queue_webhook_test(
        &self,
        tenant_id: TenantId,
        id: WebhookId,
        test: WebhookDeliveryId,
        at_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = QUEUE_TEST.of(self.pool());
        let n = with_writer!(self.pool(), |db| {
            let query = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(test.0).bind(at_ms);
            let data = serde_json::json!({ "webhookId": id }).to_string();
            query.bind(data).execute(db).await.map(|done| done.rows_affected())
        })
        .map_err(StoreError::database(DOING_TEST))?;
        self.told().notify_one();
        Ok(0 < n)
    }

    /// Switches off every address where nothing arrives and more than `n_max` things wait; returns which.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn disable_overfull_webhooks(&self, n_max: i64) -> Result<Vec<WebhookId>, StoreError> {
        let sql = DISABLE_OVERFULL.of(self.pool());
        let ids: Vec<Uuid> = with_writer!(self.pool(), |db| {
            let query = sqlx::query_scalar(sql).bind(n_max).bind(DisabledReason::Backlog.as_str());
            query.fetch_all(db).await
        })
        .map_err(StoreError::database("switch webhooks off"))?;
        Ok(ids.into_iter().map(WebhookId).collect())
    }

    /// Counts what waits at all active addresses.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be counted.
    pub async fn webhook_backlog(&self) -> Result<WebhookBacklog, StoreError> {
        let sql = BACKLOG.of(self.pool());
        let row: (i64, Option<i64>) = with_reader!(self.pool(), |db| sqlx::query_as(sql).fetch_one(db).await)
            .map_err(StoreError::database("count webhooks that wait"))?;
        Ok(WebhookBacklog { n_waiting: row.0, oldest_ms: row.1 })
    }
}

impl Tx {
    async fn record_webhooks(
        &mut self,
        id: WebhookId,
        attempts: &[WebhookAttempt],
        health: WebhookHealth,
    ) -> Result<Option<DisabledReason>, sqlx::Error> {
        match self {
            Self::Postgres(tx) => {
                sqlx::query(RECORD_LAZILY).execute(&mut **tx).await?;
                sqlx::query(RECORD.postgres())
                    .bind(column(attempts, |attempt| attempt.seq))
                    .bind(column(attempts, WebhookAttempt::state))
                    .bind(column(attempts, |attempt| attempt.at_ms))
                    .bind(column(attempts, |attempt| attempt.status.map(|status| to_i32(status.into()))))
                    .bind(column(attempts, |attempt| attempt.problem.map(WebhookProblem::as_str)))
                    .bind(column(attempts, |attempt| attempt.next_at_ms))
                    .execute(&mut **tx)
                    .await?;
            }
            Self::Sqlite(tx) => {
                let json = to_json(attempts, |attempt| {
                    let problem = attempt.problem.map(WebhookProblem::as_str);
                    (attempt.seq, attempt.state(), attempt.at_ms, attempt.status, problem, attempt.next_at_ms)
                });
                sqlx::query(RECORD.sqlite()).bind(json).execute(&mut **tx).await?;
            }
        }
        self.note_webhook_health(id, health).await
    }

    async fn note_webhook_health(
        &mut self,
        id: WebhookId,
        health: WebhookHealth,
    ) -> Result<Option<DisabledReason>, sqlx::Error> {
        let (read, write) = match self {
            Self::Postgres(_) => (FAILING_SINCE.postgres(), NOTE_HEALTH.postgres()),
            Self::Sqlite(_) => (FAILING_SINCE.sqlite(), NOTE_HEALTH.sqlite()),
        };
        with_tx!(self, |db| {
            let query = sqlx::query_scalar::<_, Option<i64>>(read).bind(id.0);
            let failing_since_ms = query.fetch_optional(&mut *db).await?.flatten();
            let now = if health.any_arrived { None } else { failing_since_ms.or(Some(health.at_ms)) };
            let too_long = now.is_some_and(|since_ms| since_ms < health.failing_before_ms);
            let gone = health.is_gone.then_some(DisabledReason::Gone);
            let disabled = gone.or(too_long.then_some(DisabledReason::Failing));
            if now != failing_since_ms || disabled.is_some() {
                let query = sqlx::query(write).bind(id.0).bind(now).bind(disabled.map(DisabledReason::as_str));
                query.execute(db).await?;
            }
            Ok(disabled)
        })
    }
}
