//! What tenants had and used day by day, of what plans limit.
//!
//! Messages and requests have files of their own.

use crate::domain::day::DAY_MS;
use crate::store::analytics::{Analytics, TenantDays};
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// When a session was made, and when it was removed, UTC milliseconds.
pub type SessionLife = (i64, Option<i64>);

const NOTE_CONTACTS: Sql = Sql::portable(
    "INSERT INTO contact_days AS c (tenant_id, day, n_contacts) \
     SELECT b.tenant_id, $1, b.n_contacts FROM contact_books b WHERE b.n_contacts <> COALESCE( \
         (SELECT d.n_contacts FROM contact_days d WHERE d.tenant_id = b.tenant_id AND d.day <= $1 \
          ORDER BY d.day DESC LIMIT 1), 0) ORDER BY b.tenant_id \
     ON CONFLICT (tenant_id, day) DO UPDATE SET n_contacts = EXCLUDED.n_contacts",
);
const CONTACTS: Sql = Sql::portable(
    "SELECT day, n_contacts FROM contact_days WHERE tenant_id = $1 AND day <= $3 AND COALESCE((SELECT MAX(day) \
         FROM contact_days WHERE tenant_id = $1 AND day <= $2), $2) <= day ORDER BY day",
);
const SESSIONS: Sql = Sql::portable(
    "SELECT created_at_ms, deleted_at_ms FROM sessions WHERE tenant_id = $1 AND created_at_ms < $3 \
     AND (deleted_at_ms IS NULL OR $2 <= deleted_at_ms)",
);
const CAMPAIGNS: Sql = Sql::portable(
    "SELECT created_at_ms / 86400000 AS day, COUNT(*) FROM campaigns WHERE tenant_id = $1 AND $2 <= created_at_ms \
     AND created_at_ms < $3 GROUP BY 1 ORDER BY 1",
);

const DOING: &str = "read what was used day by day";

impl TenantDays {
    /// Returns when the first begins and the last ends, UTC milliseconds.
    fn times(&self) -> (i64, i64) {
        (self.first.saturating_mul(DAY_MS), self.last.saturating_add(1).saturating_mul(DAY_MS))
    }
}

impl Store {
    /// Notes for every tenant how many contacts it has today, where that has changed.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not noted; safe to repeat.
    pub async fn note_contact_days(&self, day: i64) -> Result<(), StoreError> {
        let sql = NOTE_CONTACTS.of(self.pool());
        with_writer!(self.pool(), |db| sqlx::query(sql).bind(day).execute(db).await.map(drop))
            .map_err(StoreError::database("note how many contacts there are"))
    }
}

impl Analytics<'_> {
    /// Returns how many contacts there were, on the days on which that changed, beginning with the last one that is not
    /// after the first day.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn contacts_by_day(&self, days: TenantDays) -> Result<Vec<(i64, i64)>, StoreError> {
        self.two_numbers(days, CONTACTS, (days.first, days.last)).await
    }

    /// Counts the campaigns that were made, by day; days without any are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be counted.
    pub async fn campaigns_by_day(&self, days: TenantDays) -> Result<Vec<(i64, i64)>, StoreError> {
        self.two_numbers(days, CAMPAIGNS, days.times()).await
    }

    /// Returns the lives of the sessions that there were on any of the days.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn session_lives(&self, days: TenantDays) -> Result<Vec<SessionLife>, StoreError> {
        let (sql, (from_ms, until_ms)) = (SESSIONS.of(self.store.pool()), days.times());
        with_reader!(self.store.pool(), |db| {
            sqlx::query_as(sql).bind(days.tenant_id.0).bind(from_ms).bind(until_ms).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING))
    }

    async fn two_numbers(
        &self,
        days: TenantDays,
        sql: Sql,
        (from, until): (i64, i64),
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let sql = sql.of(self.store.pool());
        with_reader!(self.store.pool(), |db| {
            sqlx::query_as(sql).bind(days.tenant_id.0).bind(from).bind(until).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING))
    }
}
