//! Places in streams, given out by the database: they grow in the order of commits.
//!
//! The row of a stream stays locked until the transaction ends, so a place is never below one that
//! was committed earlier, whichever node gives it out and whatever its clock says. Puts nothing there.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::domain::id::{CampaignId, SessionId};
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

impl Tx {
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
