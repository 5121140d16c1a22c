//! The counters of campaigns, moved in the transaction that moves their deliveries.
//!
//! The service's own reads of counters are with the campaigns.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::campaign::Counters;
use crate::domain::id::CampaignId;
use crate::store::analytics::feed::DayDeltas;
use crate::store::bind::{Hex, column, to_json};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, StoreError};

const ADD: Sql = Sql::per_dialect(
    "WITH fed AS (INSERT INTO day_feed (feed_id, moves) SELECT $13::uuid, $14::text WHERE $14::text IS NOT NULL) \
     INSERT INTO campaign_counters AS c (campaign_id, accepted, pending, sending, sent, delivered, read, \
         failed_limit, failed_unavailable, skipped, cancelled, unknown) \
     SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], \
                          $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[]) \
     ON CONFLICT (campaign_id) DO UPDATE SET accepted = c.accepted + EXCLUDED.accepted, \
         pending = c.pending + EXCLUDED.pending, sending = c.sending + EXCLUDED.sending, \
         sent = c.sent + EXCLUDED.sent, delivered = c.delivered + EXCLUDED.delivered, read = c.read + EXCLUDED.read, \
         failed_limit = c.failed_limit + EXCLUDED.failed_limit, \
         failed_unavailable = c.failed_unavailable + EXCLUDED.failed_unavailable, \
         skipped = c.skipped + EXCLUDED.skipped, cancelled = c.cancelled + EXCLUDED.cancelled, \
         unknown = c.unknown + EXCLUDED.unknown \
     RETURNING campaign_id, accepted, pending, sending, sent, delivered, read, failed_limit, failed_unavailable, \
         skipped, cancelled, unknown",
    "INSERT INTO campaign_counters AS c (campaign_id, accepted, pending, sending, sent, delivered, read, \
         failed_limit, failed_unavailable, skipped, cancelled, unknown) \
     SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
            value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11 FROM json_each($1) WHERE true \
     ON CONFLICT (campaign_id) DO UPDATE SET accepted = c.accepted + EXCLUDED.accepted, \
         pending = c.pending + EXCLUDED.pending, sending = c.sending + EXCLUDED.sending, \
         sent = c.sent + EXCLUDED.sent, delivered = c.delivered + EXCLUDED.delivered, read = c.read + EXCLUDED.read, \
         failed_limit = c.failed_limit + EXCLUDED.failed_limit, \
         failed_unavailable = c.failed_unavailable + EXCLUDED.failed_unavailable, \
         skipped = c.skipped + EXCLUDED.skipped, cancelled = c.cancelled + EXCLUDED.cancelled, \
         unknown = c.unknown + EXCLUDED.unknown \
     RETURNING campaign_id, accepted, pending, sending, sent, delivered, read, failed_limit, failed_unavailable, \
         skipped, cancelled, unknown",
);

/// SQLite only: PostgreSQL does it along with [`ADD`].
const FEED: &str = "INSERT INTO day_feed (feed_id, moves) VALUES ($1, $2)";

const ALL: Sql = Sql::portable(
    "SELECT campaign_id, accepted, pending, sending, sent, delivered, read, failed_limit, failed_unavailable, \
         skipped, cancelled, unknown FROM campaign_counters",
);

const OF_CAMPAIGN: Sql = Sql::portable(
    "SELECT campaign_id, accepted, pending, sending, sent, delivered, read, failed_limit, failed_unavailable, \
         skipped, cancelled, unknown FROM campaign_counters WHERE campaign_id = $1",
);

/// A row of `campaign_counters`.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct CountersRow {
    campaign_id: Uuid,
    accepted: i64,
    pending: i64,
    sending: i64,
    sent: i64,
    delivered: i64,
    read: i64,
    failed_limit: i64,
    failed_unavailable: i64,
    skipped: i64,
    cancelled: i64,
    unknown: i64,
}

impl From<CountersRow> for (CampaignId, Counters) {
    fn from(row: CountersRow) -> Self {
        let counters = Counters {
            accepted: row.accepted,
            pending: row.pending,
            sending: row.sending,
            sent: row.sent,
            delivered: row.delivered,
            read: row.read,
            failed_limit: row.failed_limit,
            failed_unavailable: row.failed_unavailable,
            skipped: row.skipped,
            cancelled: row.cancelled,
            unknown: row.unknown,
        };
        (CampaignId(row.campaign_id), counters)
    }
}

/// Returns the counters in the order of the columns.
fn values(counters: &Counters) -> [i64; 11] {
    [
        counters.accepted,
        counters.pending,
        counters.sending,
        counters.sent,
        counters.delivered,
        counters.read,
        counters.failed_limit,
        counters.failed_unavailable,
        counters.skipped,
        counters.cancelled,
        counters.unknown,
    ]
}

impl Tx {
    /// Moves counters and returns what they are now; the last write of its transaction, because
    /// all other writers of a campaign wait for its row. How the days move is put down along with it.
    pub(crate) async fn add_to_counters(
        &mut self,
        deltas: &BTreeMap<CampaignId, Counters>,
        days: &DayDeltas,
        doing: &'static str,
    ) -> Result<Vec<(CampaignId, Counters)>, StoreError> {
        let fed = days.row();
        if deltas.is_empty() && fed.is_none() {
            return Ok(Vec::new());
        }
        let rows: Vec<(Uuid, [i64; 11])> = deltas.iter().map(|(id, delta)| (id.0, values(delta))).collect();
        let rows: Vec<CountersRow> = match self {
            Self::Postgres(tx) => {
                let mut query = sqlx::query_as(ADD.postgres()).bind(column(&rows, |row| row.0));
                for i in 0..11 {
                    query = query.bind(column(&rows, |row| row.1[i]));
                }
                query.bind(Uuid::now_v7()).bind(fed).fetch_all(&mut **tx).await
            }
            Self::Sqlite(tx) => {
                if let Some(fed) = fed {
                    let query = sqlx::query(FEED).bind(Uuid::now_v7()).bind(fed);
                    query.execute(&mut **tx).await.map_err(StoreError::database(doing))?;
                }
                let json = to_json(&rows, |(id, v)| {
                    (Hex(*id), v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10])
                });
                sqlx::query_as(ADD.sqlite()).bind(json).fetch_all(&mut **tx).await
            }
        }
        .map_err(StoreError::database(doing))?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Returns the counters of one campaign, none before its first delivery.
    pub(crate) async fn counters_of(
        &mut self,
        campaign_id: CampaignId,
        doing: &'static str,
    ) -> Result<Option<Counters>, StoreError> {
        let sql = OF_CAMPAIGN.postgres();
        let row =
            with_tx!(self, |db| sqlx::query_as::<_, CountersRow>(sql).bind(campaign_id.0).fetch_optional(db).await);
        Ok(row.map_err(StoreError::database(doing))?.map(|row| <(CampaignId, Counters)>::from(row).1))
    }

    /// Returns the counters of all campaigns.
    pub(crate) async fn all_counters(
        &mut self,
        doing: &'static str,
    ) -> Result<Vec<(CampaignId, Counters)>, StoreError> {
        let sql = ALL.postgres();
        let rows = with_tx!(self, |db| sqlx::query_as::<_, CountersRow>(sql).fetch_all(db).await);
        Ok(rows.map_err(StoreError::database(doing))?.into_iter().map(Into::into).collect())
    }
}
