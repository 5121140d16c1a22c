//! Deliveries that are over and old are removed, with their attempts and their jobs.
//!
//! How they stood is added up in the same transaction, so that the counters of campaigns can still be counted anew. What the
//! present period of a plan counts stays, and so does what may still be sent, settled, or taken up by somebody who is at it.

use std::collections::BTreeMap;

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{CampaignId, TenantId};
use crate::limits::REMOVED_DELIVERIES_MAX;
use crate::store::bind::{Hex, column, hex_list, to_json};
use crate::store::tx::{Tries, Tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Which deliveries are removed.
#[derive(Debug, Clone, Copy)]
pub struct OldDeliveries {
    /// Whose.
    pub tenant_id: TenantId,
    /// Accepted from here on, UTC milliseconds: those before were looked at.
    pub from_ms: i64,
    /// Settled before, UTC milliseconds.
    pub before_ms: i64,
}

/// What a step removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedDeliveries {
    /// How many.
    pub n: u64,
    /// Where to go on, UTC milliseconds; none at the end.
    pub next_ms: Option<i64>,
}

const FIND: Sql = Sql::portable(
    "SELECT d.delivery_id, d.created_at_ms FROM deliveries d LEFT JOIN campaigns c ON c.campaign_id = d.campaign_id \
     WHERE d.tenant_id = $1 AND $2 <= d.created_at_ms AND d.created_at_ms < $3 AND d.settled_at_ms < $3 \
     AND d.state IN ('sent', 'delivered', 'read', 'failed', 'skipped', 'cancelled') \
     AND (c.state IS NULL OR c.state IN ('completed', 'cancelled', 'failed')) \
     AND NOT EXISTS (SELECT 1 FROM recalls r WHERE r.campaign_id = d.campaign_id) \
     AND COALESCE(d.quota_period_ms, 0) < \
         COALESCE((SELECT u.period_start_ms FROM usage u WHERE u.tenant_id = d.tenant_id), 1) \
     ORDER BY d.created_at_ms LIMIT $4",
);

/// Says again what they must be: one may have been taken up again since it was found.
const REMOVE: Sql = Sql::per_dialect(
    "DELETE FROM deliveries WHERE delivery_id = ANY($1) AND settled_at_ms < $2 \
     AND state IN ('sent', 'delivered', 'read', 'failed', 'skipped', 'cancelled') \
     RETURNING delivery_id, campaign_id, job_id, state, failure_class",
    "DELETE FROM deliveries WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1)) AND settled_at_ms < $2 \
     AND state IN ('sent', 'delivered', 'read', 'failed', 'skipped', 'cancelled') \
     RETURNING delivery_id, campaign_id, job_id, state, failure_class",
);

macro_rules! of_deliveries {
    ($table:literal) => {
        Sql::per_dialect(
            concat!("DELETE FROM ", $table, " WHERE delivery_id = ANY($1)"),
            concat!("DELETE FROM ", $table, " WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))"),
        )
    };
}
const WITH_THEM: [Sql; 3] =
    [of_deliveries!("attempts"), of_deliveries!("attempt_outcomes"), of_deliveries!("media_uses")];

/// Deliveries of a job are admitted with it, at the same time. Should more have come under its id later, it stays while
/// anything of its campaign waits.
macro_rules! remove_jobs {
    ($which:literal) => {
        concat!(
            "DELETE FROM jobs WHERE ",
            $which,
            " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.tenant_id = jobs.tenant_id \
                  AND d.campaign_id = jobs.campaign_id AND d.created_at_ms = jobs.created_at_ms AND d.job_id = jobs.job_id) \
              AND (campaign_id = $2 OR NOT EXISTS (SELECT 1 FROM campaign_counters k \
                  WHERE k.campaign_id = jobs.campaign_id AND 0 < k.pending + k.sending))"
        )
    };
}
const REMOVE_JOBS: Sql = Sql::per_dialect(
    remove_jobs!("job_id = ANY($1)"),
    remove_jobs!("job_id IN (SELECT unhex(value) FROM json_each($1))"),
);

const ADD: Sql = Sql::per_dialect(
    "INSERT INTO removed_deliveries AS r (campaign_id, state, failure_class, n) \
     SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::int8[]) \
     ON CONFLICT (campaign_id, state, failure_class) DO UPDATE SET n = r.n + EXCLUDED.n",
    "INSERT INTO removed_deliveries AS r (campaign_id, state, failure_class, n) \
     SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true \
     ON CONFLICT (campaign_id, state, failure_class) DO UPDATE SET n = r.n + EXCLUDED.n",
);

const DOING: &str = "remove old deliveries";

#[derive(FromRow)]
struct Removed {
    delivery_id: Uuid,
    campaign_id: Uuid,
    job_id: Uuid,
    state: String,
    failure_class: Option<String>,
}

impl Store {
    /// Removes the oldest of some deliveries, one step of them.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was removed; safe to repeat.
    pub async fn remove_deliveries(&self, of: OldDeliveries) -> Result<RemovedDeliveries, StoreError> {
        let sql = FIND.of(self.pool());
        let found: Vec<(Uuid, i64)> = with_reader!(self.pool(), |db| {
            let query = sqlx::query_as(sql).bind(of.tenant_id.0).bind(of.from_ms).bind(of.before_ms);
            query.bind(i64::from(REMOVED_DELIVERIES_MAX)).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING))?;
        let is_full = usize::try_from(REMOVED_DELIVERIES_MAX).is_ok_and(|max| max <= found.len());
        let next_ms = found.last().map(|found| found.1).filter(|_| is_full);
        let mut ids: Vec<Uuid> = found.into_iter().map(|found| found.0).collect();
        ids.sort_unstable();
        let mut tries = Tries::default();
        loop {
            let removed = self.remove_once(&ids, of.before_ms).await;
            if !tries.again(&removed) {
                return Ok(RemovedDeliveries { n: removed?, next_ms });
            }
        }
    }

    async fn remove_once(&self, ids: &[Uuid], before_ms: i64) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let mut tx = self.begin_write(DOING).await?;
        let n = tx.remove_deliveries(ids, before_ms).await.map_err(StoreError::database(DOING))?;
        tx.commit(DOING).await?;
        Ok(n)
    }
}

impl Tx {
    async fn remove_deliveries(&mut self, ids: &[Uuid], before_ms: i64) -> Result<u64, sqlx::Error> {
        let removed: Vec<Removed> = match self {
            Self::Postgres(tx) => {
                sqlx::query_as(REMOVE.postgres()).bind(ids).bind(before_ms).fetch_all(&mut **tx).await?
            }
            Self::Sqlite(tx) => {
                sqlx::query_as(REMOVE.sqlite()).bind(hex_list(ids)).bind(before_ms).fetch_all(&mut **tx).await?
            }
        };
        let ids = column(&removed, |row| row.delivery_id);
        for sql in WITH_THEM {
            match self {
                Self::Postgres(tx) => sqlx::query(sql.postgres()).bind(&ids).execute(&mut **tx).await.map(drop)?,
                Self::Sqlite(tx) => {
                    sqlx::query(sql.sqlite()).bind(hex_list(&ids)).execute(&mut **tx).await.map(drop)?;
                }
            }
        }
        let mut jobs = column(&removed, |row| row.job_id);
        jobs.sort_unstable();
        jobs.dedup();
        let direct = CampaignId::DIRECT.0;
        match self {
            Self::Postgres(tx) => {
                sqlx::query(REMOVE_JOBS.postgres()).bind(jobs).bind(direct).execute(&mut **tx).await.map(drop)?;
            }
            Self::Sqlite(tx) => {
                let query = sqlx::query(REMOVE_JOBS.sqlite()).bind(hex_list(&jobs)).bind(direct);
                query.execute(&mut **tx).await.map(drop)?;
            }
        }
        self.note_removed(&removed).await?;
        Ok(removed.len() as u64)
    }

    async fn note_removed(&mut self, removed: &[Removed]) -> Result<(), sqlx::Error> {
        let mut sums: BTreeMap<(Uuid, &str, &str), i64> = BTreeMap::new();
        for row in removed {
            let class = row.failure_class.as_deref().unwrap_or_default();
            *sums.entry((row.campaign_id, &row.state, class)).or_default() += 1;
        }
        let rows: Vec<_> = sums.into_iter().collect();
        match self {
            Self::Postgres(tx) => sqlx::query(ADD.postgres())
                .bind(column(&rows, |row| row.0.0))
                .bind(column(&rows, |row| row.0.1))
                .bind(column(&rows, |row| row.0.2))
                .bind(column(&rows, |row| row.1))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |(key, n)| (Hex(key.0), key.1, key.2, *n));
                sqlx::query(ADD.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
