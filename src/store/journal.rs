//! The group commit of dispatch: attempts, outcomes, receipts and counters of one batch.
//!
//! One transaction per batch, a handful of statements whatever its size. Decides nothing about
//! lanes or retries; a batch that is written twice changes nothing the second time.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use uuid::Uuid;

use crate::domain::attempt::Outcome;
use crate::domain::campaign::{Counters, PassOver};
use crate::domain::delivery::DeliveryEvent;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::partition::Fence;
use crate::domain::receipt::{Receipt, ReceiptKind};
use crate::domain::recipient::Recipient;
use crate::domain::zone::Band;
use crate::store::bind::{Hex, column, hex_list, to_json};
use crate::store::moves::{Begins, Moves, spenders};
use crate::store::places::StreamKey;
use crate::store::tx::{Tries, Tx};
use crate::store::{Sql, Store, StoreError};

/// An attempt that is about to be made; durable before its first byte leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// The delivery it tries.
    pub delivery_id: DeliveryId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The session that sends.
    pub session_id: SessionId,
    /// Which attempt at the delivery this is; the first is 1.
    pub attempt_no: u32,
    /// When it was begun, UTC milliseconds.
    pub started_at_ms: i64,
    /// By which version of the session's settings.
    pub settings_version: i64,
    /// Who is to get it.
    pub recipient: Recipient,
    /// Whether the recipient is to be passed over.
    pub pass_over: PassOver,
}

/// How an attempt came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was made.
    Outcome(Outcome),
    /// It was taken back before any byte left.
    Withdrawn,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The delivery it tried.
    pub delivery_id: DeliveryId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The session that sent.
    pub session_id: SessionId,
    /// Which attempt at the delivery this was.
    pub attempt_no: u32,
    /// How it ended.
    pub ended: Ended,
    /// When it ended, UTC milliseconds.
    pub ended_at_ms: i64,
    /// When a deferred or withdrawn delivery is due again, UTC milliseconds.
    pub due_at_ms: i64,
    /// Whether it counts against the attempts that the delivery may have; not so where it was not about the delivery.
    pub is_try: bool,
}

/// Settles a pending delivery without an attempt: expired, or it can not be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dismissal {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// [`DeliveryEvent::Skipped`] or [`DeliveryEvent::Rejected`].
    pub event: DeliveryEvent,
    /// Why.
    pub reason: Reason,
    /// The class of a rejection.
    pub class: Option<FailureClass>,
    /// When it was decided, UTC milliseconds.
    pub at_ms: i64,
}

/// The limiter state of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSave {
    /// The lane.
    pub session_id: SessionId,
    /// When it was like this, UTC microseconds, different for each save of a lane: the latest one holds.
    pub saved_at_us: i64,
    /// Theoretical arrival time, UTC microseconds.
    pub tat_us: i64,
    /// What it remembers besides, as JSON, if anything.
    pub memory: Option<String>,
}

/// How far a stream is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSave {
    /// The lane.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Every delivery below it is settled.
    pub done_below_seq: i64,
}

/// What one transaction writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalBatch {
    /// This very batch was handed in before and its commit was not confirmed: begins that hold
    /// already are its own. Otherwise such a begin is refused, because somebody else made it.
    pub repeated: bool,
    /// By what right entries of a session are written; those of a session that is not here, by any.
    pub fences: BTreeMap<SessionId, Fence>,
    /// Attempts about to be made.
    pub begins: Vec<Begin>,
    /// Attempts that ended.
    pub ends: Vec<End>,
    /// Deliveries settled without an attempt.
    pub dismissals: Vec<Dismissal>,
    /// What the provider reported.
    pub receipts: Vec<Receipt>,
    /// Limiter states.
    pub lanes: Vec<LaneSave>,
    /// Places in streams.
    pub streams: Vec<StreamSave>,
}

/// Why an attempt may not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginRefusal {
    /// The delivery is not pending any more, or another node owns its session.
    NotPending,
    /// Its campaign passes over the recipient: the delivery is skipped.
    PassedOver,
    /// The messages of the tenant's plan are used up, or kept for deliveries that came before.
    Plan {
        /// When the next period begins, UTC milliseconds.
        until_ms: i64,
    },
    /// The tenant's subscription is not active.
    Inactive,
    /// The account wrote to as many different recipients as the provider lets it.
    Tier {
        /// When it may write to another one, UTC milliseconds.
        until_ms: i64,
    },
}

/// What a written batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The begins that hold now.
    pub begun: Vec<DeliveryId>,
    /// The others, and why they do not.
    pub refused: Vec<(DeliveryId, BeginRefusal)>,
    /// The counters after the write, of every campaign whose deliveries moved.
    pub counters: Vec<(CampaignId, Counters)>,
    /// Receipts that moved their delivery.
    pub n_receipts_applied: usize,
    /// Fences that were stale: nothing that named them was written, but for what is known to be sent.
    pub stale: Vec<Fence>,
}

const SAVE_LANES: Sql = Sql::per_dialect(
    "INSERT INTO lanes AS l (session_id, saved_at_us, tat_us, memory) \
     SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::int8[], $4::text[]) \
     ON CONFLICT (session_id) DO UPDATE SET saved_at_us = EXCLUDED.saved_at_us, tat_us = EXCLUDED.tat_us, \
         memory = EXCLUDED.memory WHERE l.saved_at_us <= EXCLUDED.saved_at_us",
    "INSERT INTO lanes AS l (session_id, saved_at_us, tat_us, memory) \
     SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true \
     ON CONFLICT (session_id) DO UPDATE SET saved_at_us = EXCLUDED.saved_at_us, tat_us = EXCLUDED.tat_us, \
         memory = EXCLUDED.memory WHERE l.saved_at_us <= EXCLUDED.saved_at_us",
);

/// PostgreSQL only: SQLite has one writer.
const LOCK_LANES: &str = "SELECT 1 FROM lanes WHERE session_id = ANY($1) ORDER BY session_id FOR NO KEY UPDATE";

/// Says that a message of each lane has left by now.
const NOTE_LEFT: Sql = Sql::per_dialect(
    "INSERT INTO lanes (session_id, tat_us, left_by_us) \
     SELECT session_id, 0, (extract(epoch FROM clock_timestamp()) * 1000000)::int8 \
     FROM UNNEST($1::uuid[]) AS u (session_id) \
     ON CONFLICT (session_id) DO UPDATE SET left_by_us = EXCLUDED.left_by_us",
    "INSERT INTO lanes (session_id, tat_us, left_by_us) \
     SELECT unhex(value), 0, CAST(unixepoch('subsec') * 1000000 AS INTEGER) FROM json_each($1) WHERE true \
     ON CONFLICT (session_id) DO UPDATE SET left_by_us = EXCLUDED.left_by_us",
);

/// Never goes back. Passes over streams that an admission holds: waiting would hold up every lane,
/// and could be in a circle (see [`crate::store::admissions`]). What is passed over is saved with the
/// next news of the stream; until then a restart reads a few rows more.
const SAVE_STREAMS: Sql = Sql::per_dialect(
    "UPDATE lane_streams AS s SET done_below_seq = u.done_below_seq \
     FROM (SELECT h.session_id, h.campaign_id, h.band, w.done_below_seq \
           FROM UNNEST($1::uuid[], $2::uuid[], $3::int4[], $4::int8[]) AS w (session_id, campaign_id, band, done_below_seq) \
           JOIN lane_streams h ON h.session_id = w.session_id AND h.campaign_id = w.campaign_id AND h.band = w.band \
               AND h.done_below_seq < w.done_below_seq \
           FOR NO KEY UPDATE OF h SKIP LOCKED) AS u \
     WHERE s.session_id = u.session_id AND s.campaign_id = u.campaign_id AND s.band = u.band \
         AND s.done_below_seq < u.done_below_seq",
    "UPDATE lane_streams AS s SET done_below_seq = u.done_below_seq \
     FROM (SELECT unhex(value ->> 0) AS session_id, unhex(value ->> 1) AS campaign_id, value ->> 2 AS band, \
                  value ->> 3 AS done_below_seq FROM json_each($1)) AS u \
     WHERE s.session_id = u.session_id AND s.campaign_id = u.campaign_id AND s.band = u.band \
         AND s.done_below_seq < u.done_below_seq",
);

const DOING: &str = "write the journal";

impl JournalBatch {
    fn delivery_ids(&self) -> Vec<Uuid> {
        let begins = self.begins.iter().map(|begin| begin.delivery_id.0);
        let ends = self.ends.iter().map(|end| end.delivery_id.0);
        let dismissals = self.dismissals.iter().map(|dismissal| dismissal.delivery_id.0);
        let receipts = self.receipts.iter().map(|receipt| receipt.delivery_id.0);
        begins.chain(ends).chain(dismissals).chain(receipts).collect()
    }

    fn distinct_fences(&self) -> Vec<Fence> {
        self.fences.values().copied().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns the sessions whose entries name a stale fence.
    fn without_right(&self, stale: &[Fence]) -> HashSet<SessionId> {
        let is_stale = |(_, fence): &(&SessionId, &Fence)| stale.contains(fence);
        self.fences.iter().filter(is_stale).map(|(session_id, _)| *session_id).collect()
    }

    /// Returns the campaigns of which a delivery may become pending again.
    fn campaigns_put_back(&self) -> Vec<Uuid> {
        let back = |end: &&End| matches!(end.ended, Ended::Withdrawn | Ended::Outcome(Outcome::Deferred(_)));
        self.ends.iter().filter(back).map(|end| end.campaign_id.0).collect()
    }
}

impl Store {
    /// Writes a batch, all or nothing; safe to repeat when it is not known whether it was written.
    ///
    /// A delivery that would be put back in line after its campaign was cancelled is cancelled instead.
    /// Entries behind a stale fence are refused: another node owns their sessions. An acceptance
    /// among them is still the provider's word and is taken as a receipt.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written or the commit was not confirmed,
    /// [`StoreError::Corrupt`] when a row holds a word that is not known.
    pub async fn write_journal(&self, batch: &JournalBatch) -> Result<Written, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.write_journal_once(batch).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn write_journal_once(&self, batch: &JournalBatch) -> Result<Written, StoreError> {
        let mut tx = self.begin_write(DOING).await?;
        let stale = tx.stale_fences(&batch.distinct_fences(), DOING).await?;
        let refused = batch.without_right(&stale);
        let cancelled = tx.hold_cancelled(batch.campaigns_put_back(), DOING).await?;
        let rows = tx.lock_deliveries(batch.delivery_ids(), DOING).await?;
        let late: Vec<Receipt> = batch.ends.iter().filter_map(|end| late_receipt(end, &refused)).collect();
        let welcome = |session_id: &SessionId| !refused.contains(session_id);
        let lanes: Vec<_> = batch.lanes.iter().filter(|lane| welcome(&lane.session_id)).cloned().collect();
        let streams: Vec<_> = batch.streams.iter().filter(|stream| welcome(&stream.session_id)).copied().collect();
        let now_ms = batch.begins.iter().map(|begin| begin.started_at_ms).max().unwrap_or(i64::MIN);
        let begins_of: BTreeSet<SessionId> = batch.begins.iter().map(|begin| begin.session_id).collect();
        let of = (&spenders(&rows, batch), &begins_of);
        let (budgets, tiers) = tx.hold_usage_with_tiers(of, now_ms, DOING).await?;
        let tiers = tx.hold_tiers(&batch.begins, tiers, DOING).await?;
        let repeats = tx.hold_repeats(&batch.begins, &rows, DOING).await?;
        let mut moves = Moves::of(rows, cancelled).refusing(refused).spending(budgets).counting(tiers);
        moves.pass_over(repeats);
        moves.receive(&late);
        let Begins { begun, refused } = moves.apply_batch(batch);
        tx.write_moves(&moves, self.recording(), DOING).await?;
        tx.save_usage(moves.budgets(), DOING).await?;
        tx.save_tiers(moves.tiers(), DOING).await?;
        tx.lock_lanes(&moves.answered_early(), &lanes).await.map_err(StoreError::database(DOING))?;
        tx.note_left(moves.answered_early()).await.map_err(StoreError::database(DOING))?;
        tx.save_lanes(&lanes).await.map_err(StoreError::database(DOING))?;
        tx.cap_marketing(batch).await.map_err(StoreError::database(DOING))?;
        tx.save_streams(&streams).await.map_err(StoreError::database(DOING))?;
        tx.add_to_reasons(&moves.reason_deltas(), DOING).await?;
        let counters = tx.add_to_counters(&moves.deltas(), &moves.day_deltas(), DOING).await?;
        self.commit_moves(tx, DOING).await?;
        Ok(Written { begun, refused, counters, n_receipts_applied: moves.n_receipts_applied(), stale })
    }
}

/// What a node that lost its right still knows: that the provider took a message.
fn late_receipt(end: &End, refused: &HashSet<SessionId>) -> Option<Receipt> {
    let Ended::Outcome(Outcome::Accepted { provider_message_id }) = &end.ended else { return None };
    refused.contains(&end.session_id).then(|| Receipt {
        delivery_id: end.delivery_id,
        kind: ReceiptKind::Sent,
        at_ms: end.ended_at_ms,
        provider_message_id: Some(provider_message_id.clone()),
        failure: None,
    })
}

impl Tx {
    /// Locks the rows of lanes that two statements are about to write, in one order: journals of two nodes may have each
    /// other's lanes in them.
    async fn lock_lanes(&mut self, early: &BTreeSet<SessionId>, saves: &[LaneSave]) -> Result<(), sqlx::Error> {
        if early.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => {
                let all: BTreeSet<Uuid> =
                    early.iter().copied().chain(saves.iter().map(|save| save.session_id)).map(|id| id.0).collect();
                let ids: Vec<Uuid> = all.into_iter().collect();
                sqlx::query(LOCK_LANES).bind(ids).execute(&mut **tx).await.map(drop)
            }
            Self::Sqlite(_) => Ok(()),
        }
    }

    async fn note_left(&mut self, sessions: BTreeSet<SessionId>) -> Result<(), sqlx::Error> {
        let ids: Vec<Uuid> = sessions.into_iter().map(|session_id| session_id.0).collect();
        if ids.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(NOTE_LEFT.postgres()).bind(ids).execute(&mut **tx).await.map(drop),
            Self::Sqlite(tx) => sqlx::query(NOTE_LEFT.sqlite()).bind(hex_list(&ids)).execute(&mut **tx).await.map(drop),
        }
    }

    async fn save_lanes(&mut self, lanes: &[LaneSave]) -> Result<(), sqlx::Error> {
        // The latest one of a lane is the one that holds, and a statement may name a row only once.
        let mut rows: Vec<&LaneSave> = lanes.iter().collect();
        rows.sort_by_key(|lane| (lane.session_id, std::cmp::Reverse(lane.saved_at_us)));
        rows.dedup_by_key(|lane| lane.session_id);
        if rows.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(SAVE_LANES.postgres())
                .bind(column(&rows, |lane| lane.session_id.0))
                .bind(column(&rows, |lane| lane.saved_at_us))
                .bind(column(&rows, |lane| lane.tat_us))
                .bind(column(&rows, |lane| lane.memory.as_deref()))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |lane| (Hex(lane.session_id.0), lane.saved_at_us, lane.tat_us, &lane.memory));
                sqlx::query(SAVE_LANES.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }

    async fn save_streams(&mut self, streams: &[StreamSave]) -> Result<(), sqlx::Error> {
        let key = |stream: &StreamSave| (stream.session_id, stream.campaign_id, stream.band);
        let last: BTreeMap<StreamKey, i64> =
            streams.iter().map(|stream| (key(stream), stream.done_below_seq)).collect();
        let rows: Vec<(StreamKey, i64)> = last.into_iter().collect();
        if rows.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(SAVE_STREAMS.postgres())
                .bind(column(&rows, |(key, _)| key.0.0))
                .bind(column(&rows, |(key, _)| key.1.0))
                .bind(column(&rows, |(key, _)| key.2.0))
                .bind(column(&rows, |(_, seq)| *seq))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |(key, seq)| (Hex(key.0.0), Hex(key.1.0), key.2.0, *seq));
                sqlx::query(SAVE_STREAMS.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
