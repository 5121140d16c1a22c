//! Places in streams, given out by the database: they grow in the order of commits.
//!
//! The row of a stream stays locked until the transaction ends, so a place is never below one that
//! was committed earlier, whichever node gives it out and whatever its clock says.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::domain::id::{CampaignId, DeliveryId, SessionId};
use crate::domain::job::TrafficClass;
use crate::domain::zone::{Band, Zone};
use crate::store::bind::{Hex, column, to_json};
use crate::store::tx::Tx;
use crate::store::{Sql, StoreError};

/// Names a stream: the lane's session, the campaign, and the kind of recipients.
pub(crate) type StreamKey = (SessionId, CampaignId, Band);

/// How many places a stream is to give.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Kind of traffic, for a stream that is not there yet.
    pub(crate) traffic_class: TrafficClass,
    /// The zone of its recipients, for a stream that is not there yet.
    pub(crate) zone: Option<Zone>,
    /// How many.
    pub(crate) n: i64,
}

/// What a stream gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given {
    /// The first of the places; the others follow.
    pub(crate) first_seq: i64,
    /// Every delivery of the stream below it is settled.
    pub(crate) done_below_seq: i64,
}

/// The time keeps places apart from those of a stream that was there before and is gone; within a
/// stream only `last_seq` counts.
const GIVE: Sql = Sql::per_dialect(
    "INSERT INTO lane_streams AS s (session_id, campaign_id, band, zone, traffic_class, last_seq, done_below_seq) \
     SELECT u.session_id, u.campaign_id, u.band, u.zone, u.traffic_class, $1::int8 + u.n, $1::int8 + 1 \
     FROM UNNEST($2::uuid[], $3::uuid[], $4::int4[], $5::text[], $6::text[], $7::int8[]) \
          AS u (session_id, campaign_id, band, zone, traffic_class, n) \
     ON CONFLICT (session_id, campaign_id, band) \
         DO UPDATE SET last_seq = GREATEST(s.last_seq, $1::int8) + EXCLUDED.last_seq - $1::int8 \
     RETURNING session_id, campaign_id, band, last_seq, done_below_seq",
    "INSERT INTO lane_streams AS s (session_id, campaign_id, band, zone, traffic_class, last_seq, done_below_seq) \
     SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, $1 + (value ->> 5), $1 + 1 \
     FROM json_each($2) WHERE true \
     ON CONFLICT (session_id, campaign_id, band) \
         DO UPDATE SET last_seq = MAX(s.last_seq, $1) + EXCLUDED.last_seq - $1 \
     RETURNING session_id, campaign_id, band, last_seq, done_below_seq",
);

/// The place is in an index, so these updates are not HOT; they are as rare as people, lost answers and lost sessions.
const MOVE: Sql = Sql::per_dialect(
    "UPDATE deliveries AS d SET session_id = u.session_id, seq = u.seq \
     FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[]) AS u (delivery_id, session_id, seq) \
     WHERE d.delivery_id = u.delivery_id",
    "UPDATE deliveries AS d SET session_id = u.session_id, seq = u.seq \
     FROM (SELECT unhex(value ->> 0) AS delivery_id, unhex(value ->> 1) AS session_id, value ->> 2 AS seq \
           FROM json_each($1)) AS u \
     WHERE d.delivery_id = u.delivery_id",
);

impl Tx {
    /// Puts deliveries that are locked to the places that streams gave, each into the stream it is named with, in the
    /// order in which they are named.
    ///
    /// # Panics
    /// When a stream was not asked for as many places: only a bug could do that.
    pub(crate) async fn move_to_places(
        &mut self,
        deliveries: impl IntoIterator<Item = (StreamKey, DeliveryId)>,
        given: &HashMap<StreamKey, Given>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let mut next: HashMap<StreamKey, i64> = given.iter().map(|(key, given)| (*key, given.first_seq)).collect();
        let place = |(stream, delivery_id): (StreamKey, DeliveryId)| {
            let seq = next.get_mut(&stream).expect("places were asked for each of them");
            *seq += 1;
            (delivery_id.0, stream.0.0, *seq - 1)
        };
        let places: Vec<(Uuid, Uuid, i64)> = deliveries.into_iter().map(place).collect();
        if places.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(MOVE.postgres())
                .bind(column(&places, |place| place.0))
                .bind(column(&places, |place| place.1))
                .bind(column(&places, |place| place.2))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&places, |place| (Hex(place.0), Hex(place.1), place.2));
                sqlx::query(MOVE.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
        .map_err(StoreError::database(doing))
    }

    /// Takes places at the end of streams and holds the streams until the transaction ends; a
    /// stream that is not there is made, and begins with its first place.
    ///
    /// To be called before anything waits for deliveries; see [`crate::store::tx`].
    pub(crate) async fn give_places(
        &mut self,
        wanted: &BTreeMap<StreamKey, Wanted>,
        now_us: i64,
        doing: &'static str,
    ) -> Result<HashMap<StreamKey, Given>, StoreError> {
        let wanted: Vec<_> = wanted.iter().map(|(key, wanted)| (*key, wanted.clone())).collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let rows: Vec<(Uuid, Uuid, i32, i64, i64)> = match self {
            Self::Postgres(tx) => {
                sqlx::query_as(GIVE.postgres())
                    .bind(now_us)
                    .bind(column(&wanted, |(key, _)| key.0.0))
                    .bind(column(&wanted, |(key, _)| key.1.0))
                    .bind(column(&wanted, |(key, _)| key.2.0))
                    .bind(column(&wanted, |(_, wanted)| wanted.zone.as_ref().map(|zone| zone.as_str().to_owned())))
                    .bind(column(&wanted, |(_, wanted)| wanted.traffic_class.as_str()))
                    .bind(column(&wanted, |(_, wanted)| wanted.n))
                    .fetch_all(&mut **tx)
                    .await
            }
            Self::Sqlite(tx) => {
                let json = to_json(&wanted, |(key, wanted)| {
                    let zone = wanted.zone.as_ref().map(|zone| zone.as_str());
                    (Hex(key.0.0), Hex(key.1.0), key.2.0, zone, wanted.traffic_class.as_str(), wanted.n)
                });
                sqlx::query_as(GIVE.sqlite()).bind(now_us).bind(json).fetch_all(&mut **tx).await
            }
        }
        .map_err(StoreError::database(doing))?;
        let n_of: HashMap<StreamKey, i64> = wanted.into_iter().map(|(key, wanted)| (key, wanted.n)).collect();
        let given = rows.into_iter().map(|(session_id, campaign_id, band, last_seq, done_below_seq)| {
            let key = (SessionId(session_id), CampaignId(campaign_id), Band(band));
            let n = n_of.get(&key).copied().unwrap_or(0);
            (key, Given { first_seq: last_seq - n + 1, done_below_seq })
        });
        Ok(given.collect())
    }
}
