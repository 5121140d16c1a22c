//! Lanes as people look at them: some at a time, with how much work each has left.
//!
//! Read only, and of all tenants: only for those who run the platform. What dispatch reads is
//! [`crate::store::lanes`].

use uuid::Uuid;

use crate::domain::id::{SessionId, TenantId};
use crate::domain::pacing::Pacing;
use crate::domain::session::SessionState;
use crate::store::bind::{column, hex_list, to_u32};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::{Pool, Sql, Store, StoreError};
use crate::with_reader;

const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM sessions");

const PAGE: Sql = Sql::portable("SELECT session_id FROM sessions ORDER BY session_id DESC LIMIT $1 OFFSET $2");

const BELOW: Sql =
    Sql::portable("SELECT session_id FROM sessions WHERE session_id < $1 ORDER BY session_id DESC LIMIT $2");

/// A stream whose cursor is past its last place has nothing left; those of campaigns that are over do not count.
macro_rules! of_open_streams {
    ($what:literal) => {
        concat!(
            "(SELECT ",
            $what,
            " FROM lane_streams t LEFT JOIN campaigns c ON c.campaign_id = t.campaign_id \
              WHERE t.session_id = s.session_id AND t.done_below_seq <= t.last_seq \
                  AND (c.state IS NULL OR c.state IN ('running', 'paused')))"
        )
    };
}

macro_rules! columns {
    () => {
        concat!(
            "SELECT s.session_id, s.tenant_id, s.state, s.rate_per_minute, s.burst, l.tat_us, ",
            of_open_streams!("COUNT(*)"),
            " AS n_open_streams, ",
            of_open_streams!("COALESCE(CAST(SUM(t.last_seq - t.done_below_seq + 1) AS BIGINT), 0)"),
            " AS n_backlog, \
             COALESCE((SELECT CAST(SUM(r.n) AS BIGINT) FROM no_receipts r WHERE r.session_id = s.session_id), 0) \
                 AS n_no_receipts "
        )
    };
}

const LANES: Sql = Sql::per_dialect(
    concat!(
        columns!(),
        "FROM UNNEST($1::uuid[]) AS w (session_id) JOIN sessions s ON s.session_id = w.session_id \
         LEFT JOIN lanes l ON l.session_id = s.session_id ORDER BY s.session_id DESC"
    ),
    concat!(
        columns!(),
        "FROM json_each($1) AS w JOIN sessions s ON s.session_id = unhex(w.value) \
         LEFT JOIN lanes l ON l.session_id = s.session_id ORDER BY s.session_id DESC"
    ),
);

const DOING: &str = "list lanes";

/// A lane, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneSummary {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where the session stands.
    pub state: SessionState,
    /// Sends per minute, when the session has its own.
    pub rate_per_minute: Option<f64>,
    /// Sends at once after a rest, when the session has its own.
    pub burst: Option<u32>,
    /// Theoretical arrival time, UTC microseconds; none before the first send.
    pub tat_us: Option<i64>,
    /// Campaigns with deliveries that are not settled; single messages together count as one.
    pub n_open_streams: u64,
    /// Places in their lines that are not known to be settled; more than wait by what was settled out of turn.
    pub n_backlog: u64,
    /// Accepted deliveries that no receipt came for in time, ever.
    pub n_no_receipts: u64,
}

#[derive(sqlx::FromRow)]
struct StoredSummary {
    session_id: Uuid,
    tenant_id: Uuid,
    state: String,
    rate_per_minute: Option<f64>,
    burst: Option<i32>,
    tat_us: Option<i64>,
    n_open_streams: i64,
    n_backlog: i64,
    n_no_receipts: i64,
}

impl TryFrom<StoredSummary> for LaneSummary {
    type Error = StoreError;

    fn try_from(row: StoredSummary) -> Result<Self, StoreError> {
        let place = RowPlace { table: "sessions", key: row.session_id };
        Ok(Self {
            session_id: SessionId(row.session_id),
            tenant_id: TenantId(row.tenant_id),
            state: place.known("state", SessionState::parse(&row.state))?,
            rate_per_minute: row.rate_per_minute,
            burst: row.burst.map(to_u32),
            tat_us: row.tat_us,
            n_open_streams: row.n_open_streams.unsigned_abs(),
            n_backlog: row.n_backlog.unsigned_abs(),
            n_no_receipts: row.n_no_receipts.unsigned_abs(),
        })
    }
}

impl LaneSummary {
    /// Returns before which moment the pace allows no next send, UTC microseconds; none before the first one.
    #[must_use]
    pub fn not_before_us(&self, default: Pacing) -> Option<i64> {
        let own = self.rate_per_minute.map(|rate| Pacing::new(rate, self.burst.unwrap_or(default.burst().get())));
        let pacing = own.and_then(Result::ok).unwrap_or(default);
        let ahead = pacing.interval() * (pacing.burst().get() - 1);
        self.tat_us.map(|tat_us| tat_us.saturating_sub(i64::try_from(ahead.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Store {
    /// Returns a page of all sessions, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn all_sessions(&self, page: PageRequest) -> Result<Page<SessionId>, StoreError> {
        let (count, list) = (COUNT.of(self.pool()), PAGE.of(self.pool()));
        let total: i64 = with_reader!(self.pool(), |db| sqlx::query_scalar(count).fetch_one(db).await)
            .map_err(StoreError::database(DOING))?;
        let ids: Vec<Uuid> = with_reader!(self.pool(), |db| {
            sqlx::query_scalar(list).bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING))?;
        Ok(Page { items: ids.into_iter().map(SessionId).collect(), total: total.unsigned_abs() })
    }

    /// Returns the next `limit` of all sessions below one, newest first; from the newest without one.
    ///
    /// # Errors
    /// As [`Store::all_sessions`].
    pub async fn sessions_below(&self, below: Option<SessionId>, limit: u32) -> Result<Vec<SessionId>, StoreError> {
        let (sql, below) = (BELOW.of(self.pool()), below.map_or(Uuid::max(), |id| id.0));
        let ids: Vec<Uuid> = with_reader!(self.pool(), |db| {
            sqlx::query_scalar(sql).bind(below).bind(i64::from(limit)).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING))?;
        Ok(ids.into_iter().map(SessionId).collect())
    }

    /// Returns the lanes of some sessions, newest first; those that are not there are left out.
    ///
    /// # Errors
    /// As [`Store::all_sessions`], and [`StoreError::Corrupt`] when a row can not be read.
    pub async fn lane_summaries(&self, sessions: &[SessionId]) -> Result<Vec<LaneSummary>, StoreError> {
        let ids = column(sessions, |session_id| session_id.0);
        let rows: Result<Vec<StoredSummary>, sqlx::Error> = match self.pool() {
            Pool::Postgres(pool) => sqlx::query_as(LANES.postgres()).bind(ids).fetch_all(pool).await,
            Pool::Sqlite { reader, .. } => sqlx::query_as(LANES.sqlite()).bind(hex_list(&ids)).fetch_all(reader).await,
        };
        rows.map_err(StoreError::database(DOING))?.into_iter().map(LaneSummary::try_from).collect()
    }
}
