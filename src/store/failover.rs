//! Pending deliveries to cold recipients leave a session that is lost for good, for other sessions of their campaign.
//!
//! Steps of bounded size that are safe to repeat: what has left is not found again. Warm recipients stay, and so does
//! what is being sent or may have been sent. When to take a step is decided elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::delivery::DeliveryState;
use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::job::TrafficClass;
use crate::domain::zone::{Band, Zone};
use crate::limits::FAILOVER_ROWS_MAX;
use crate::store::analytics::feed::DayDeltas;
use crate::store::lanes::StreamRow;
use crate::store::moves::DeliveryRow;
use crate::store::places::{Given, StreamKey, Wanted};
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// A stream of cold recipients whose session is lost, of a campaign that wants them to go elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranded {
    /// The session that is lost.
    pub session_id: SessionId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The kind of recipients.
    pub band: Band,
    /// Their zone, where it is known.
    pub zone: Option<Zone>,
    /// Kind of traffic.
    pub traffic_class: TrafficClass,
    /// Every delivery below it is settled.
    pub done_below_seq: i64,
    /// The last place given out.
    pub last_seq: i64,
}

/// An even band is one of recipients who never wrote to the session; see the domain's `Band`. The first condition on the
/// state is that of the index on what is open, which SQLite knows by its words.
const STRANDED: Sql = Sql::portable(
    "SELECT t.session_id, t.campaign_id, t.band, t.zone, t.traffic_class, t.done_below_seq, t.last_seq \
     FROM campaigns c JOIN campaign_counters k ON k.campaign_id = c.campaign_id AND 0 < k.pending \
     JOIN campaign_sessions cs ON cs.campaign_id = c.campaign_id \
     JOIN sessions s ON s.session_id = cs.session_id AND s.state IN ('logged_out', 'banned') \
     JOIN lane_streams t ON t.session_id = cs.session_id AND t.campaign_id = c.campaign_id \
         AND t.done_below_seq <= t.last_seq AND (t.band & 1) = 0 \
     WHERE c.failover AND c.state IN ('running', 'paused') AND c.state = 'running' ORDER BY t.campaign_id, t.session_id, t.band",
);
/// Those that can send, or will by themselves.
const TARGETS: Sql = Sql::portable(
    "SELECT s.session_id FROM campaign_sessions cs JOIN sessions s ON s.session_id = cs.session_id \
     WHERE cs.campaign_id = $1 AND s.state IN ('connected', 'connecting', 'reconnecting') ORDER BY cs.ordinal",
);
const PENDING: Sql = Sql::portable(
    "SELECT delivery_id FROM deliveries WHERE session_id = $1 AND campaign_id = $2 AND band = $3 AND $4 <= seq \
     AND state = 'pending' ORDER BY seq LIMIT $5",
);
/// Nothing up to the place that was the last one can become pending in this stream again: what goes back in line gets
/// a new place. So the stream need not be looked at again.
const CLOSE: Sql = Sql::portable(
    "UPDATE lane_streams SET done_below_seq = $4 + 1 \
     WHERE session_id = $1 AND campaign_id = $2 AND band = $3 AND done_below_seq <= $4 \
     AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.session_id = $1 AND d.campaign_id = $2 AND d.band = $3 \
                     AND $5 <= d.seq AND d.seq <= $4 AND d.state IN ('pending', 'sending'))",
);

const DOING_FIND: &str = "find what is stranded with a lost session";
const DOING_MOVE: &str = "move deliveries to other sessions";

#[derive(FromRow)]
struct StoredStranded {
    session_id: Uuid,
    campaign_id: Uuid,
    band: i32,
    zone: Option<String>,
    traffic_class: String,
    done_below_seq: i64,
    last_seq: i64,
}

impl TryFrom<StoredStranded> for Stranded {
    type Error = StoreError;

    fn try_from(row: StoredStranded) -> Result<Self, StoreError> {
        let corrupt = || StoreError::corrupt("lane_streams", "traffic_class", row.session_id);
        Ok(Self {
            session_id: SessionId(row.session_id),
            campaign_id: CampaignId(row.campaign_id),
            band: Band(row.band),
            zone: row.zone.as_deref().and_then(Zone::parse),
            traffic_class: TrafficClass::parse(&row.traffic_class).ok_or_else(corrupt)?,
            done_below_seq: row.done_below_seq,
            last_seq: row.last_seq,
        })
    }
}

impl Store {
    /// Lists the streams whose deliveries are to go to other sessions.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed, [`StoreError::Corrupt`] when a row can not be read.
    pub async fn stranded(&self) -> Result<Vec<Stranded>, StoreError> {
        let sql = STRANDED.of(self.pool());
        let rows = with_reader!(self.pool(), |db| sqlx::query_as::<_, StoredStranded>(sql).fetch_all(db).await);
        rows.map_err(StoreError::database(DOING_FIND))?.into_iter().map(Stranded::try_from).collect()
    }

    /// Moves the next pending deliveries of a stranded stream to the campaign's sessions that can send, in turn;
    /// returns the streams that got some, none when nothing is left, no session can send, or the campaign does not run
    /// any more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn fail_over(&self, stranded: &Stranded) -> Result<Vec<StreamRow>, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.fail_over_once(stranded).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn fail_over_once(&self, of: &Stranded) -> Result<Vec<StreamRow>, StoreError> {
        let mut tx = self.begin_write(DOING_MOVE).await?;
        let is_running = tx.hold_running(of.campaign_id, DOING_MOVE).await?;
        let targets = tx.targets(of.campaign_id).await.map_err(StoreError::database(DOING_MOVE))?;
        if !is_running || targets.is_empty() {
            return Ok(Vec::new());
        }
        let ids = tx.next_pending(of).await.map_err(StoreError::database(DOING_MOVE))?;
        if ids.is_empty() {
            tx.close_stranded(of).await.map_err(StoreError::database(DOING_MOVE))?;
            tx.commit(DOING_MOVE).await?;
            return Ok(Vec::new());
        }
        let key_of = |place: usize| (targets[place % targets.len()], of.campaign_id, of.band);
        let mut wanted: BTreeMap<StreamKey, Wanted> = BTreeMap::new();
        for place in 0..ids.len() {
            let new = || Wanted { traffic_class: of.traffic_class, zone: of.zone.clone(), n: 0 };
            wanted.entry(key_of(place)).or_insert_with(new).n += 1;
        }
        // The place behind the last one is always free; a stream that is new begins where this one was.
        let given = tx.give_places(&wanted, of.last_seq, DOING_MOVE).await?;
        let rows = tx.lock_deliveries(ids.clone(), DOING_MOVE).await?;
        let is_still = |row: &DeliveryRow| {
            row.state == DeliveryState::Pending && (row.session_id, row.band) == (of.session_id, of.band)
        };
        let still: HashSet<DeliveryId> = rows.iter().filter(|row| is_still(row)).map(|row| row.delivery_id).collect();
        let mut days = DayDeltas::default();
        let place_of: HashMap<Uuid, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        for row in rows.iter().filter(|row| is_still(row)) {
            let (was, (session_id, ..)) = (row.counted_for(), key_of(place_of[&row.delivery_id.0]));
            days.move_to((was, &row.standing()), ((was.0, session_id, was.2), &row.standing()));
        }
        let all = ids.into_iter().map(DeliveryId).enumerate().filter(|(_, id)| still.contains(id));
        tx.move_to_places(all.map(|(place, id)| (key_of(place), id)), &given, DOING_MOVE).await?;
        tx.add_to_counters(&BTreeMap::new(), &days, DOING_MOVE).await?;
        tx.commit(DOING_MOVE).await?;
        let stream = |(key, given): (&StreamKey, &Given)| StreamRow {
            session_id: key.0,
            campaign_id: of.campaign_id,
            band: of.band,
            zone: of.zone.clone(),
            traffic_class: of.traffic_class,
            done_below_seq: given.done_below_seq,
        };
        Ok(given.iter().map(stream).collect())
    }
}

impl Tx {
    async fn targets(&mut self, campaign_id: CampaignId) -> Result<Vec<SessionId>, sqlx::Error> {
        let sql = TARGETS.postgres();
        let ids = with_tx!(self, |db| sqlx::query_scalar::<_, Uuid>(sql).bind(campaign_id.0).fetch_all(db).await)?;
        Ok(ids.into_iter().map(SessionId).collect())
    }

    async fn next_pending(&mut self, of: &Stranded) -> Result<Vec<Uuid>, sqlx::Error> {
        let sql = PENDING.postgres();
        with_tx!(self, |db| {
            let query = sqlx::query_scalar::<_, Uuid>(sql).bind(of.session_id.0).bind(of.campaign_id.0);
            let query = query.bind(of.band.0).bind(of.done_below_seq).bind(i64::from(FAILOVER_ROWS_MAX));
            query.fetch_all(db).await
        })
    }

    async fn close_stranded(&mut self, of: &Stranded) -> Result<(), sqlx::Error> {
        let sql = CLOSE.postgres();
        with_tx!(self, |db| {
            let query = sqlx::query(sql).bind(of.session_id.0).bind(of.campaign_id.0).bind(of.band.0);
            query.bind(of.last_seq).bind(of.done_below_seq).execute(db).await.map(drop)
        })
    }
}
