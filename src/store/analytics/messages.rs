//! How messages stand, by day and by session.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::day::DayCounts;
use crate::domain::id::{CampaignId, SessionId};
use crate::store::analytics::{Analytics, TenantDays};
use crate::store::{Sql, StoreError};
use crate::with_reader;

/// Which messages are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageDays {
    /// Of which days.
    pub days: TenantDays,
    /// Only those of this session.
    pub session_id: Option<SessionId>,
    /// Only those of this campaign.
    pub campaign_id: Option<CampaignId>,
}

/// The messages of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionMessages {
    /// The session.
    pub session_id: SessionId,
    /// What people call it.
    pub name: Option<String>,
    /// How its messages stand.
    pub counts: DayCounts,
}

macro_rules! sums {
    ($by:literal, $rest:literal) => {
        Sql::portable(concat!(
            "SELECT ",
            $by,
            ", CAST(SUM(m.waiting) AS BIGINT) AS waiting, CAST(SUM(m.sent) AS BIGINT) AS sent, \
             CAST(SUM(m.delivered) AS BIGINT) AS delivered, CAST(SUM(m.read) AS BIGINT) AS read, \
             CAST(SUM(m.failed_limit) AS BIGINT) AS failed_limit, \
             CAST(SUM(m.failed_unavailable) AS BIGINT) AS failed_unavailable, \
             CAST(SUM(m.skipped) AS BIGINT) AS skipped, CAST(SUM(m.cancelled) AS BIGINT) AS cancelled, \
             CAST(SUM(m.unknown) AS BIGINT) AS unknown, CAST(SUM(m.used) AS BIGINT) AS used FROM message_days m ",
            $rest
        ))
    };
}

const BY_DAY: Sql = sums!(
    "m.day",
    "WHERE m.tenant_id = $1 AND $2 <= m.day AND m.day <= $3 AND COALESCE($4, m.session_id) = m.session_id \
     AND COALESCE($5, m.campaign_id) = m.campaign_id GROUP BY m.day ORDER BY m.day"
);
const BY_SESSION: Sql = sums!(
    "m.session_id, s.name",
    "LEFT JOIN sessions s ON s.session_id = m.session_id AND s.tenant_id = m.tenant_id \
     WHERE m.tenant_id = $1 AND $2 <= m.day AND m.day <= $3 AND COALESCE($4, m.session_id) = m.session_id \
     AND COALESCE($5, m.campaign_id) = m.campaign_id GROUP BY m.session_id, s.name ORDER BY m.session_id"
);

const DOING: &str = "read the days of messages";

#[derive(FromRow)]
struct StoredCounts {
    waiting: i64,
    sent: i64,
    delivered: i64,
    read: i64,
    failed_limit: i64,
    failed_unavailable: i64,
    skipped: i64,
    cancelled: i64,
    unknown: i64,
    used: i64,
}

#[derive(FromRow)]
struct StoredDay {
    day: i64,
    #[sqlx(flatten)]
    counts: StoredCounts,
}

#[derive(FromRow)]
struct StoredSession {
    session_id: Uuid,
    name: Option<String>,
    #[sqlx(flatten)]
    counts: StoredCounts,
}

impl From<StoredCounts> for DayCounts {
    fn from(row: StoredCounts) -> Self {
        Self {
            waiting: row.waiting,
            sent: row.sent,
            delivered: row.delivered,
            read: row.read,
            failed_limit: row.failed_limit,
            failed_unavailable: row.failed_unavailable,
            skipped: row.skipped,
            cancelled: row.cancelled,
            unknown: row.unknown,
            used: row.used,
        }
    }
}

impl Analytics<'_> {
    /// Counts messages by day; days without any are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn messages_by_day(&self, of: &MessageDays) -> Result<Vec<(i64, DayCounts)>, StoreError> {
        let rows: Vec<StoredDay> = self.messages(of, BY_DAY).await?;
        Ok(rows.into_iter().map(|row| (row.day, row.counts.into())).collect())
    }

    /// Counts messages by session, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn messages_by_session(&self, of: &MessageDays) -> Result<Vec<SessionMessages>, StoreError> {
        let rows: Vec<StoredSession> = self.messages(of, BY_SESSION).await?;
        let session = |row: StoredSession| SessionMessages {
            session_id: SessionId(row.session_id),
            name: row.name,
            counts: row.counts.into(),
        };
        Ok(rows.into_iter().map(session).collect())
    }

    async fn messages<R>(&self, of: &MessageDays, sql: Sql) -> Result<Vec<R>, StoreError>
    where
        R: Send + Unpin + for<'r> FromRow<'r, sqlx::postgres::PgRow> + for<'r> FromRow<'r, sqlx::sqlite::SqliteRow>,
    {
        let MessageDays { days, session_id, campaign_id } = *of;
        let sql = sql.of(self.store.pool());
        with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, R>(sql).bind(days.tenant_id.0).bind(days.first).bind(days.last);
            query.bind(session_id.map(|id| id.0)).bind(campaign_id.map(|id| id.0)).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING))
    }
}
