//! Requests to the API, counted by day and by who made them, and put into the log.
//!
//! What is counted and what is logged comes from the memory of a node, in one transaction; what a node that dies remembered
//! is lost.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::store::analytics::{Analytics, TenantDays};
use crate::store::bind::{Hex, column, to_json};
use crate::store::tx::Tx;
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

/// Who made a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requester {
    /// In whose account.
    pub tenant_id: TenantId,
    /// The key, or the person.
    pub id: Uuid,
    /// Whether it is a key.
    pub is_key: bool,
}

/// One request, as it is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEntry {
    /// Its id; ids are in the order of their times.
    pub id: Uuid,
    /// Who made it.
    pub by: Requester,
    /// When it was answered, UTC milliseconds.
    pub at_ms: i64,
    /// The method.
    pub method: String,
    /// The pattern of the path.
    pub operation: String,
    /// The status of the answer.
    pub status: u16,
    /// How long it took.
    pub duration_ms: i64,
    /// Its name.
    pub request_id: String,
}

/// How many requests there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct RequestCounts {
    /// All.
    pub n_requests: i64,
    /// Of these, those that count for the plan.
    pub n_counted: i64,
    /// Refused because of what was asked: 400 to 499.
    pub n_client_errors: i64,
    /// Failed on our side: 500 and above.
    pub n_server_errors: i64,
    /// How long they took together.
    pub duration_ms: i64,
}

/// The requests of one key or person.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct RequesterCounts {
    /// The key, or the person.
    pub caller_id: Uuid,
    /// Whether it is a key.
    pub is_key: bool,
    /// What people call it; none when it is gone.
    pub name: Option<String>,
    /// How the key begins.
    pub prefix: Option<String>,
    /// How many.
    #[sqlx(flatten)]
    pub counts: RequestCounts,
}

impl std::ops::AddAssign for RequestCounts {
    fn add_assign(&mut self, more: Self) {
        self.n_requests += more.n_requests;
        self.n_counted += more.n_counted;
        self.n_client_errors += more.n_client_errors;
        self.n_server_errors += more.n_server_errors;
        self.duration_ms += more.duration_ms;
    }
}

const LOG: Sql = Sql::per_dialect(
    "INSERT INTO request_log (request_log_id, tenant_id, at_ms, caller_id, is_key, method, operation, status, \
         duration_ms, request_id) \
     SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::uuid[], $5::bool[], $6::text[], $7::text[], \
         $8::int4[], $9::int8[], $10::text[]) ON CONFLICT DO NOTHING",
    "INSERT INTO request_log (request_log_id, tenant_id, at_ms, caller_id, is_key, method, operation, status, \
         duration_ms, request_id) \
     SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5, \
         value ->> 6, value ->> 7, value ->> 8, value ->> 9 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
);
const ADD: Sql = Sql::per_dialect(
    "INSERT INTO request_days AS r (tenant_id, day, caller_id, is_key, n_requests, n_counted, n_client_errors, \
         n_server_errors, duration_ms) \
     SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::uuid[], $4::bool[], $5::int8[], $6::int8[], $7::int8[], \
         $8::int8[], $9::int8[]) \
     ON CONFLICT (tenant_id, day, caller_id) DO UPDATE SET n_requests = r.n_requests + EXCLUDED.n_requests, \
         n_counted = r.n_counted + EXCLUDED.n_counted, n_client_errors = r.n_client_errors + EXCLUDED.n_client_errors, \
         n_server_errors = r.n_server_errors + EXCLUDED.n_server_errors, duration_ms = r.duration_ms + EXCLUDED.duration_ms",
    "INSERT INTO request_days AS r (tenant_id, day, caller_id, is_key, n_requests, n_counted, n_client_errors, \
         n_server_errors, duration_ms) \
     SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4, value ->> 5, value ->> 6, \
         value ->> 7, value ->> 8 FROM json_each($1) WHERE true \
     ON CONFLICT (tenant_id, day, caller_id) DO UPDATE SET n_requests = r.n_requests + EXCLUDED.n_requests, \
         n_counted = r.n_counted + EXCLUDED.n_counted, n_client_errors = r.n_client_errors + EXCLUDED.n_client_errors, \
         n_server_errors = r.n_server_errors + EXCLUDED.n_server_errors, duration_ms = r.duration_ms + EXCLUDED.duration_ms",
);

macro_rules! sums {
    ($by:literal, $rest:literal) => {
        Sql::portable(concat!(
            "SELECT ",
            $by,
            ", CAST(SUM(r.n_requests) AS BIGINT) AS n_requests, CAST(SUM(r.n_counted) AS BIGINT) AS n_counted, \
             CAST(SUM(r.n_client_errors) AS BIGINT) AS n_client_errors, \
             CAST(SUM(r.n_server_errors) AS BIGINT) AS n_server_errors, \
             CAST(SUM(r.duration_ms) AS BIGINT) AS duration_ms FROM request_days r ",
            $rest
        ))
    };
}
const BY_DAY: Sql = sums!(
    "r.day",
    "WHERE r.tenant_id = $1 AND $2 <= r.day AND r.day <= $3 AND COALESCE($4, r.caller_id) = r.caller_id \
     GROUP BY r.day ORDER BY r.day"
);
const BY_CALLER: Sql = sums!(
    "r.caller_id, r.is_key, COALESCE(k.name, u.name) AS name, k.prefix",
    "LEFT JOIN api_keys k ON k.api_key_id = r.caller_id AND k.tenant_id = r.tenant_id \
     LEFT JOIN users u ON u.user_id = r.caller_id AND u.tenant_id = r.tenant_id \
     WHERE r.tenant_id = $1 AND $2 <= r.day AND r.day <= $3 AND COALESCE($4, r.caller_id) = r.caller_id \
     GROUP BY r.caller_id, r.is_key, k.name, u.name, k.prefix ORDER BY 5 DESC, r.caller_id"
);

const DOING_NOTE: &str = "note requests";
const DOING_READ: &str = "read the days of requests";

#[derive(FromRow)]
struct StoredDay {
    day: i64,
    #[sqlx(flatten)]
    counts: RequestCounts,
}

impl Store {
    /// Notes requests: those of the list one by one, and all of them by day.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they are not certain to be noted; what is noted twice is counted twice.
    pub async fn note_requests(
        &self,
        entries: &[RequestEntry],
        sums: &[(Requester, i64, RequestCounts)],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write(DOING_NOTE).await?;
        tx.log_requests(entries).await.map_err(StoreError::database(DOING_NOTE))?;
        tx.count_requests(sums).await.map_err(StoreError::database(DOING_NOTE))?;
        tx.commit(DOING_NOTE).await
    }
}

impl Analytics<'_> {
    /// Counts requests by day, of one key or person or of all; days without any are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn requests_by_day(
        &self,
        days: TenantDays,
        caller_id: Option<Uuid>,
    ) -> Result<Vec<(i64, RequestCounts)>, StoreError> {
        let sql = BY_DAY.of(self.store.pool());
        let rows = with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, StoredDay>(sql).bind(days.tenant_id.0).bind(days.first).bind(days.last);
            query.bind(caller_id).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        Ok(rows.into_iter().map(|row| (row.day, row.counts)).collect())
    }

    /// Counts requests by key and person, most first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn requests_by_caller(
        &self,
        days: TenantDays,
        caller_id: Option<Uuid>,
    ) -> Result<Vec<RequesterCounts>, StoreError> {
        let sql = BY_CALLER.of(self.store.pool());
        with_reader!(self.store.pool(), |db| {
            let query = sqlx::query_as(sql).bind(days.tenant_id.0).bind(days.first).bind(days.last);
            query.bind(caller_id).fetch_all(db).await
        })
        .map_err(StoreError::database(DOING_READ))
    }
}

impl Tx {
    async fn log_requests(&mut self, entries: &[RequestEntry]) -> Result<(), sqlx::Error> {
        if entries.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(LOG.postgres())
                .bind(column(entries, |entry| entry.id))
                .bind(column(entries, |entry| entry.by.tenant_id.0))
                .bind(column(entries, |entry| entry.at_ms))
                .bind(column(entries, |entry| entry.by.id))
                .bind(column(entries, |entry| entry.by.is_key))
                .bind(column(entries, |entry| entry.method.as_str()))
                .bind(column(entries, |entry| entry.operation.as_str()))
                .bind(column(entries, |entry| i32::from(entry.status)))
                .bind(column(entries, |entry| entry.duration_ms))
                .bind(column(entries, |entry| entry.request_id.as_str()))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(entries, |entry| {
                    let ids = (Hex(entry.id), Hex(entry.by.tenant_id.0), Hex(entry.by.id));
                    let what = (entry.method.as_str(), entry.operation.as_str(), entry.request_id.as_str());
                    let by = (ids.2, entry.by.is_key);
                    (ids.0, ids.1, entry.at_ms, by.0, by.1, what.0, what.1, entry.status, entry.duration_ms, what.2)
                });
                sqlx::query(LOG.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }

    async fn count_requests(&mut self, sums: &[(Requester, i64, RequestCounts)]) -> Result<(), sqlx::Error> {
        let mut sums = sums.to_vec();
        // In one order, so that two nodes never wait for each other in a circle.
        sums.sort_unstable_by_key(|(by, day, _)| (*by, *day));
        if sums.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(tx) => sqlx::query(ADD.postgres())
                .bind(column(&sums, |sum| sum.0.tenant_id.0))
                .bind(column(&sums, |sum| sum.1))
                .bind(column(&sums, |sum| sum.0.id))
                .bind(column(&sums, |sum| sum.0.is_key))
                .bind(column(&sums, |sum| sum.2.n_requests))
                .bind(column(&sums, |sum| sum.2.n_counted))
                .bind(column(&sums, |sum| sum.2.n_client_errors))
                .bind(column(&sums, |sum| sum.2.n_server_errors))
                .bind(column(&sums, |sum| sum.2.duration_ms))
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => {
                let json = to_json(&sums, |(by, day, n)| {
                    let key = (Hex(by.tenant_id.0), *day, Hex(by.id), by.is_key);
                    let errors = (n.n_client_errors, n.n_server_errors);
                    (key.0, key.1, key.2, key.3, n.n_requests, n.n_counted, errors.0, errors.1, n.duration_ms)
                });
                sqlx::query(ADD.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
