//! What became of the messages of sessions, today and ever: counted as it happens, in the transaction of the deliveries.
//!
//! Counts what happened, not how deliveries stand: one that was tried again may have failed twice.

use std::collections::BTreeMap;

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::day::day_of;
use crate::domain::delivery::DeliveryState;
use crate::domain::id::{SessionId, TenantId};
use crate::store::bind::{Hex, column, to_json};
use crate::store::tx::Tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Messages of a session by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// The provider took them.
    pub sent: i64,
    /// They failed.
    pub failed: i64,
    /// Whether the provider took them was not known.
    pub unknown: i64,
}

/// By how much the counts of each session move, each on the latest day in which something happened.
pub(crate) type SessionDeltas = BTreeMap<SessionId, (i64, SessionCounts)>;

/// A day that is over goes when the next one begins; what is told late belongs to the day that is.
const ADD: Sql = Sql::per_dialect(
    "INSERT INTO session_counters AS s (session_id, day, day_sent, day_failed, day_unknown, total_sent, total_failed, \
         total_unknown) \
     SELECT u.session_id, u.day, u.sent, u.failed, u.n_unknown, u.sent, u.failed, u.n_unknown \
     FROM UNNEST($1::uuid[], $2::int8[], $3::int8[], $4::int8[], $5::int8[]) \
         AS u (session_id, day, sent, failed, n_unknown) \
     ON CONFLICT (session_id) DO UPDATE SET day = GREATEST(s.day, EXCLUDED.day), \
         day_sent = EXCLUDED.day_sent + CASE WHEN s.day < EXCLUDED.day THEN 0 ELSE s.day_sent END, \
         day_failed = EXCLUDED.day_failed + CASE WHEN s.day < EXCLUDED.day THEN 0 ELSE s.day_failed END, \
         day_unknown = EXCLUDED.day_unknown + CASE WHEN s.day < EXCLUDED.day THEN 0 ELSE s.day_unknown END, \
         total_sent = s.total_sent + EXCLUDED.total_sent, total_failed = s.total_failed + EXCLUDED.total_failed, \
         total_unknown = s.total_unknown + EXCLUDED.total_unknown",
    "INSERT INTO session_counters AS s (session_id, day, day_sent, day_failed, day_unknown, total_sent, total_failed, \
         total_unknown) \
     SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 2, value ->> 3, value ->> 4 \
     FROM json_each($1) WHERE true \
     ON CONFLICT (session_id) DO UPDATE SET day = MAX(s.day, EXCLUDED.day), \
         day_sent = EXCLUDED.day_sent + CASE WHEN s.day < EXCLUDED.day THEN 0 ELSE s.day_sent END, \
         day_failed = EXCLUDED.day_failed + CASE WHEN s.day < EXCLUDED.day THEN 0 ELSE s.day_failed END, \
         day_unknown = EXCLUDED.day_unknown + CASE WHEN s.day < EXCLUDED.day THEN 0 ELSE s.day_unknown END, \
         total_sent = s.total_sent + EXCLUDED.total_sent, total_failed = s.total_failed + EXCLUDED.total_failed, \
         total_unknown = s.total_unknown + EXCLUDED.total_unknown",
);

const FIND: Sql = Sql::portable(
    "SELECT c.day, c.day_sent, c.day_failed, c.day_unknown, c.total_sent, c.total_failed, c.total_unknown \
     FROM session_counters c JOIN sessions s ON s.session_id = c.session_id \
     WHERE c.session_id = $1 AND s.tenant_id = $2",
);

#[derive(FromRow)]
struct StoredCounts {
    day: i64,
    day_sent: i64,
    day_failed: i64,
    day_unknown: i64,
    total_sent: i64,
    total_failed: i64,
    total_unknown: i64,
}

impl std::ops::AddAssign for SessionCounts {
    fn add_assign(&mut self, more: Self) {
        self.sent += more.sent;
        self.failed += more.failed;
        self.unknown += more.unknown;
    }
}

impl SessionCounts {
    /// Counts a move of a delivery; what is neither sent nor failed nor unknown by it is not counted.
    pub(crate) fn note(&mut self, was: DeliveryState, now: DeliveryState) {
        let is_sent = |state| matches!(state, DeliveryState::Sent | DeliveryState::Delivered | DeliveryState::Read);
        self.sent += i64::from(!is_sent(was) && is_sent(now));
        self.failed += i64::from(was != DeliveryState::Failed && now == DeliveryState::Failed);
        self.unknown += i64::from(was != DeliveryState::Unknown && now == DeliveryState::Unknown);
    }
}

impl Store {
    /// Returns what became of the messages of a session on the day of a time, UTC milliseconds, and ever; nothing if it is
    /// not the tenant's.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn session_counts(
        &self,
        tenant_id: TenantId,
        id: SessionId,
        now_ms: i64,
    ) -> Result<(SessionCounts, SessionCounts), StoreError> {
        let sql = FIND.of(self.pool());
        let row = with_reader!(self.pool(), |db| {
            sqlx::query_as::<_, StoredCounts>(sql).bind(id.0).bind(tenant_id.0).fetch_optional(db).await
        });
        let row = row.map_err(StoreError::database("read the counts of a session"))?;
        let Some(row) = row else { return Ok(<(SessionCounts, SessionCounts)>::default()) };
        let day = SessionCounts { sent: row.day_sent, failed: row.day_failed, unknown: row.day_unknown };
        let total = SessionCounts { sent: row.total_sent, failed: row.total_failed, unknown: row.total_unknown };
        Ok((if row.day == day_of(now_ms) { day } else { SessionCounts::default() }, total))
    }
}

impl Tx {
    /// Moves counts of sessions.
    pub(crate) async fn add_to_sessions(
        &mut self,
        deltas: &SessionDeltas,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let rows: Vec<(Uuid, i64, SessionCounts)> =
            deltas.iter().map(|(id, (day, counts))| (id.0, *day, *counts)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(ADD.postgres())
                .bind(column(&rows, |row| row.0))
                .bind(column(&rows, |row| row.1))
                .bind(column(&rows, |row| row.2.sent))
                .bind(column(&rows, |row| row.2.failed))
                .bind(column(&rows, |row| row.2.unknown))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |(id, day, n)| (Hex(*id), *day, n.sent, n.failed, n.unknown));
                sqlx::query(ADD.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
        .map_err(StoreError::database(doing))
    }
}
