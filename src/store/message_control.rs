//! What a person does to one message: takes it back before it is begun, or has it tried again.
//!
//! Says what stands in the way and leaves it to the caller to tell it.

use std::collections::{BTreeMap, HashSet};

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::campaign::{CampaignEvent, CampaignState, Refused};
use crate::domain::delivery::DeliveryState;
use crate::domain::failure::Reason;
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::job::TrafficClass;
use crate::domain::recall::RecallKind;
use crate::domain::zone::{Band, Zone};
use crate::store::messages::Messages;
use crate::store::moves::{Moves, counted_tenants};
use crate::store::places::{StreamKey, Wanted};
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::webhook_feed::CampaignTold;
use crate::store::{Sql, StoreError};
use crate::with_writer;

const CANCEL_IN_OUTBOX: Sql = Sql::portable(
    "UPDATE outbox SET cancelled_at_ms = $3 \
     WHERE outbox_id = $1 AND tenant_id = $2 AND job IS NOT NULL AND cancelled_at_ms IS NULL",
);
const FIND: Sql = Sql::portable(
    "SELECT d.session_id, d.campaign_id, d.band, d.state, d.reason, s.zone, j.traffic_class, c.state AS campaign_state \
     FROM deliveries d JOIN jobs j ON j.job_id = d.job_id \
     LEFT JOIN lane_streams s ON s.session_id = d.session_id AND s.campaign_id = d.campaign_id AND s.band = d.band \
     LEFT JOIN campaigns c ON c.campaign_id = d.campaign_id \
     WHERE d.delivery_id = $1 AND d.tenant_id = $2",
);
/// One that was removed never runs again, as one that was cancelled; there is none for single messages.
macro_rules! state_of_campaign {
    ($lock:literal) => {
        concat!(
            "SELECT CASE WHEN deleted_at_ms IS NULL THEN state ELSE 'cancelled' END FROM campaigns \
             WHERE campaign_id = $1",
            $lock
        )
    };
}
const HOLD_CAMPAIGN: Sql = Sql::per_dialect(state_of_campaign!(" FOR NO KEY UPDATE"), state_of_campaign!(""));

const DOING_CANCEL: &str = "cancel a message";
const DOING_RETRY: &str = "put a message back in line";

/// What came of taking a message back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be sent; its campaign, for whoever waits for that to end.
    Done(CampaignId),
    /// Nothing was done: it is not there, or it is as it is found.
    Nothing,
}

/// What came of having a message tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is at the end of its line.
    Done(SessionId, CampaignId),
    /// It has not failed.
    NotFailed(DeliveryState),
    /// It failed for what will not change.
    Final,
    /// Its campaign does not allow it.
    Refused(Refused),
    /// It is not there.
    NotFound,
}

/// A delivery with what decides whether and where it goes again.
#[derive(FromRow)]
struct Failed {
    session_id: Uuid,
    campaign_id: Uuid,
    band: i32,
    state: String,
    reason: Option<String>,
    zone: Option<String>,
    traffic_class: String,
}

impl Failed {
    fn stream(&self) -> StreamKey {
        (SessionId(self.session_id), CampaignId(self.campaign_id), Band(self.band))
    }
}

impl Messages<'_> {
    /// Takes a message back that is not begun, wherever it is on its way: it gives back what it took of the plan.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn cancel(&self, tenant_id: TenantId, id: DeliveryId, now_ms: i64) -> Result<Cancelled, StoreError> {
        // The way that it goes, so that one that moves meanwhile is met.
        if self.cancel_scheduled(tenant_id, id, now_ms).await? || self.cancel_in_outbox(tenant_id, id, now_ms).await? {
            return Ok(Cancelled::Done(CampaignId::DIRECT));
        }
        let mut tries = Tries::default();
        loop {
            let result = self.cancel_admitted(tenant_id, id, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn cancel_in_outbox(&self, tenant_id: TenantId, id: DeliveryId, now_ms: i64) -> Result<bool, StoreError> {
        let sql = CANCEL_IN_OUTBOX.of(self.store.pool());
        let done = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(id.0).bind(tenant_id.0).bind(now_ms);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        done.map(|n| n != 0).map_err(StoreError::database(DOING_CANCEL))
    }

    async fn cancel_admitted(&self, tenant_id: TenantId, id: DeliveryId, now_ms: i64) -> Result<Cancelled, StoreError> {
        let mut tx = self.store.begin_write(DOING_CANCEL).await?;
        let mut rows = tx.lock_deliveries(vec![id.0], DOING_CANCEL).await?;
        rows.retain(|row| row.tenant_id == tenant_id);
        let Some(campaign_id) = rows.first().map(|row| row.campaign_id) else { return Ok(Cancelled::Nothing) };
        let budgets = tx.hold_usage(&counted_tenants(&rows), i64::MIN, DOING_CANCEL).await?;
        let mut moves = Moves::of(rows, HashSet::new()).spending(budgets);
        if moves.cancel_all(Some(now_ms)) == 0 {
            return Ok(Cancelled::Nothing);
        }
        self.write_one(tx, &moves, DOING_CANCEL).await?;
        Ok(Cancelled::Done(campaign_id))
    }

    /// Puts a failed message back in line, at the end, with as many attempts as a new one; its campaign runs again if it
    /// was completed.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat. [`StoreError::Corrupt`] when a row holds a word
    /// that is not known.
    pub async fn retry(&self, tenant_id: TenantId, id: DeliveryId, now_ms: i64) -> Result<Retried, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.retry_once(tenant_id, id, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn retry_once(&self, tenant_id: TenantId, id: DeliveryId, now_ms: i64) -> Result<Retried, StoreError> {
        let mut tx = self.store.begin_write(DOING_RETRY).await?;
        let Some(failed) = tx.find_failed(tenant_id, id).await.map_err(StoreError::database(DOING_RETRY))? else {
            return Ok(Retried::NotFound);
        };
        if let Some(why) = why_not(&failed, id)? {
            return Ok(why);
        }
        let key = failed.stream();
        if let Err(refused) = tx.reopen(tenant_id, key.1, now_ms).await? {
            return Ok(Retried::Refused(refused));
        }
        let corrupt = || StoreError::corrupt("jobs", "traffic_class", id);
        let wanted = Wanted {
            traffic_class: TrafficClass::parse(&failed.traffic_class).ok_or_else(corrupt)?,
            zone: failed.zone.as_deref().and_then(Zone::parse),
            n: 1,
        };
        // The place behind the last one is always free; what the time adds is for new streams.
        let given = tx.give_places(&BTreeMap::from([(key, wanted)]), 0, DOING_RETRY).await?;
        let rows = tx.lock_deliveries(vec![id.0], DOING_RETRY).await?;
        if !rows.iter().all(|row| (row.session_id, row.campaign_id, row.band) == key) {
            return Err(StoreError::Overtaken { doing: DOING_RETRY });
        }
        let budgets = tx.hold_usage(&counted_tenants(&rows), i64::MIN, DOING_RETRY).await?;
        let mut moves = Moves::of(rows, HashSet::new()).spending(budgets);
        let recalled = moves.recall_all(RecallKind::RetryFailed, now_ms);
        if recalled.is_empty() {
            // Somebody was faster; what it is now is found by looking again.
            return Err(StoreError::Overtaken { doing: DOING_RETRY });
        }
        tx.renew(&recalled).await.map_err(StoreError::database(DOING_RETRY))?;
        tx.move_to_places([(key, id)], &given, DOING_RETRY).await?;
        self.write_one(tx, &moves, DOING_RETRY).await?;
        Ok(Retried::Done(key.0, key.1))
    }

    /// Writes what became of one delivery, and ends the transaction.
    async fn write_one(&self, mut tx: Tx, moves: &Moves<'_>, doing: &'static str) -> Result<(), StoreError> {
        tx.write_moves(moves, self.store.recording(), doing).await?;
        tx.save_usage(moves.budgets(), doing).await?;
        tx.add_to_reasons(&moves.reason_deltas(), doing).await?;
        tx.add_to_counters(&moves.deltas(), &moves.day_deltas(), doing).await?;
        self.store.commit_moves(tx, doing).await
    }
}

/// Says why a delivery does not go again, if it does not.
fn why_not(failed: &Failed, id: DeliveryId) -> Result<Option<Retried>, StoreError> {
    let state = DeliveryState::parse(&failed.state).ok_or_else(|| StoreError::corrupt("deliveries", "state", id))?;
    if state != DeliveryState::Failed {
        return Ok(Some(Retried::NotFailed(state)));
    }
    let reason = failed.reason.as_deref().and_then(Reason::parse);
    Ok(reason.is_some_and(Reason::is_final_for_recipient).then_some(Retried::Final))
}

impl Tx {
    async fn find_failed(&mut self, tenant_id: TenantId, id: DeliveryId) -> Result<Option<Failed>, sqlx::Error> {
        let sql = FIND.postgres();
        with_tx!(self, |db| sqlx::query_as::<_, Failed>(sql).bind(id.0).bind(tenant_id.0).fetch_optional(db).await)
    }

    /// Lets a completed campaign run again and holds it; one that is not ours stays as it is, whatever that is.
    async fn reopen(
        &mut self,
        tenant_id: TenantId,
        campaign_id: CampaignId,
        at_ms: i64,
    ) -> Result<Result<(), Refused>, StoreError> {
        let hold = match self {
            Self::Postgres(_) => HOLD_CAMPAIGN.postgres(),
            Self::Sqlite(_) => HOLD_CAMPAIGN.sqlite(),
        };
        let word = with_tx!(&mut *self, |db| {
            sqlx::query_scalar::<_, String>(hold).bind(campaign_id.0).fetch_optional(db).await
        });
        let Some(word) = word.map_err(StoreError::database(DOING_RETRY))? else { return Ok(Ok(())) };
        let state =
            CampaignState::parse(&word).ok_or_else(|| StoreError::corrupt("campaigns", "state", campaign_id))?;
        let next = match state.apply(CampaignEvent::Reopened) {
            Ok(next) => next,
            Err(refused) => return Ok(Err(refused)),
        };
        if next != state {
            self.write_reopened(
                CampaignTold { tenant_id, campaign_id, from: state, to: next, reason: None, at_ms },
                DOING_RETRY,
            )
            .await?;
        }
        Ok(Ok(()))
    }
}
