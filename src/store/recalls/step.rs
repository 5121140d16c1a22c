//! One step of a recall: a stretch of one stream looked at, and moved.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Progress, deed_of};
use crate::domain::id::{CampaignId, SessionId, TenantId, UserId};
use crate::domain::job::TrafficClass;
use crate::domain::recall::RecallKind;
use crate::domain::zone::{Band, Zone};
use crate::limits::{RECALL_LOOKS_MAX, RECALL_MOVES_MAX};
use crate::store::audit::{Actor, Deed};
use crate::store::bind::{column, hex_list};
use crate::store::moves::{Moves, Recalled, counted_tenants};
use crate::store::places::{Given, StreamKey, Wanted};
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::{Sql, Store, StoreError};

const HOLD: Sql = Sql::per_dialect(
    "SELECT r.kind, r.reasons, r.actor_id, r.request_id, r.n_moved, c.tenant_id FROM recalls r \
     JOIN campaigns c ON c.campaign_id = r.campaign_id WHERE r.campaign_id = $1 FOR UPDATE OF r",
    "SELECT r.kind, r.reasons, r.actor_id, r.request_id, r.n_moved, c.tenant_id FROM recalls r \
     JOIN campaigns c ON c.campaign_id = r.campaign_id WHERE r.campaign_id = $1",
);
const NEXT_STREAM: Sql = Sql::portable(
    "SELECT r.session_id, r.band, r.after_seq, r.last_seq, s.zone, s.traffic_class FROM recall_streams r \
     JOIN lane_streams s ON s.session_id = r.session_id AND s.campaign_id = r.campaign_id AND s.band = r.band \
     WHERE r.campaign_id = $1 ORDER BY r.session_id, r.band LIMIT 1",
);
/// Looks at so many places of a stream and returns those in a state, at most so many, with where the look ended.
const FIND: Sql = Sql::portable(
    "WITH w AS (SELECT delivery_id, seq, state, reason FROM deliveries \
                WHERE session_id = $1 AND campaign_id = $2 AND band = $3 AND $4 < seq AND seq <= $5 \
                ORDER BY seq LIMIT $7) \
     SELECT e.n_rows, e.last_seq, f.delivery_id, f.seq, f.reason \
     FROM (SELECT COUNT(*) AS n_rows, COALESCE(MAX(seq), $4) AS last_seq FROM w) AS e \
     LEFT JOIN w AS f ON f.state = $6 ORDER BY f.seq LIMIT $8",
);
const ADVANCE: Sql =
    Sql::portable("UPDATE recall_streams SET after_seq = $4 WHERE campaign_id = $1 AND session_id = $2 AND band = $3");
const END_STREAM: Sql =
    Sql::portable("DELETE FROM recall_streams WHERE campaign_id = $1 AND session_id = $2 AND band = $3");
const COUNT_MOVED: Sql = Sql::portable("UPDATE recalls SET n_moved = n_moved + $2 WHERE campaign_id = $1");
const END: Sql = Sql::portable("DELETE FROM recalls WHERE campaign_id = $1");
const END_STREAMS: Sql = Sql::portable("DELETE FROM recall_streams WHERE campaign_id = $1");

/// Renews what is allowed, and takes note of the message of a failed attempt: what is still told of it says nothing about
/// the next one. Of an unknown attempt everything still counts. Messages of the latest attempts are kept, parted by blanks:
/// 2,000 characters are about 30; one that is cut off is nobody's.
const RENEW: Sql = Sql::per_dialect(
    "UPDATE deliveries SET n_attempts_before = n_attempts, ignored_message_id = \
         CASE WHEN state = 'failed' AND provider_message_id IS NOT NULL \
             THEN RIGHT(COALESCE(ignored_message_id || ' ', '') || provider_message_id, 2000) \
             ELSE ignored_message_id END \
     WHERE delivery_id = ANY($1)",
    "UPDATE deliveries SET n_attempts_before = n_attempts, ignored_message_id = \
         CASE WHEN state = 'failed' AND provider_message_id IS NOT NULL \
             THEN SUBSTR(COALESCE(ignored_message_id || ' ', '') || provider_message_id, -2000) \
             ELSE ignored_message_id END \
     WHERE delivery_id IN (SELECT unhex(value) FROM json_each($1))",
);

const DOING_STEP: &str = "move deliveries that a person asked for";
#[derive(FromRow)]
struct StoredRecall {
    kind: String,
    reasons: Option<String>,
    actor_id: Uuid,
    request_id: Option<String>,
    n_moved: i64,
    tenant_id: Uuid,
}

#[derive(FromRow)]
struct StoredStream {
    session_id: Uuid,
    band: i32,
    after_seq: i64,
    last_seq: i64,
    zone: Option<String>,
    traffic_class: String,
}

#[derive(FromRow)]
struct Found {
    n_rows: i64,
    last_seq: i64,
    delivery_id: Option<Uuid>,
    seq: Option<i64>,
    reason: Option<String>,
}

/// A recall that is being done.
struct Recall {
    campaign_id: CampaignId,
    tenant_id: TenantId,
    kind: RecallKind,
    /// Words; none when the reason does not matter.
    reasons: Option<Vec<String>>,
    actor: Actor,
    n_moved: i64,
}

impl Recall {
    fn of(campaign_id: CampaignId, row: StoredRecall) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("recalls", column, campaign_id);
        let reasons = row.reasons.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            campaign_id,
            tenant_id: TenantId(row.tenant_id),
            kind: RecallKind::parse(&row.kind).ok_or_else(|| corrupt("kind"))?,
            reasons: reasons.map_err(|_| corrupt("reasons"))?,
            actor: Actor { request_id: row.request_id, ..Actor::user(UserId(row.actor_id)) },
            n_moved: row.n_moved,
        })
    }

    fn wants(&self, found: &Found) -> bool {
        let Some(reasons) = &self.reasons else { return true };
        found.reason.as_ref().is_some_and(|reason| reasons.contains(reason))
    }

    fn deed(&self, what: &str, details: serde_json::Value) -> Deed {
        deed_of(self.kind, what, self.campaign_id, (self.tenant_id, details))
    }
}

/// What a look at a stretch of a stream found.
struct Look {
    ids: Vec<Uuid>,
    /// Where to go on; none at the end of the stream.
    next: Option<i64>,
}

impl Look {
    fn of(recall: &Recall, found: &[Found]) -> Self {
        let ids = found.iter().filter(|row| recall.wants(row)).filter_map(|row| row.delivery_id).collect();
        let is_full = found.len() == RECALL_MOVES_MAX as usize;
        let next = match found.last() {
            // More may stand in the same stretch.
            Some(Found { seq: Some(seq), .. }) if is_full => Some(*seq),
            Some(last) if last.n_rows == i64::from(RECALL_LOOKS_MAX) => Some(last.last_seq),
            _ => None,
        };
        Self { ids, next }
    }
}

impl Store {
    /// Takes the next step of what was asked of a campaign: looks at a stretch of one stream, and moves what it finds
    /// there. `None` when nothing is asked, or somebody else has just done the last of it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn step_recall(&self, campaign_id: CampaignId, now_ms: i64) -> Result<Option<Progress>, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.step_recall_once(campaign_id, now_ms).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn step_recall_once(&self, campaign_id: CampaignId, now_ms: i64) -> Result<Option<Progress>, StoreError> {
        let mut tx = self.begin_write(DOING_STEP).await?;
        let Some((recall, stream)) = tx.hold_recall(self, campaign_id).await? else { return Ok(None) };
        let cancelled = tx.hold_cancelled(vec![campaign_id.0], DOING_STEP).await?;
        let is_over = recall.kind.puts_back() && cancelled.contains(&campaign_id);
        let Some(stream) = stream.filter(|_| !is_over) else {
            let deed = recall.deed("done", json!({ "moved": recall.n_moved }));
            tx.end_recall(campaign_id).await.map_err(StoreError::database(DOING_STEP))?;
            tx.write_deed(&recall.actor, &deed, now_ms, DOING_STEP).await?;
            tx.commit(DOING_STEP).await?;
            return Ok(Some(Progress { n_moved: recall.n_moved, is_done: true }));
        };
        let look = tx.look(&recall, &stream).await.map_err(StoreError::database(DOING_STEP))?;
        let key: StreamKey = (SessionId(stream.session_id), campaign_id, Band(stream.band));
        let given = tx.places_for(&recall, &stream, (key, look.ids.len())).await?;
        let rows = tx.lock_deliveries(look.ids, DOING_STEP).await?;
        let budgets = tx.hold_usage(&counted_tenants(&rows), i64::MIN, DOING_STEP).await?;
        let mut moves = Moves::of(rows, cancelled).spending(budgets);
        let mut recalled = moves.recall_all(recall.kind, now_ms);
        if recall.kind.puts_back() {
            recalled.sort_unstable();
            tx.renew(&recalled).await.map_err(StoreError::database(DOING_STEP))?;
            let in_order = recalled.iter().map(|(stream, _, delivery_id)| (*stream, *delivery_id));
            tx.move_to_places(in_order, &given, DOING_STEP).await?;
        }
        tx.write_moves(&moves, self.recording(), DOING_STEP).await?;
        let n_moved = i64::try_from(recalled.len()).unwrap_or(i64::MAX);
        tx.note_step(key, look.next, n_moved).await.map_err(StoreError::database(DOING_STEP))?;
        tx.save_usage(moves.budgets(), DOING_STEP).await?;
        tx.add_to_reasons(&moves.reason_deltas(), DOING_STEP).await?;
        tx.add_to_counters(&moves.deltas(), &moves.day_deltas(), DOING_STEP).await?;
        self.commit_moves(tx, DOING_STEP).await?;
        Ok(Some(Progress { n_moved: recall.n_moved + n_moved, is_done: false }))
    }
}

impl Tx {
    /// Holds what is asked of a campaign, and returns it with the stream to look at next.
    async fn hold_recall(
        &mut self,
        store: &Store,
        campaign_id: CampaignId,
    ) -> Result<Option<(Recall, Option<StoredStream>)>, StoreError> {
        let (hold, next) = (HOLD.of(store.pool()), NEXT_STREAM.of(store.pool()));
        let read: Result<_, sqlx::Error> = with_tx!(self, |db| async {
            let query = sqlx::query_as::<_, StoredRecall>(hold).bind(campaign_id.0);
            let Some(recall) = query.fetch_optional(&mut *db).await? else { return Ok(None) };
            let query = sqlx::query_as::<_, StoredStream>(next).bind(campaign_id.0);
            Ok(Some((recall, query.fetch_optional(db).await?)))
        }
        .await);
        let Some((row, stream)) = read.map_err(StoreError::database(DOING_STEP))? else { return Ok(None) };
        Ok(Some((Recall::of(campaign_id, row)?, stream)))
    }

    async fn look(&mut self, recall: &Recall, stream: &StoredStream) -> Result<Look, sqlx::Error> {
        let sql = FIND.postgres();
        let found = with_tx!(self, |db| {
            let query = sqlx::query_as::<_, Found>(sql)
                .bind(stream.session_id)
                .bind(recall.campaign_id.0)
                .bind(stream.band)
                .bind(stream.after_seq)
                .bind(stream.last_seq)
                .bind(recall.kind.from_state().as_str())
                .bind(i64::from(RECALL_LOOKS_MAX))
                .bind(i64::from(RECALL_MOVES_MAX));
            query.fetch_all(db).await
        })?;
        Ok(Look::of(recall, &found))
    }

    async fn places_for(
        &mut self,
        recall: &Recall,
        stream: &StoredStream,
        (key, n): (StreamKey, usize),
    ) -> Result<HashMap<StreamKey, Given>, StoreError> {
        if !recall.kind.puts_back() || n == 0 {
            return Ok(HashMap::new());
        }
        let corrupt = || StoreError::corrupt("lane_streams", "traffic_class", stream.session_id);
        let wanted = Wanted {
            traffic_class: TrafficClass::parse(&stream.traffic_class).ok_or_else(corrupt)?,
            zone: stream.zone.as_deref().and_then(Zone::parse),
            n: i64::try_from(n).unwrap_or(i64::MAX),
        };
        // The place behind the last one is always free; what the time adds is for new streams.
        self.give_places(&BTreeMap::from([(key, wanted)]), 0, DOING_STEP).await
    }

    /// Lets deliveries begin anew; to be called while they are still as they were.
    pub(in crate::store) async fn renew(&mut self, recalled: &[Recalled]) -> Result<(), sqlx::Error> {
        let ids = column(recalled, |row| row.2.0);
        match self {
            Self::Postgres(tx) => sqlx::query(RENEW.postgres()).bind(ids).execute(&mut **tx).await.map(drop),
            Self::Sqlite(tx) => sqlx::query(RENEW.sqlite()).bind(hex_list(&ids)).execute(&mut **tx).await.map(drop),
        }
    }

    /// Notes how far a stream was looked at, and how many deliveries were moved.
    async fn note_step(&mut self, key: StreamKey, next: Option<i64>, n_moved: i64) -> Result<(), sqlx::Error> {
        let (advance, end, count) = (ADVANCE.postgres(), END_STREAM.postgres(), COUNT_MOVED.postgres());
        let (session_id, campaign_id, band) = (key.0.0, key.1.0, key.2.0);
        with_tx!(self, |db| async {
            let query = sqlx::query(if next.is_some() { advance } else { end });
            let query = query.bind(campaign_id).bind(session_id).bind(band);
            let query = if let Some(seq) = next { query.bind(seq) } else { query };
            query.execute(&mut *db).await?;
            sqlx::query(count).bind(campaign_id).bind(n_moved).execute(db).await.map(drop)
        }
        .await)
    }

    async fn end_recall(&mut self, campaign_id: CampaignId) -> Result<(), sqlx::Error> {
        let (streams, recall) = (END_STREAMS.postgres(), END.postgres());
        with_tx!(self, |db| async {
            sqlx::query(streams).bind(campaign_id.0).execute(&mut *db).await?;
            sqlx::query(recall).bind(campaign_id.0).execute(db).await.map(drop)
        }
        .await)
    }
}
