//! Changes of a campaign's settings, and campaigns and recipients that are removed.
//!
//! What may be changed when is the service's; here a change names the state and the revision it was made from. Of a
//! campaign that was removed the row stays, because its messages and their numbers do.

use uuid::Uuid;

use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::pacing::CampaignPacing;
use crate::limits::RECIPIENTS_FORGOTTEN_MAX;
use crate::store::bind::{hex_list, to_i32, written};
use crate::store::campaign_recipients::CampaignRecipients;
use crate::store::campaigns::{CampaignRecord, Campaigns, INSERT_SESSIONS};
use crate::store::tx::with_tx;
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

const UPDATE: Sql = Sql::portable(
    "UPDATE campaigns SET name = $5, state = $6, message = $7, on_unknown = $8, on_limit = $9, expires_at_ms = $10, \
     pacing = $11, failover = $12, canary = $13, guardrails = $14, respect_opt_in = $15, skip_duplicates_hours = $16, \
     scheduled_at_ms = $17, time_zone = $18, schedule_problem = NULL, revision = $4 + 1 \
     WHERE campaign_id = $1 AND tenant_id = $2 AND state = $3 AND revision = $4 AND deleted_at_ms IS NULL",
);
const CLEAR_SESSIONS: Sql = Sql::portable("DELETE FROM campaign_sessions WHERE campaign_id = $1");
const DELETE: Sql = Sql::portable(
    "UPDATE campaigns SET deleted_at_ms = $3 WHERE campaign_id = $1 AND tenant_id = $2 AND deleted_at_ms IS NULL \
     AND state IN ('draft', 'completed', 'cancelled', 'failed')",
);
/// Across tenants, for the daemon.
const DELETED: Sql = Sql::portable(
    "SELECT campaign_id, n_recipients FROM campaigns WHERE deleted_at_ms IS NOT NULL AND n_recipients > 0 \
     ORDER BY campaign_id LIMIT 1",
);
const FORGET: Sql = Sql::portable("DELETE FROM campaign_recipients WHERE campaign_id = $1 AND $2 <= seq");
const FORGOTTEN: Sql = Sql::portable("UPDATE campaigns SET n_recipients = $2 WHERE campaign_id = $1");
/// Ids of recipients have no index: importing a million of them would pay for what few people do to a draft.
const PLACE: Sql = Sql::portable(
    "SELECT r.seq FROM campaign_recipients r JOIN campaigns c ON c.campaign_id = r.campaign_id \
     WHERE r.campaign_id = $1 AND c.tenant_id = $2 AND r.recipient_id = $3 AND c.deleted_at_ms IS NULL",
);
/// Holds the draft, and takes one off its count if the recipient is still at its place.
const TAKE_ONE_OFF: Sql = Sql::portable(
    "UPDATE campaigns SET n_recipients = n_recipients - 1 \
     WHERE campaign_id = $1 AND tenant_id = $2 AND state = 'draft' AND deleted_at_ms IS NULL AND EXISTS (SELECT 1 \
         FROM campaign_recipients WHERE campaign_id = $1 AND seq = $3 AND recipient_id = $4) \
     RETURNING n_recipients",
);
const REMOVE: Sql =
    Sql::portable("DELETE FROM campaign_recipients WHERE campaign_id = $1 AND seq = $2 AND recipient_id = $3");
const FILL_GAP: Sql =
    Sql::portable("UPDATE campaign_recipients SET seq = $2 WHERE campaign_id = $1 AND seq = $3 AND $2 < $3");

const DOING_UPDATE: &str = "change a campaign";
const DOING_DELETE: &str = "remove a campaign";
const DOING_FORGET: &str = "forget the recipients of a removed campaign";
const DOING_REMOVE: &str = "remove a recipient of a campaign";

/// What became of a recipient that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientRemoval {
    /// It is gone.
    Done,
    /// It was not there, or not the tenant's.
    NotFound,
    /// The campaign is no draft, or its recipients changed meanwhile.
    Refused,
}

impl Campaigns<'_> {
    /// Writes the settings of `after` over those of `before`, its state and sessions too, unless the campaign has changed
    /// since; `false` if it has.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn update(
        &self,
        before: &CampaignRecord,
        after: &CampaignRecord,
        session_ids: Option<&[SessionId]>,
    ) -> Result<bool, StoreError> {
        let pacing = (after.pacing != CampaignPacing::default()).then(|| written(&after.pacing));
        let schedule = after.schedule.as_ref();
        let mut tx = self.store.begin_write(DOING_UPDATE).await?;
        let n_changed = with_tx!(&mut tx, |db| {
            sqlx::query(UPDATE.of(self.store.pool()))
                .bind(before.id.0)
                .bind(before.tenant_id.0)
                .bind(before.state.as_str())
                .bind(before.revision)
                .bind(&after.name)
                .bind(after.state.as_str())
                .bind(written(&after.message))
                .bind(after.on_unknown.as_str())
                .bind(after.on_limit.as_str())
                .bind(after.expires_at_ms)
                .bind(&pacing)
                .bind(after.safeguards.failover)
                .bind(after.safeguards.canary.as_ref().map(written))
                .bind(after.safeguards.guardrails.as_ref().map(written))
                .bind(after.pass_over.opted_out)
                .bind(after.pass_over.written_within_hours.map(to_i32))
                .bind(schedule.map(|schedule| schedule.at_ms))
                .bind(schedule.and_then(|schedule| schedule.time_zone.as_deref()))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        if n_changed.map_err(StoreError::database(DOING_UPDATE))? == 0 {
            return Ok(false);
        }
        if let Some(ids) = session_ids {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
            let (clear, insert) = (CLEAR_SESSIONS.of(self.store.pool()), INSERT_SESSIONS.of(self.store.pool()));
            let written: Result<(), sqlx::Error> = with_tx!(&mut tx, |db| async {
                sqlx::query(clear).bind(before.id.0).execute(&mut *db).await?;
                sqlx::query(insert).bind(before.id.0).bind(hex_list(&ids)).execute(&mut *db).await.map(drop)
            }
            .await);
            written.map_err(StoreError::database(DOING_UPDATE))?;
        }
        tx.commit(DOING_UPDATE).await?;
        Ok(true)
    }

    /// Removes a campaign that is a draft or over; `false` if it is neither, or not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn delete(&self, tenant_id: TenantId, id: CampaignId, now_ms: i64) -> Result<bool, StoreError> {
        let sql = DELETE.of(self.store.pool());
        let deleted = with_writer!(self.store.pool(), |db| {
            sqlx::query(sql)
                .bind(id.0)
                .bind(tenant_id.0)
                .bind(now_ms)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        Ok(0 < deleted.map_err(StoreError::database(DOING_DELETE))?)
    }
}

impl Store {
    /// Forgets some recipients of a campaign that was removed, the last ones; `false` when no removed campaign has any.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn forget_recipients(&self) -> Result<bool, StoreError> {
        let sql = DELETED.of(self.pool());
        let next: Result<Option<(Uuid, i64)>, _> =
            with_reader!(self.pool(), |db| sqlx::query_as(sql).fetch_optional(db).await);
        let Some((id, n_recipients)) = next.map_err(StoreError::database(DOING_FORGET))? else { return Ok(false) };
        let n_left = (n_recipients - RECIPIENTS_FORGOTTEN_MAX).max(0);
        let mut tx = self.begin_write(DOING_FORGET).await?;
        let (count, forget) = (FORGOTTEN.of(self.pool()), FORGET.of(self.pool()));
        let forgotten: Result<(), sqlx::Error> = with_tx!(&mut tx, |db| async {
            sqlx::query(count).bind(id).bind(n_left).execute(&mut *db).await?;
            sqlx::query(forget).bind(id).bind(n_left).execute(&mut *db).await.map(drop)
        }
        .await);
        forgotten.map_err(StoreError::database(DOING_FORGET))?;
        tx.commit(DOING_FORGET).await?;
        Ok(true)
    }
}

impl CampaignRecipients<'_> {
    /// Removes a recipient of a draft; the last one takes its place, so that places have no gaps.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written.
    pub async fn remove(
        &self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        id: DeliveryId,
    ) -> Result<RecipientRemoval, StoreError> {
        let pool = self.store.pool();
        let place: Result<Option<i64>, _> = with_reader!(pool, |db| {
            sqlx::query_scalar(PLACE.of(pool)).bind(campaign_id.0).bind(tenant_id.0).bind(id.0).fetch_optional(db).await
        });
        let Some(seq) = place.map_err(StoreError::database(DOING_REMOVE))? else {
            return Ok(RecipientRemoval::NotFound);
        };
        let mut tx = self.store.begin_write(DOING_REMOVE).await?;
        let n_left: Result<Option<i64>, _> = with_tx!(&mut tx, |db| {
            let query = sqlx::query_scalar(TAKE_ONE_OFF.of(pool)).bind(campaign_id.0).bind(tenant_id.0);
            query.bind(seq).bind(id.0).fetch_optional(db).await
        });
        let Some(last_seq) = n_left.map_err(StoreError::database(DOING_REMOVE))? else {
            return Ok(RecipientRemoval::Refused);
        };
        let moved: Result<bool, sqlx::Error> = with_tx!(&mut tx, |db| async {
            let query = sqlx::query(REMOVE.of(pool)).bind(campaign_id.0).bind(seq).bind(id.0);
            // Whoever waited for the draft has looked for the recipient before others moved it.
            if query.execute(&mut *db).await?.rows_affected() == 0 {
                return Ok(false);
            }
            let query = sqlx::query(FILL_GAP.of(pool)).bind(campaign_id.0).bind(seq).bind(last_seq);
            query.execute(&mut *db).await.map(|_| true)
        }
        .await);
        if !moved.map_err(StoreError::database(DOING_REMOVE))? {
            tx.rollback(DOING_REMOVE).await?;
            return Ok(RecipientRemoval::Refused);
        }
        tx.commit(DOING_REMOVE).await?;
        Ok(RecipientRemoval::Done)
    }
}
