//! Accepted deliveries of which no receipt came in time, counted per session and campaign.
//!
//! Each accepted attempt is looked at once, when it is old enough. Outcomes are in no order of commits, so one that is
//! written later than it must be old is not looked at: the count is an alarm and no ledger.

use uuid::Uuid;

use crate::limits::NO_RECEIPT_LOOK_MS_MAX;
use crate::store::bind::{Hex, column, to_json};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};

const NAME: &str = "no_receipts";

/// The first look begins where it ends: what was before is nobody's business any more.
const HOLD: Sql = Sql::portable(
    "INSERT INTO looks (name, below_at_ms) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name \
     RETURNING below_at_ms",
);
const FIND: Sql = Sql::portable(
    "SELECT d.session_id, d.campaign_id, COUNT(*) AS n, MAX(o.ended_at_ms) AS last_at_ms \
     FROM attempt_outcomes o JOIN deliveries d ON d.delivery_id = o.delivery_id \
     WHERE $1 <= o.ended_at_ms AND o.ended_at_ms < $2 AND o.outcome = 'accepted' AND d.state = 'sent' \
     GROUP BY d.session_id, d.campaign_id ORDER BY d.session_id, d.campaign_id",
);
const ADD: Sql = Sql::per_dialect(
    "INSERT INTO no_receipts AS r (session_id, campaign_id, n, last_at_ms) \
     SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::int8[]) \
     ON CONFLICT (session_id, campaign_id) DO UPDATE SET n = r.n + EXCLUDED.n, last_at_ms = EXCLUDED.last_at_ms",
    "INSERT INTO no_receipts AS r (session_id, campaign_id, n, last_at_ms) \
     SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3 FROM json_each($1) WHERE true \
     ON CONFLICT (session_id, campaign_id) DO UPDATE SET n = r.n + EXCLUDED.n, last_at_ms = EXCLUDED.last_at_ms",
);
const ADVANCE: Sql = Sql::portable("UPDATE looks SET below_at_ms = $2 WHERE name = $1");

/// PostgreSQL only: the index over time can only be read so.
const BY_TIME: &str = "SET LOCAL enable_bitmapscan = on";

const DOING: &str = "look for receipts that did not come";

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReceiptLook {
    /// Deliveries without a receipt.
    pub n: u64,
    /// There is more to look at already.
    pub goes_on: bool,
}

impl Store {
    /// Looks at the accepted attempts that ended before a time and were not looked at yet, a stretch of them, and
    /// counts those that nothing was reported of.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn look_for_receipts(&self, before_ms: i64) -> Result<NoReceiptLook, StoreError> {
        let mut tx = self.begin_write(DOING).await?;
        let hold = HOLD.of(self.pool());
        let from_ms = with_tx!(&mut tx, |db| {
            sqlx::query_scalar::<_, i64>(hold).bind(NAME).bind(before_ms).fetch_one(db).await
        })
        .map_err(StoreError::database(DOING))?;
        let until_ms = before_ms.min(from_ms.saturating_add(NO_RECEIPT_LOOK_MS_MAX));
        if until_ms <= from_ms {
            tx.commit(DOING).await?;
            return Ok(NoReceiptLook { n: 0, goes_on: false });
        }
        let found = tx.without_receipt(from_ms, until_ms).await.map_err(StoreError::database(DOING))?;
        tx.count_no_receipts(&found).await.map_err(StoreError::database(DOING))?;
        let advance = ADVANCE.of(self.pool());
        with_tx!(&mut tx, |db| sqlx::query(advance).bind(NAME).bind(until_ms).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING))?;
        tx.commit(DOING).await?;
        let n = found.iter().map(|row| row.2.unsigned_abs()).sum();
        Ok(NoReceiptLook { n, goes_on: until_ms < before_ms })
    }
}

type Found = (Uuid, Uuid, i64, i64);

impl Tx {
    async fn without_receipt(&mut self, from_ms: i64, until_ms: i64) -> Result<Vec<Found>, sqlx::Error> {
        if let Self::Postgres(tx) = self {
            sqlx::query(BY_TIME).execute(&mut **tx).await?;
        }
        let find = FIND.postgres();
        with_tx!(self, |db| sqlx::query_as::<_, Found>(find).bind(from_ms).bind(until_ms).fetch_all(db).await)
    }

    async fn count_no_receipts(&mut self, found: &[Found]) -> Result<(), sqlx::Error> {
        if found.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(ADD.postgres())
                .bind(column(found, |row| row.0))
                .bind(column(found, |row| row.1))
                .bind(column(found, |row| row.2))
                .bind(column(found, |row| row.3))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(found, |row| (Hex(row.0), Hex(row.1), row.2, row.3));
                sqlx::query(ADD.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
