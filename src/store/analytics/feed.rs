//! How messages stand day by day: what moves is put down with the moves themselves, and added up later.
//!
//! One row for each transaction, written by the statement that moves the counters of campaigns. The row goes in the
//! transaction that adds it up, so nothing is counted twice or lost, whoever dies and however many add up at once.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::domain::day::{DayCounts, N_DAY_COUNTS, Standing};
use crate::domain::id::{CampaignId, SessionId, TenantId};
use crate::store::bind::{Hex, column, to_json};
use crate::store::tx::Tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Whose messages of which day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DayKey {
    pub(crate) tenant_id: TenantId,
    pub(crate) day: i64,
    pub(crate) session_id: SessionId,
    pub(crate) campaign_id: CampaignId,
}

/// By how much the counts of days move.
#[derive(Debug, Default)]
pub(crate) struct DayDeltas(BTreeMap<DayKey, DayCounts>);

/// A row of the feed, as it is written and read.
type Moved = (Uuid, i64, Uuid, Uuid, [i64; N_DAY_COUNTS]);

const TAKE: Sql = Sql::per_dialect(
    "DELETE FROM day_feed WHERE feed_id IN (SELECT feed_id FROM day_feed ORDER BY feed_id LIMIT $1 \
         FOR UPDATE SKIP LOCKED) RETURNING feed_id, moves",
    "DELETE FROM day_feed WHERE feed_id IN (SELECT feed_id FROM day_feed ORDER BY feed_id LIMIT $1) \
         RETURNING feed_id, moves",
);

/// In the order of the key, so that two who add up at once wait for each other in one order.
const ADD: Sql = Sql::per_dialect(
    "INSERT INTO message_days AS m (tenant_id, day, session_id, campaign_id, waiting, sent, delivered, read, \
         failed_limit, failed_unavailable, skipped, cancelled, unknown, used) \
     SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::uuid[], $4::uuid[], $5::int8[], $6::int8[], $7::int8[], \
         $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[], $13::int8[], $14::int8[]) \
     ON CONFLICT (tenant_id, day, session_id, campaign_id) DO UPDATE SET waiting = m.waiting + EXCLUDED.waiting, \
         sent = m.sent + EXCLUDED.sent, delivered = m.delivered + EXCLUDED.delivered, read = m.read + EXCLUDED.read, \
         failed_limit = m.failed_limit + EXCLUDED.failed_limit, \
         failed_unavailable = m.failed_unavailable + EXCLUDED.failed_unavailable, \
         skipped = m.skipped + EXCLUDED.skipped, cancelled = m.cancelled + EXCLUDED.cancelled, \
         unknown = m.unknown + EXCLUDED.unknown, used = m.used + EXCLUDED.used",
    "INSERT INTO message_days AS m (tenant_id, day, session_id, campaign_id, waiting, sent, delivered, read, \
         failed_limit, failed_unavailable, skipped, cancelled, unknown, used) \
     SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), unhex(value ->> 3), value ->> '$[4][0]', \
         value ->> '$[4][1]', value ->> '$[4][2]', value ->> '$[4][3]', value ->> '$[4][4]', value ->> '$[4][5]', \
         value ->> '$[4][6]', value ->> '$[4][7]', value ->> '$[4][8]', value ->> '$[4][9]' \
     FROM json_each($1) WHERE true \
     ON CONFLICT (tenant_id, day, session_id, campaign_id) DO UPDATE SET waiting = m.waiting + EXCLUDED.waiting, \
         sent = m.sent + EXCLUDED.sent, delivered = m.delivered + EXCLUDED.delivered, read = m.read + EXCLUDED.read, \
         failed_limit = m.failed_limit + EXCLUDED.failed_limit, \
         failed_unavailable = m.failed_unavailable + EXCLUDED.failed_unavailable, \
         skipped = m.skipped + EXCLUDED.skipped, cancelled = m.cancelled + EXCLUDED.cancelled, \
         unknown = m.unknown + EXCLUDED.unknown, used = m.used + EXCLUDED.used",
);

const WAITING: Sql = Sql::portable("SELECT COUNT(*) FROM day_feed");

const DOING: &str = "add up the days of messages";

impl DayDeltas {
    /// Counts a new message.
    pub(crate) fn add(&mut self, of: (TenantId, SessionId, CampaignId), standing: &Standing) {
        self.note(of, standing, standing.counts());
    }

    /// Counts that a message stands otherwise, or elsewhere, than it did.
    pub(crate) fn move_to(
        &mut self,
        (was_of, was): ((TenantId, SessionId, CampaignId), &Standing),
        (now_of, now): ((TenantId, SessionId, CampaignId), &Standing),
    ) {
        if (was_of, was.day(), was.counts()) != (now_of, now.day(), now.counts()) {
            self.note(was_of, was, -was.counts());
            self.note(now_of, now, now.counts());
        }
    }

    fn note(
        &mut self,
        (tenant_id, session_id, campaign_id): (TenantId, SessionId, CampaignId),
        standing: &Standing,
        counts: DayCounts,
    ) {
        let key = DayKey { tenant_id, day: standing.day(), session_id, campaign_id };
        *self.0.entry(key).or_default() += counts;
    }

    /// Writes it as a row of the feed; none when nothing moves.
    pub(crate) fn row(&self) -> Option<String> {
        let moved = |(key, counts): &(&DayKey, &DayCounts)| {
            let ids = (Hex(key.session_id.0), Hex(key.campaign_id.0));
            (Hex(key.tenant_id.0), key.day, ids.0, ids.1, counts.values())
        };
        let rows: Vec<_> = self.0.iter().filter(|(_, counts)| **counts != DayCounts::default()).collect();
        (!rows.is_empty()).then(|| to_json(&rows, moved))
    }
}

impl Store {
    /// Adds up what the next transactions moved, so many at most; returns how many there were.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was added up or the commit was not confirmed; safe to repeat.
    /// [`StoreError::Corrupt`] when a row can not be read.
    pub async fn roll_up_days(&self, n_rows: u32) -> Result<u64, StoreError> {
        let mut tx = self.begin_write(DOING).await?;
        let taken = tx.take_feed(n_rows).await.map_err(StoreError::database(DOING))?;
        let mut sums: BTreeMap<(Uuid, i64, Uuid, Uuid), DayCounts> = BTreeMap::new();
        for (feed_id, moves) in &taken {
            let moves: Vec<Moved> =
                serde_json::from_str(moves).map_err(|_| StoreError::corrupt("day_feed", "moves", feed_id))?;
            for (tenant_id, day, session_id, campaign_id, values) in moves {
                *sums.entry((tenant_id, day, session_id, campaign_id)).or_default() += DayCounts::from(values);
            }
        }
        sums.retain(|_, counts| *counts != DayCounts::default());
        tx.add_to_days(&sums).await.map_err(StoreError::database(DOING))?;
        tx.commit(DOING).await?;
        Ok(taken.len() as u64)
    }

    /// Counts the transactions that are not added up yet.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be counted.
    pub async fn day_feed_backlog(&self) -> Result<i64, StoreError> {
        let sql = WAITING.of(self.pool());
        with_reader!(self.pool(), |db| sqlx::query_scalar(sql).fetch_one(db).await)
            .map_err(StoreError::database("count what is not added up yet"))
    }
}

impl Tx {
    async fn take_feed(&mut self, n_rows: u32) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
        let n_rows = i64::from(n_rows);
        match self {
            Self::Postgres(tx) => sqlx::query_as(TAKE.postgres()).bind(n_rows).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => sqlx::query_as(TAKE.sqlite()).bind(n_rows).fetch_all(&mut **tx).await,
        }
    }

    async fn add_to_days(&mut self, sums: &BTreeMap<(Uuid, i64, Uuid, Uuid), DayCounts>) -> Result<(), sqlx::Error> {
        if sums.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = sums.iter().map(|(key, counts)| (*key, counts.values())).collect();
        match self {
            Self::Postgres(tx) => {
                let query = sqlx::query(ADD.postgres()).bind(column(&rows, |row| row.0.0));
                let query = query.bind(column(&rows, |row| row.0.1)).bind(column(&rows, |row| row.0.2));
                let mut query = query.bind(column(&rows, |row| row.0.3));
                for at in 0..N_DAY_COUNTS {
                    query = query.bind(column(&rows, |row| row.1[at]));
                }
                query.execute(&mut **tx).await.map(drop)
            }
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |((tenant_id, day, session_id, campaign_id), values)| {
                    (Hex(*tenant_id), *day, Hex(*session_id), Hex(*campaign_id), *values)
                });
                sqlx::query(ADD.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
