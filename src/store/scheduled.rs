//! Single messages that wait for their time, apart from lanes: a message of next month is in nobody's way.
//!
//! They go into the outbox when they are due; when to look is decided elsewhere.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{CampaignId, DeliveryId, TenantId};
use crate::domain::job::Job;
use crate::limits::SCHEDULED_PER_TENANT_MAX;
use crate::store::bind::{hex_list, ms_of, written};
use crate::store::column::RowPlace;
use crate::store::message_list::MessageFilter;
use crate::store::messages::{DeliveryRecord, Messages};
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// Two at once may both be the last one; the bound is there for the disk and not for a plan.
const INSERT: Sql = Sql::portable(
    "INSERT INTO scheduled_messages (delivery_id, tenant_id, session_id, recipient, job, due_at_ms, created_at_ms) \
     SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT COUNT(*) FROM (SELECT 1 FROM scheduled_messages \
         WHERE tenant_id = $2 LIMIT $8) AS own) < $8",
);
const FIND: Sql = Sql::portable(
    "SELECT delivery_id, job, due_at_ms, created_at_ms FROM scheduled_messages WHERE delivery_id = $1 AND tenant_id = $2",
);
/// At most as many as a tenant may have.
const LIST: Sql = Sql::portable(
    "SELECT delivery_id, job, due_at_ms, created_at_ms FROM scheduled_messages \
     WHERE tenant_id = $1 AND ($2 IS NULL OR session_id = $2) AND ($3 IS NULL OR recipient = $3) \
       AND created_at_ms BETWEEN $4 AND $5 ORDER BY due_at_ms, delivery_id LIMIT $6 OFFSET $7",
);
const COUNT: Sql = Sql::portable(
    "SELECT COUNT(*) FROM scheduled_messages \
     WHERE tenant_id = $1 AND ($2 IS NULL OR session_id = $2) AND ($3 IS NULL OR recipient = $3) \
       AND created_at_ms BETWEEN $4 AND $5",
);
const ANY_DUE: Sql = Sql::portable("SELECT 1 FROM scheduled_messages WHERE due_at_ms <= $1 LIMIT 1");
/// Whoever cancels one of them just now has it.
const DUE: Sql = Sql::per_dialect(
    "SELECT delivery_id FROM scheduled_messages WHERE due_at_ms <= $1 ORDER BY due_at_ms, delivery_id LIMIT $2 \
     FOR UPDATE SKIP LOCKED",
    "SELECT delivery_id FROM scheduled_messages WHERE due_at_ms <= $1 ORDER BY due_at_ms, delivery_id LIMIT $2",
);
const RELEASE: Sql = Sql::per_dialect(
    "INSERT INTO outbox (outbox_id, campaign_id, next_seq, created_at_ms, tenant_id, session_id, recipient, job) \
     SELECT delivery_id, $1, 0, $2, tenant_id, session_id, recipient, job FROM scheduled_messages \
     WHERE delivery_id = ANY($3)",
    "INSERT INTO outbox (outbox_id, campaign_id, next_seq, created_at_ms, tenant_id, session_id, recipient, job) \
     SELECT delivery_id, $1, 0, $2, tenant_id, session_id, recipient, job FROM scheduled_messages \
     WHERE delivery_id IN (SELECT unhex(value) FROM json_each($3))",
);
const REMOVE: Sql = Sql::per_dialect(
    "DELETE FROM scheduled_messages WHERE delivery_id = ANY($1)",
    "DELETE FROM scheduled_messages WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))",
);
const HOLD: Sql = Sql::per_dialect(
    "SELECT delivery_id FROM scheduled_messages WHERE delivery_id = $1 AND tenant_id = $2 FOR UPDATE",
    "SELECT delivery_id FROM scheduled_messages WHERE delivery_id = $1 AND tenant_id = $2",
);
const MARK: Sql = Sql::portable("UPDATE outbox SET cancelled_at_ms = $2 WHERE outbox_id = $1");

const DOING_RELEASE: &str = "let scheduled messages go";
const DOING_LIST: &str = "list scheduled messages";

#[derive(FromRow)]
struct ScheduledRow {
    delivery_id: Uuid,
    job: String,
    due_at_ms: i64,
    created_at_ms: i64,
}

impl TryFrom<ScheduledRow> for DeliveryRecord {
    type Error = StoreError;

    fn try_from(row: ScheduledRow) -> Result<Self, StoreError> {
        let id = DeliveryId(row.delivery_id);
        let place = RowPlace { table: "scheduled_messages", key: id };
        let job: Job = place.json("job", &row.job)?;
        let delivery = place.known("job", job.deliveries.iter().find(|delivery| delivery.id == id))?;
        let queued = Self::queued(id, &job, delivery.to.clone(), row.created_at_ms);
        Ok(Self { scheduled_at_ms: Some(row.due_at_ms), ..queued })
    }
}

impl Messages<'_> {
    /// Keeps a job of one delivery until the time that it names; `false` when the tenant has as many as it may.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    ///
    /// # Panics
    /// When the job has no delivery or no time: only a bug could do that.
    pub async fn schedule(&self, job: &Job, now_ms: i64) -> Result<bool, StoreError> {
        let delivery = job.deliveries.first().expect("a single message has a delivery");
        let due_at_ms = ms_of(job.not_before.expect("a scheduled message has a time"));
        let sql = INSERT.of(self.store.pool());
        let n_written = with_writer!(self.store.pool(), |db| {
            sqlx::query(sql)
                .bind(delivery.id.0)
                .bind(job.tenant_id.0)
                .bind(job.session_id.0)
                .bind(delivery.to.as_str())
                .bind(written(job))
                .bind(due_at_ms)
                .bind(now_ms)
                .bind(SCHEDULED_PER_TENANT_MAX)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        n_written.map(|n| n != 0).map_err(StoreError::database("schedule a message"))
    }

    /// Lists the tenant's messages that wait for their time, the next one first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn scheduled(
        &self,
        tenant_id: TenantId,
        filter: &MessageFilter,
        page: PageRequest,
    ) -> Result<Page<DeliveryRecord>, StoreError> {
        if filter.campaign_id.is_some() {
            return Ok(Page { items: Vec::new(), total: 0 });
        }
        let session_id = filter.session_id.map(|id| id.0);
        let recipient = filter.recipient.as_ref().map(|recipient| recipient.as_str());
        let (list, count) = (LIST.of(self.store.pool()), COUNT.of(self.store.pool()));
        let read: Result<(Vec<ScheduledRow>, i64), sqlx::Error> = with_reader!(self.store.pool(), |db| async {
            let query = sqlx::query_as::<_, ScheduledRow>(list).bind(tenant_id.0).bind(session_id).bind(recipient);
            let query = query.bind(filter.from_ms).bind(filter.to_ms).bind(i64::from(page.limit())).bind(page.offset());
            let rows = query.fetch_all(db).await?;
            let query = sqlx::query_scalar::<_, i64>(count).bind(tenant_id.0).bind(session_id).bind(recipient);
            Ok((rows, query.bind(filter.from_ms).bind(filter.to_ms).fetch_one(db).await?))
        }
        .await);
        let (rows, total) = read.map_err(StoreError::database(DOING_LIST))?;
        let items = rows.into_iter().map(DeliveryRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: u64::try_from(total).unwrap_or(0) })
    }

    pub(super) async fn find_scheduled(
        &self,
        tenant_id: TenantId,
        id: DeliveryId,
    ) -> Result<Option<DeliveryRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, ScheduledRow>(sql).bind(id.0).bind(tenant_id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database("find a scheduled message"))?.map(DeliveryRecord::try_from).transpose()
    }

    /// Moves a scheduled message into the outbox as one that was cancelled; `false` when it is not scheduled.
    pub(super) async fn cancel_scheduled(
        &self,
        tenant_id: TenantId,
        id: DeliveryId,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let doing = "cancel a scheduled message";
        let mut tx = self.store.begin_write(doing).await?;
        let (hold, mark) = (HOLD.of(self.store.pool()), MARK.of(self.store.pool()));
        let held = with_tx!(&mut tx, |db| {
            let query = sqlx::query_scalar::<_, Uuid>(hold).bind(id.0).bind(tenant_id.0);
            query.fetch_optional(db).await
        });
        let Some(held) = held.map_err(StoreError::database(doing))? else { return Ok(false) };
        tx.release(&[held], now_ms).await.map_err(StoreError::database(doing))?;
        with_tx!(&mut tx, |db| sqlx::query(mark).bind(held).bind(now_ms).execute(db).await.map(drop))
            .map_err(StoreError::database(doing))?;
        tx.commit(doing).await?;
        Ok(true)
    }
}

impl Store {
    /// Moves scheduled messages that are due by `now_ms` into the outbox, at most `limit`; returns how many.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn release_scheduled(&self, now_ms: i64, limit: u32) -> Result<usize, StoreError> {
        // Asked with every look at the outbox, and seldom so.
        let sql = ANY_DUE.of(self.pool());
        let any = with_reader!(self.pool(), |db| {
            sqlx::query(sql).bind(now_ms).fetch_optional(db).await.map(|row| row.is_some())
        });
        if !any.map_err(StoreError::database(DOING_RELEASE))? {
            return Ok(0);
        }
        let mut tx = self.begin_write(DOING_RELEASE).await?;
        let sql = DUE.of(self.pool());
        let due = with_tx!(&mut tx, |db| {
            sqlx::query_scalar::<_, Uuid>(sql).bind(now_ms).bind(i64::from(limit)).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_RELEASE))?;
        if !due.is_empty() {
            tx.release(&due, now_ms).await.map_err(StoreError::database(DOING_RELEASE))?;
        }
        tx.commit(DOING_RELEASE).await?;
        Ok(due.len())
    }
}

impl Tx {
    /// Moves scheduled messages that are held into the outbox.
    async fn release(&mut self, ids: &[Uuid], now_ms: i64) -> Result<(), sqlx::Error> {
        let direct = CampaignId::DIRECT.0;
        match self {
            Self::Postgres(tx) => {
                sqlx::query(RELEASE.postgres()).bind(direct).bind(now_ms).bind(ids).execute(&mut **tx).await?;
                sqlx::query(REMOVE.postgres()).bind(ids).execute(&mut **tx).await.map(drop)
            }
            Self::Sqlite(tx) => {
                let json = hex_list(ids);
                sqlx::query(RELEASE.sqlite()).bind(direct).bind(now_ms).bind(&json).execute(&mut **tx).await?;
                sqlx::query(REMOVE.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
