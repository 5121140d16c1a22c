//! Campaigns that start by themselves: which are due, what keeps them, and their start.
//!
//! Whether one may start, and how late it may be, is the service's. Every move names the revision that was judged: a
//! campaign that a person has changed meanwhile, its time or who goes first, does not start as it was.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::campaign::CampaignState;
use crate::domain::id::{CampaignId, TenantId};
use crate::store::campaign_moves::Move;
use crate::store::campaigns::Campaigns;
use crate::store::tx::{Tx, with_tx};
use crate::store::webhook_feed::CampaignTold;
use crate::store::{Sql, StoreError};
use crate::{with_reader, with_writer};

/// Across tenants, for the daemon.
const DUE: Sql = Sql::portable(
    "SELECT campaign_id, tenant_id, scheduled_at_ms, revision FROM campaigns \
     WHERE state = 'scheduled' AND scheduled_at_ms <= $1 AND (scheduled_at_ms, campaign_id) > ($2, $3) \
     ORDER BY scheduled_at_ms, campaign_id LIMIT $4",
);
const HOLD: Sql = Sql::per_dialect(
    "SELECT 1 FROM campaigns WHERE campaign_id = $1 AND state = 'scheduled' AND revision = $2 FOR UPDATE",
    "SELECT 1 FROM campaigns WHERE campaign_id = $1 AND state = 'scheduled' AND revision = $2",
);
const NOTE: Sql = Sql::portable(
    "UPDATE campaigns SET schedule_problem = $3 WHERE campaign_id = $1 AND state = 'scheduled' \
     AND revision = $2",
);
const FAIL: Sql = Sql::portable(
    "UPDATE campaigns SET state = 'failed', schedule_problem = $2, finished_at_ms = $3 WHERE campaign_id = $1",
);

const DOING_START: &str = "start a campaign at its time";
const DOING_NOTE: &str = "note why a campaign does not start";

/// A campaign whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueCampaign {
    /// The campaign.
    pub id: CampaignId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// When it was to start, UTC milliseconds.
    pub scheduled_at_ms: i64,
    /// Which of its changes this is of.
    pub revision: i64,
}

#[derive(FromRow)]
struct DueRow {
    campaign_id: Uuid,
    tenant_id: Uuid,
    scheduled_at_ms: i64,
    revision: i64,
}

impl Campaigns<'_> {
    /// Lists campaigns of all tenants whose time has come, those that wait longest first, behind a given one.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn due(
        &self,
        now_ms: i64,
        after: Option<DueCampaign>,
        limit: u32,
    ) -> Result<Vec<DueCampaign>, StoreError> {
        let (after_ms, after_id) = after.map_or((i64::MIN, Uuid::nil()), |due| (due.scheduled_at_ms, due.id.0));
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, DueRow>(DUE.of(self.store.pool())).bind(now_ms).bind(after_ms);
            query.bind(after_id).bind(i64::from(limit)).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database("find campaigns whose time has come"))?;
        let due = |row: DueRow| DueCampaign {
            id: CampaignId(row.campaign_id),
            tenant_id: TenantId(row.tenant_id),
            scheduled_at_ms: row.scheduled_at_ms,
            revision: row.revision,
        };
        Ok(rows.into_iter().map(due).collect())
    }

    /// Starts a campaign whose time has come, at first only the recipients below a place, if one is given; `false` if it
    /// is not scheduled as it was any more, for instance because another node has started it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn start_due(
        &self,
        due: &DueCampaign,
        at_ms: i64,
        canary_below_seq: Option<i64>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_START).await?;
        if !self.hold_due(due, &mut tx).await? {
            return Ok(false);
        }
        let step = Move { from: CampaignState::Scheduled, to: CampaignState::Running, at_ms };
        if !self.apply_into_outbox((due.tenant_id, due.id), step, canary_below_seq, &mut tx).await? {
            return Ok(false);
        }
        self.store.commit_moves(tx, DOING_START).await?;
        Ok(true)
    }

    /// Notes why a campaign whose time has come does not start yet.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn note_late(&self, due: &DueCampaign, problem: &str) -> Result<(), StoreError> {
        let sql = NOTE.of(self.store.pool());
        with_writer!(self.store.pool(), |db| {
            sqlx::query(sql).bind(due.id.0).bind(due.revision).bind(problem).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_NOTE))
    }

    /// Gives up a campaign whose time has come; `false` if it is not scheduled as it was any more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn fail_due(&self, due: &DueCampaign, problem: &str, at_ms: i64) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_NOTE).await?;
        if !self.hold_due(due, &mut tx).await? {
            return Ok(false);
        }
        let sql = FAIL.of(self.store.pool());
        with_tx!(&mut tx, |db| sqlx::query(sql).bind(due.id.0).bind(problem).bind(at_ms).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_NOTE))?;
        let told = CampaignTold {
            tenant_id: due.tenant_id,
            campaign_id: due.id,
            from: CampaignState::Scheduled,
            to: CampaignState::Failed,
            reason: Some(problem),
            at_ms,
        };
        tx.tell_campaign(told, DOING_NOTE).await?;
        self.store.commit_moves(tx, DOING_NOTE).await?;
        Ok(true)
    }

    async fn hold_due(&self, due: &DueCampaign, tx: &mut Tx) -> Result<bool, StoreError> {
        let sql = HOLD.of(self.store.pool());
        let held: Result<Option<i32>, _> =
            with_tx!(tx, |db| sqlx::query_scalar(sql).bind(due.id.0).bind(due.revision).fetch_optional(db).await);
        Ok(held.map_err(StoreError::database(DOING_START))?.is_some())
    }
}
