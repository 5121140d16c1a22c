//! Moves that nobody's attempt makes: after a crash, on cancel, at the end of a campaign.
//!
//! Steps of bounded size that are safe to repeat; when to take them is decided elsewhere.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use crate::domain::attempt::Outcome;
use crate::domain::campaign::{CampaignEvent, CampaignState, Counters, OnUnknown};
use crate::domain::delivery::DeliveryState;
use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};
use crate::domain::id::{CampaignId, DeliveryId, SessionId, TenantId};
use crate::domain::partition::Fence;
use crate::limits::JOURNAL_BATCH_MAX;
use crate::store::bind::{column, hex_list, to_u32};
use crate::store::heads::HeadRequest;
use crate::store::journal::{End, Ended, JournalBatch};
use crate::store::moves::{Moves, counted_tenants};
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::webhook_feed::CampaignTold;
use crate::store::{Sql, Store, StoreError};

/// Attempts under way in some lanes, looked for where their streams have work. The counters tell first, at
/// no cost, of which campaigns there can be any.
const IN_FLIGHT: Sql = Sql::per_dialect(
    "SELECT d.delivery_id, d.session_id, d.campaign_id, d.n_attempts FROM UNNEST($1::uuid[]) AS w (session_id) \
     JOIN lane_streams s ON s.session_id = w.session_id \
     JOIN campaign_counters c ON c.campaign_id = s.campaign_id AND 0 < c.sending \
     JOIN deliveries d ON d.session_id = s.session_id AND d.campaign_id = s.campaign_id AND d.band = s.band \
         AND s.done_below_seq <= d.seq AND d.state = 'sending'",
    "SELECT d.delivery_id, d.session_id, d.campaign_id, d.n_attempts FROM json_each($1) AS w \
     JOIN lane_streams s ON s.session_id = unhex(w.value) \
     JOIN campaign_counters c ON c.campaign_id = s.campaign_id AND 0 < c.sending \
     JOIN deliveries d ON d.session_id = s.session_id AND d.campaign_id = s.campaign_id AND d.band = s.band \
         AND s.done_below_seq <= d.seq AND d.state = 'sending'",
);

const WINDOW: Sql = Sql::portable(
    "SELECT delivery_id, seq, state = 'pending' FROM deliveries \
     WHERE session_id = $1 AND campaign_id = $2 AND band = $3 AND $4 < seq ORDER BY seq LIMIT $5",
);

const CANCELLED_AT: Sql = Sql::portable("SELECT finished_at_ms FROM campaigns WHERE campaign_id = $1");

const HOLD_CAMPAIGN: Sql = Sql::per_dialect(
    "SELECT state, on_unknown, n_recipients, tenant_id FROM campaigns WHERE campaign_id = $1 FOR NO KEY UPDATE",
    "SELECT state, on_unknown, n_recipients, tenant_id FROM campaigns WHERE campaign_id = $1",
);

/// Rows that will still bring deliveries: those of the outbox, and what a person asked for.
const HAS_MORE: Sql = Sql::portable(
    "SELECT (SELECT COUNT(*) FROM outbox WHERE campaign_id = $1) + (SELECT COUNT(*) FROM recalls WHERE campaign_id = $1)",
);

const FINISH: Sql =
    Sql::portable("UPDATE campaigns SET state = $3, finished_at_ms = $4 WHERE campaign_id = $1 AND state = $2");

/// With those that were removed because they are old.
const STATES: Sql = Sql::portable(
    "SELECT campaign_id, state, failure_class, COUNT(*) FROM deliveries GROUP BY campaign_id, state, failure_class \
     UNION ALL SELECT campaign_id, state, failure_class, n FROM removed_deliveries",
);

const DOING_IN_FLIGHT: &str = "find attempts under way";
const DOING_CANCEL: &str = "cancel pending deliveries";
const DOING_FINISH: &str = "complete a campaign";
const DOING_RECOUNT: &str = "count deliveries";

/// An attempt that was begun and has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// The delivery it tries.
    pub delivery_id: DeliveryId,
    /// The session that sends.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Which attempt at the delivery this is.
    pub attempt_no: u32,
}

impl Store {
    /// Returns the attempts under way in the lanes of these sessions.
    ///
    /// Of a lane that this node has just claimed, they are what its last owner left behind.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn attempts_in_flight(&self, sessions: &[SessionId]) -> Result<Vec<InFlight>, StoreError> {
        type Row = (Uuid, Uuid, Uuid, i32);
        let ids = column(sessions, |session_id| session_id.0);
        let mut tx = self.begin_read(DOING_IN_FLIGHT).await?;
        let rows: Result<Vec<Row>, sqlx::Error> = match &mut tx {
            Tx::Postgres(tx) => sqlx::query_as(IN_FLIGHT.postgres()).bind(ids).fetch_all(&mut **tx).await,
            Tx::Sqlite(tx) => sqlx::query_as(IN_FLIGHT.sqlite()).bind(hex_list(&ids)).fetch_all(&mut **tx).await,
        };
        let rows = rows.map_err(StoreError::database(DOING_IN_FLIGHT))?;
        tx.commit(DOING_IN_FLIGHT).await?;
        let in_flight = |(delivery_id, session_id, campaign_id, n_attempts): Row| InFlight {
            delivery_id: DeliveryId(delivery_id),
            session_id: SessionId(session_id),
            campaign_id: CampaignId(campaign_id),
            attempt_no: to_u32(n_attempts),
        };
        Ok(rows.into_iter().map(in_flight).collect())
    }

    /// Declares attempts unknown whose owner is gone, under the fences of the new one.
    ///
    /// # Errors
    /// [`StoreError::Database`] when a step failed; safe to repeat.
    pub async fn orphan(
        &self,
        attempts: &[InFlight],
        fences: &BTreeMap<SessionId, Fence>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        for chunk in attempts.chunks(JOURNAL_BATCH_MAX) {
            let ends = chunk.iter().map(|attempt| lost_track(attempt, now_ms)).collect();
            let fences =
                chunk.iter().filter_map(|attempt| Some((attempt.session_id, *fences.get(&attempt.session_id)?)));
            let fences = fences.collect();
            self.write_journal(&JournalBatch { ends, fences, ..JournalBatch::default() }).await?;
        }
        Ok(())
    }

    /// Cancels pending deliveries of one stream behind a place, looking at most at its `limit` of rows.
    ///
    /// Returns how many were cancelled, and the place to go on from unless the stream has ended.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn cancel_pending(&self, request: HeadRequest) -> Result<(usize, Option<i64>), StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.cancel_pending_once(&request).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn cancel_pending_once(&self, request: &HeadRequest) -> Result<(usize, Option<i64>), StoreError> {
        let mut tx = self.begin_write(DOING_CANCEL).await?;
        let (window, cancelled_at_ms) = tx.window(self, request).await.map_err(StoreError::database(DOING_CANCEL))?;
        let is_full = usize::try_from(request.limit).is_ok_and(|limit| limit <= window.len());
        let next = window.last().map(|row| row.1).filter(|_| is_full);
        let pending = window.iter().filter(|row| row.2).map(|row| row.0).collect();
        let rows = tx.lock_deliveries(pending, DOING_CANCEL).await?;
        let budgets = tx.hold_usage(&counted_tenants(&rows), i64::MIN, DOING_CANCEL).await?;
        let mut moves = Moves::of(rows, HashSet::new()).spending(budgets);
        let n_cancelled = moves.cancel_all(cancelled_at_ms);
        tx.write_moves(&moves, self.recording(), DOING_CANCEL).await?;
        tx.save_usage(moves.budgets(), DOING_CANCEL).await?;
        tx.add_to_reasons(&moves.reason_deltas(), DOING_CANCEL).await?;
        tx.add_to_counters(&moves.deltas(), &moves.day_deltas(), DOING_CANCEL).await?;
        self.commit_moves(tx, DOING_CANCEL).await?;
        Ok((n_cancelled, next))
    }

    /// Completes a running or paused campaign whose outbox is empty, whose recipients are all
    /// accepted and whose deliveries are all settled.
    ///
    /// Returns whether it was completed by this call.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat. [`StoreError::Corrupt`]
    /// when the campaign can not be read.
    pub async fn finish_if_settled(&self, campaign_id: CampaignId, now_ms: i64) -> Result<bool, StoreError> {
        let mut tx = self.begin_write(DOING_FINISH).await?;
        let sql = HOLD_CAMPAIGN.of(self.pool());
        let row = with_tx!(&mut tx, |db| {
            sqlx::query_as::<_, (String, String, i64, Uuid)>(sql).bind(campaign_id.0).fetch_optional(db).await
        })
        .map_err(StoreError::database(DOING_FINISH))?;
        let Some((state, on_unknown, n_recipients, tenant_id)) = row else {
            return Ok(false);
        };
        let corrupt = |column| StoreError::corrupt("campaigns", column, campaign_id);
        let state = CampaignState::parse(&state).ok_or_else(|| corrupt("state"))?;
        let on_unknown = OnUnknown::parse(&on_unknown).ok_or_else(|| corrupt("on_unknown"))?;
        let next = state.apply(CampaignEvent::LastDeliverySettled).ok().filter(|next| *next != state);
        let Some(next) = next else { return Ok(false) };
        // Read behind the lock: nothing can be admitted or started any more until it is released.
        let counters = tx.counters_of(campaign_id, DOING_FINISH).await?.unwrap_or_default();
        let sql = HAS_MORE.of(self.pool());
        let n_more = with_tx!(&mut tx, |db| sqlx::query_scalar::<_, i64>(sql).bind(campaign_id.0).fetch_one(db).await)
            .map_err(StoreError::database(DOING_FINISH))?;
        // The outbox may be empty while jobs are still on their way through a broker.
        let all_accepted = n_recipients <= counters.accepted;
        if n_more != 0 || !all_accepted || !counters.all_settled(on_unknown) {
            return Ok(false);
        }
        let sql = FINISH.of(self.pool());
        with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(campaign_id.0).bind(state.as_str()).bind(next.as_str()).bind(now_ms);
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_FINISH))?;
        let (tenant_id, from, to) = (TenantId(tenant_id), state, next);
        let told = CampaignTold { tenant_id, campaign_id, from, to, reason: None, at_ms: now_ms };
        tx.tell_campaign(told, DOING_FINISH).await?;
        self.commit_moves(tx, DOING_FINISH).await?;
        Ok(true)
    }

    /// Returns every campaign's counters as stored and as counted from the rows, both as of one moment.
    ///
    /// Reads every delivery.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn recount(&self) -> Result<Vec<(CampaignId, Counters, Counters)>, StoreError> {
        let mut tx = self.begin_snapshot(DOING_RECOUNT).await?;
        let mut both: BTreeMap<CampaignId, (Counters, Counters)> = BTreeMap::new();
        for (campaign_id, stored) in tx.all_counters(DOING_RECOUNT).await? {
            both.entry(campaign_id).or_default().0 = stored;
        }
        let sql = STATES.of(self.pool());
        let counted = with_tx!(&mut tx, |db| {
            sqlx::query_as::<_, (Uuid, String, Option<String>, i64)>(sql).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_RECOUNT))?;
        tx.commit(DOING_RECOUNT).await?;
        for (campaign_id, state, class, n) in counted {
            let corrupt = || StoreError::corrupt("deliveries", "state", format_args!("campaign {campaign_id}"));
            let state = DeliveryState::parse(&state).ok_or_else(corrupt)?;
            let counted = &mut both.entry(CampaignId(campaign_id)).or_default().1;
            *counted.of_mut(state, class.as_deref().and_then(FailureClass::parse)) += n;
            counted.accepted += n;
        }
        Ok(both.into_iter().map(|(campaign_id, (stored, counted))| (campaign_id, stored, counted)).collect())
    }
}

/// Makes the end of an attempt whose process is gone.
fn lost_track(attempt: &InFlight, now_ms: i64) -> End {
    let failure = Failure {
        class: FailureClass::WhatsappUnavailable,
        reason: Reason::OutcomeUnknown,
        scope: Scope::Message,
        retry: Retry::AfterReconcile,
        handling: Handling::Reconcile,
        provider_code: None,
    };
    End {
        delivery_id: attempt.delivery_id,
        campaign_id: attempt.campaign_id,
        session_id: attempt.session_id,
        attempt_no: attempt.attempt_no,
        ended: Ended::Outcome(Outcome::Unknown(failure)),
        ended_at_ms: now_ms,
        due_at_ms: 0,
        is_try: true,
    }
}

/// Some rows of a stream, each with its place and whether it is pending, and when the stream's
/// campaign was cancelled.
type Window = (Vec<(Uuid, i64, bool)>, Option<i64>);

impl Tx {
    async fn window(&mut self, store: &Store, request: &HeadRequest) -> Result<Window, sqlx::Error> {
        let (window, cancelled_at) = (WINDOW.of(store.pool()), CANCELLED_AT.of(store.pool()));
        with_tx!(self, |db| {
            let query = sqlx::query_as::<_, (Uuid, i64, bool)>(window)
                .bind(request.session_id.0)
                .bind(request.campaign_id.0)
                .bind(request.band.0)
                .bind(request.after_seq)
                .bind(i64::from(request.limit));
            let rows = query.fetch_all(&mut *db).await?;
            let query = sqlx::query_scalar::<_, Option<i64>>(cancelled_at).bind(request.campaign_id.0);
            let cancelled_at_ms = query.fetch_optional(db).await?.flatten();
            Ok((rows, cancelled_at_ms))
        })
    }
}
