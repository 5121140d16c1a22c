//! Single messages on their way in: accepted as far as the plan has messages for them, and durable then.
//!
//! What they take of the plan is counted when they are admitted; until then they are counted where they wait.

use std::collections::BTreeSet;

use crate::domain::id::{CampaignId, TenantId};
use crate::domain::job::{Job, JobDelivery};
use crate::domain::plan::Meter;
use crate::store::bind::{Hex, column, to_json, written};
use crate::store::messages::Messages;
use crate::store::plan_usage::PlanRefusal;
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::{Sql, StoreError};

const INSERT_JOBS: Sql = Sql::per_dialect(
    "INSERT INTO outbox (outbox_id, campaign_id, next_seq, created_at_ms, tenant_id, session_id, recipient, job) \
     SELECT u.delivery_id, $1, 0, $2, u.tenant_id, u.session_id, u.recipient, u.job \
     FROM UNNEST($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[]) \
          AS u (delivery_id, tenant_id, session_id, recipient, job)",
    "INSERT INTO outbox (outbox_id, campaign_id, next_seq, created_at_ms, tenant_id, session_id, recipient, job) \
     SELECT unhex(value ->> 0), $1, 0, $2, unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 4 \
     FROM json_each($3)",
);
const N_ON_THE_WAY: Sql =
    Sql::portable("SELECT COUNT(*) FROM outbox WHERE tenant_id = $1 AND job IS NOT NULL AND cancelled_at_ms IS NULL");
const DOING_ACCEPT: &str = "accept messages";

/// A message on its way in, with its job as text.
type NewMessage<'a> = (&'a Job, &'a JobDelivery, String);

impl Messages<'_> {
    /// Puts jobs of one delivery each of one tenant into the outbox, under the deliveries' ids; all, or none when its plan
    /// has not enough messages for them.
    ///
    /// Whoever sends for a tenant with a limit comes one after the other, so the last message is given away once.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn insert(&self, jobs: &[Job], now_ms: i64) -> Result<Result<(), PlanRefusal>, StoreError> {
        let rows = jobs.iter().flat_map(|job| job.deliveries.iter().map(move |delivery| (job, delivery)));
        let rows: Vec<NewMessage<'_>> = rows.map(|(job, delivery)| (job, delivery, written(job))).collect();
        let mut tries = Tries::default();
        loop {
            let result = self.insert_once(&rows, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn insert_once(&self, rows: &[NewMessage<'_>], now_ms: i64) -> Result<Result<(), PlanRefusal>, StoreError> {
        let mut tx = self.store.begin_write(DOING_ACCEPT).await?;
        let tenants: BTreeSet<TenantId> = rows.iter().map(|(job, ..)| job.tenant_id).collect();
        for tenant_id in &tenants {
            if let Err(refusal) = tx.has_room_for(*tenant_id, rows.len(), now_ms).await? {
                return Ok(Err(refusal));
            }
        }
        tx.insert_messages(rows, now_ms).await.map_err(StoreError::database(DOING_ACCEPT))?;
        tx.commit(DOING_ACCEPT).await?;
        Ok(Ok(()))
    }
}

impl Tx {
    /// Tells whether a tenant may send so many more, and keeps others from sending until this ends if it has a limit.
    async fn has_room_for(
        &mut self,
        tenant_id: TenantId,
        n: usize,
        now_ms: i64,
    ) -> Result<Result<(), PlanRefusal>, StoreError> {
        let mut budgets = self.hold_usage(&BTreeSet::from([tenant_id]), now_ms, DOING_ACCEPT).await?;
        let Some(allowance) = budgets.get_mut(tenant_id).copied() else { return Ok(Ok(())) };
        if !allowance.is_active(now_ms) {
            return Ok(Err(PlanRefusal::Inactive));
        }
        if allowance.limit.is_none() {
            return Ok(Ok(()));
        }
        // Seen behind the lock: what others have put there. It counts for the plan when it is admitted, and goes then.
        let sql = N_ON_THE_WAY.postgres();
        let on_the_way: i64 = with_tx!(self, |db| sqlx::query_scalar(sql).bind(tenant_id.0).fetch_one(db).await)
            .map_err(StoreError::database(DOING_ACCEPT))?;
        let n = i64::try_from(n).unwrap_or(i64::MAX).saturating_add(on_the_way);
        Ok(if allowance.has_room_for_all_and(n) { Ok(()) } else { Err(PlanRefusal::Full(Meter::Messages)) })
    }

    async fn insert_messages(&mut self, rows: &[NewMessage<'_>], now_ms: i64) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(tx) => sqlx::query(INSERT_JOBS.postgres())
                .bind(CampaignId::DIRECT.0)
                .bind(now_ms)
                .bind(column(rows, |row| row.1.id.0))
                .bind(column(rows, |row| row.0.tenant_id.0))
                .bind(column(rows, |row| row.0.session_id.0))
                .bind(column(rows, |row| row.1.to.as_str()))
                .bind(column(rows, |row| row.2.as_str()))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(rows, |(job, delivery, text)| {
                    (Hex(delivery.id.0), Hex(job.tenant_id.0), Hex(job.session_id.0), delivery.to.as_str(), text)
                });
                let query = sqlx::query(INSERT_JOBS.sqlite()).bind(CampaignId::DIRECT.0).bind(now_ms).bind(json);
                query.execute(&mut **tx).await.map(drop)
            }
        }
    }
}
