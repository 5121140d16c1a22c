//! Unknown deliveries go back in line where the job's policy is to resend.
//!
//! A step of bounded size that is safe to repeat; when to take it is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::domain::id::{CampaignId, SessionId};
use crate::domain::job::TrafficClass;
use crate::domain::zone::{Band, Zone};
use crate::store::bind::column;
use crate::store::lanes::StreamRow;
use crate::store::moves::{Moves, counted_tenants};
use crate::store::places::{StreamKey, Wanted};
use crate::store::tx::{Tries, with_tx};
use crate::store::{Sql, Store, StoreError};

const DUE_RESENDS: Sql = Sql::portable(
    "SELECT r.delivery_id, d.session_id, d.campaign_id, d.band, s.zone, j.traffic_class \
     FROM resends r JOIN deliveries d ON d.delivery_id = r.delivery_id JOIN jobs j ON j.job_id = d.job_id \
     LEFT JOIN lane_streams s \
         ON s.session_id = d.session_id AND s.campaign_id = d.campaign_id AND s.band = d.band \
     WHERE r.unknown_at_ms < $1 ORDER BY r.unknown_at_ms, r.delivery_id LIMIT $2",
);

const DOING_REQUEUE: &str = "put unknown deliveries back in line";

/// An unknown delivery whose time has come.
#[derive(sqlx::FromRow)]
struct DueResend {
    delivery_id: Uuid,
    session_id: Uuid,
    campaign_id: Uuid,
    band: i32,
    zone: Option<String>,
    traffic_class: String,
}

impl DueResend {
    /// Returns its stream; where that stands is known later.
    fn stream(&self) -> Result<StreamRow, StoreError> {
        let corrupt = || StoreError::corrupt("jobs", "traffic_class", self.delivery_id);
        Ok(StreamRow {
            session_id: SessionId(self.session_id),
            campaign_id: CampaignId(self.campaign_id),
            band: Band(self.band),
            zone: self.zone.as_deref().and_then(Zone::parse),
            traffic_class: TrafficClass::parse(&self.traffic_class).ok_or_else(corrupt)?,
            done_below_seq: 0,
        })
    }
}

impl Store {
    /// Puts unknown deliveries back in line where the job's policy is to resend, at most `limit`.
    ///
    /// Only those that became unknown before `settled_before_ms`; those of cancelled campaigns stay
    /// unknown. They go to the end of their streams, because lanes have read on. Returns the streams
    /// concerned.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat. [`StoreError::Corrupt`]
    /// when a row holds a word that is not known.
    pub async fn requeue_unknown(&self, settled_before_ms: i64, limit: u32) -> Result<Vec<StreamRow>, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.requeue_unknown_once(settled_before_ms, limit).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn requeue_unknown_once(&self, settled_before_ms: i64, limit: u32) -> Result<Vec<StreamRow>, StoreError> {
        let mut tx = self.begin_write(DOING_REQUEUE).await?;
        let sql = DUE_RESENDS.of(self.pool());
        let due = with_tx!(&mut tx, |db| {
            let query = sqlx::query_as::<_, DueResend>(sql).bind(settled_before_ms).bind(i64::from(limit));
            query.fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_REQUEUE))?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let cancelled = tx.hold_cancelled(column(&due, |row| row.campaign_id), DOING_REQUEUE).await?;
        let mut streams: BTreeMap<StreamKey, StreamRow> = BTreeMap::new();
        let mut wanted: BTreeMap<StreamKey, Wanted> = BTreeMap::new();
        for row in due.iter().filter(|row| !cancelled.contains(&CampaignId(row.campaign_id))) {
            let stream = row.stream()?;
            let key = (stream.session_id, stream.campaign_id, stream.band);
            let StreamRow { traffic_class, zone, .. } = streams.entry(key).or_insert(stream).clone();
            wanted.entry(key).or_insert(Wanted { traffic_class, zone, n: 0 }).n += 1;
        }
        // The place behind the last one is always free; what the time adds is for new streams.
        let given = tx.give_places(&wanted, 0, DOING_REQUEUE).await?;
        let rows = tx.lock_deliveries(column(&due, |row| row.delivery_id), DOING_REQUEUE).await?;
        let budgets = tx.hold_usage(&counted_tenants(&rows), i64::MIN, DOING_REQUEUE).await?;
        let mut moves = Moves::of(rows, cancelled).spending(budgets);
        let mut requeued = moves.requeue_all();
        requeued.sort_unstable();
        tx.write_moves(&moves, self.recording(), DOING_REQUEUE).await?;
        tx.save_usage(moves.budgets(), DOING_REQUEUE).await?;
        let in_order = requeued.iter().map(|(stream, _, delivery_id)| (*stream, *delivery_id));
        tx.move_to_places(in_order, &given, DOING_REQUEUE).await?;
        // Those that were not put back are not to be looked at again.
        tx.forget_resends(column(&due, |row| row.delivery_id)).await.map_err(StoreError::database(DOING_REQUEUE))?;
        tx.add_to_reasons(&moves.reason_deltas(), DOING_REQUEUE).await?;
        tx.add_to_counters(&moves.deltas(), &moves.day_deltas(), DOING_REQUEUE).await?;
        self.commit_moves(tx, DOING_REQUEUE).await?;
        let concerned: BTreeSet<StreamKey> = requeued.iter().map(|row| row.0).collect();
        streams.retain(|key, _| concerned.contains(key));
        let with_place = |(key, row): (StreamKey, StreamRow)| {
            let done_below_seq = given.get(&key).map_or(0, |given| given.done_below_seq);
            StreamRow { done_below_seq, ..row }
        };
        Ok(streams.into_iter().map(with_place).collect())
    }
}
