//! Moves of a campaign's life cycle, with what they do to the outbox.
//!
//! Which moves are allowed is the domain's; here a move names the state it expects.

use uuid::Uuid;

use crate::domain::campaign::CampaignState;
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::domain::zone::Band;
use crate::store::campaigns::Campaigns;
use crate::store::tx::{Tx, with_tx};
use crate::store::webhook_feed::CampaignTold;
use crate::store::{Sql, StoreError};
use crate::with_reader;

const MOVE: Sql = Sql::portable(
    "UPDATE campaigns SET state = $4, started_at_ms = COALESCE(started_at_ms, $5), \
     finished_at_ms = COALESCE(finished_at_ms, $6), \
     schedule_problem = CASE WHEN $4 = 'running' THEN NULL ELSE schedule_problem END \
     WHERE campaign_id = $1 AND tenant_id = $2 AND state = $3 AND deleted_at_ms IS NULL",
);
/// Only the first recipients become jobs until they are judged.
const GATE: Sql =
    Sql::portable("UPDATE campaigns SET canary_state = 'sending', canary_below_seq = $2 WHERE campaign_id = $1");
/// One row per campaign, so the campaign's id serves as the row's.
const FILL_OUTBOX: Sql = Sql::portable(
    "INSERT INTO outbox (outbox_id, campaign_id, next_seq, created_at_ms) VALUES ($1, $1, 0, $2) \
     ON CONFLICT (outbox_id) DO NOTHING",
);
const CLEAR_OUTBOX: Sql = Sql::portable("DELETE FROM outbox WHERE outbox_id = $1");
/// Across tenants, for the daemon.
const STREAMS_TO_CANCEL: Sql = Sql::portable(
    "SELECT s.campaign_id, s.session_id, s.band FROM campaign_counters k \
     JOIN campaigns c ON c.campaign_id = k.campaign_id \
     JOIN lane_streams s ON s.campaign_id = k.campaign_id \
     WHERE c.state = $1 AND k.pending > 0 ORDER BY s.campaign_id, s.session_id, s.band",
);

const DOING_MOVE: &str = "move a campaign";

/// A move of a campaign's life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The state it must be in.
    pub from: CampaignState,
    /// The state it gets.
    pub to: CampaignState,
    /// When, UTC milliseconds.
    pub at_ms: i64,
}

impl Campaigns<'_> {
    /// Moves a campaign from one state to another; `false` if it was not in `from`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn transition(&self, tenant_id: TenantId, id: CampaignId, step: Move) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_MOVE).await?;
        let moved = self.apply(tenant_id, id, step, &mut tx).await?;
        self.store.commit_moves(tx, DOING_MOVE).await?;
        Ok(moved)
    }

    /// Moves a campaign and puts it into the outbox, both or none, at first only the recipients below a place, if
    /// one is given; `false` if it was not in `from`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn transition_into_outbox(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        step: Move,
        canary_below_seq: Option<i64>,
    ) -> Result<bool, StoreError> {
        let doing = "start a campaign";
        let mut tx = self.store.begin_write(doing).await?;
        if !self.apply_into_outbox((tenant_id, id), step, canary_below_seq, &mut tx).await? {
            return Ok(false);
        }
        self.store.commit_moves(tx, doing).await?;
        Ok(true)
    }

    /// Does the same within a transaction.
    pub(super) async fn apply_into_outbox(
        &self,
        (tenant_id, id): (TenantId, CampaignId),
        step: Move,
        canary_below_seq: Option<i64>,
        tx: &mut Tx,
    ) -> Result<bool, StoreError> {
        let doing = "put a campaign into the outbox";
        if !self.apply(tenant_id, id, step, tx).await? {
            return Ok(false);
        }
        if let Some(below_seq) = canary_below_seq {
            let sql = GATE.of(self.store.pool());
            with_tx!(tx, |db| sqlx::query(sql).bind(id.0).bind(below_seq).execute(db).await.map(drop))
                .map_err(StoreError::database(doing))?;
        }
        with_tx!(tx, |db| {
            let query = sqlx::query(FILL_OUTBOX.of(self.store.pool())).bind(id.0).bind(step.at_ms);
            query.execute(db).await.map(|_| ())
        })
        .map_err(StoreError::database(doing))?;
        Ok(true)
    }

    /// Moves a campaign and takes it out of the outbox, both or none; `false` if it was not in `from`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn transition_out_of_outbox(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        step: Move,
    ) -> Result<bool, StoreError> {
        let doing = "cancel a campaign";
        let mut tx = self.store.begin_write(doing).await?;
        if !self.apply(tenant_id, id, step, &mut tx).await? {
            return Ok(false);
        }
        with_tx!(&mut tx, |db| {
            sqlx::query(CLEAR_OUTBOX.of(self.store.pool())).bind(id.0).execute(db).await.map(|_| ())
        })
        .map_err(StoreError::database(doing))?;
        self.store.commit_moves(tx, doing).await?;
        Ok(true)
    }

    pub(super) async fn apply(
        &self,
        tenant_id: TenantId,
        id: CampaignId,
        step: Move,
        tx: &mut Tx,
    ) -> Result<bool, StoreError> {
        let moved = with_tx!(tx, |db| {
            sqlx::query(MOVE.of(self.store.pool()))
                .bind(id.0)
                .bind(tenant_id.0)
                .bind(step.from.as_str())
                .bind(step.to.as_str())
                .bind((step.to == CampaignState::Running).then_some(step.at_ms))
                .bind(step.to.is_over().then_some(step.at_ms))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        if moved.map_err(StoreError::database(DOING_MOVE))? == 0 {
            return Ok(false);
        }
        let Move { from, to, at_ms } = step;
        tx.tell_campaign(CampaignTold { tenant_id, campaign_id: id, from, to, reason: None, at_ms }, DOING_MOVE)
            .await?;
        Ok(true)
    }

    /// Lists the streams of cancelled campaigns that have deliveries waiting, of all tenants.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn streams_to_cancel(&self) -> Result<Vec<(CampaignId, SessionId, Band)>, StoreError> {
        let rows: Result<Vec<(Uuid, Uuid, i32)>, _> = with_reader!(self.store.pool(), |db| {
            sqlx::query_as(STREAMS_TO_CANCEL.of(self.store.pool()))
                .bind(CampaignState::Cancelled.as_str())
                .fetch_all(db)
                .await
        });
        let rows = rows.map_err(StoreError::database("find cancelled campaigns"))?;
        Ok(rows
            .into_iter()
            .map(|(campaign, session, band)| (CampaignId(campaign), SessionId(session), Band(band)))
            .collect())
    }
}
