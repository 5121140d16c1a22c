//! The log of requests, read by people and forgotten after a while.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::limits::REQUEST_LOG_LOOKS_MAX;
use crate::store::analytics::Analytics;
use crate::store::analytics::requests::{RequestEntry, Requester};
use crate::store::page::PageRequest;
use crate::store::{Sql, StoreError};
use crate::with_reader;

/// Which requests are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// From this time on, UTC milliseconds.
    pub from_ms: Option<i64>,
    /// Up to this time, UTC milliseconds.
    pub to_ms: Option<i64>,
    /// Of this key or person.
    pub caller_id: Option<Uuid>,
    /// Of this method.
    pub method: Option<String>,
    /// Of this pattern of a path.
    pub operation: Option<String>,
    /// The first and the last status.
    pub status: Option<(u16, u16)>,
}

/// Some of the requests that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPage {
    /// The requests, newest first.
    pub items: Vec<RequestEntry>,
    /// How many are wanted of those that were looked at.
    pub total: u64,
    /// How far back it was looked, where there is more, UTC milliseconds.
    pub looked_back_to_ms: Option<i64>,
}

/// Those that are looked at are the newest of the tenant and of the time.
macro_rules! wanted {
    ($select:literal, $rest:literal) => {
        Sql::portable(concat!(
            "SELECT ",
            $select,
            " FROM (SELECT * FROM request_log WHERE tenant_id = $1 AND $2 <= at_ms AND at_ms <= $3 \
              ORDER BY at_ms DESC LIMIT $4) AS newest WHERE COALESCE($5, caller_id) = caller_id \
              AND COALESCE($6, method) = method AND COALESCE($7, operation) = operation \
              AND $8 <= status AND status <= $9 ",
            $rest
        ))
    };
}
const LOOK: Sql = Sql::portable(
    "SELECT COUNT(*), MIN(at_ms) FROM (SELECT at_ms FROM request_log WHERE tenant_id = $1 AND $2 <= at_ms \
         AND at_ms <= $3 ORDER BY at_ms DESC LIMIT $4) AS newest",
);
const COUNT: Sql = wanted!("COUNT(*)", "");
const LIST: Sql = wanted!("*", "ORDER BY at_ms DESC, request_log_id DESC LIMIT $10 OFFSET $11");

const DOING: &str = "read the log of requests";

#[derive(FromRow)]
struct StoredRequest {
    request_log_id: Uuid,
    tenant_id: Uuid,
    at_ms: i64,
    caller_id: Uuid,
    is_key: bool,
    method: String,
    operation: String,
    status: i32,
    duration_ms: i64,
    request_id: String,
}

impl From<StoredRequest> for RequestEntry {
    fn from(row: StoredRequest) -> Self {
        Self {
            id: row.request_log_id,
            by: Requester { tenant_id: TenantId(row.tenant_id), id: row.caller_id, is_key: row.is_key },
            at_ms: row.at_ms,
            method: row.method,
            operation: row.operation,
            status: u16::try_from(row.status).unwrap_or(0),
            duration_ms: row.duration_ms,
            request_id: row.request_id,
        }
    }
}

impl Analytics<'_> {
    /// Lists requests of a tenant, newest first, among the newest that the bound allows to look at.
    ///
    /// # Errors
    /// [`StoreError::Database`] when they could not be read.
    pub async fn request_log(
        &self,
        tenant_id: TenantId,
        filter: &RequestFilter,
        page: PageRequest,
    ) -> Result<RequestPage, StoreError> {
        let (from_ms, to_ms) = (filter.from_ms.unwrap_or(i64::MIN), filter.to_ms.unwrap_or(i64::MAX));
        let status = filter.status.map_or((0, i32::MAX), |(first, last)| (i32::from(first), i32::from(last)));
        let sql = [LOOK, COUNT, LIST].map(|sql| sql.of(self.store.pool()));
        let read: Result<_, sqlx::Error> = with_reader!(self.store.pool(), |db| async {
            let query = sqlx::query_as::<_, (i64, Option<i64>)>(sql[0]).bind(tenant_id.0).bind(from_ms).bind(to_ms);
            let look = query.bind(REQUEST_LOG_LOOKS_MAX).fetch_one(db).await?;
            let query = sqlx::query_scalar::<_, i64>(sql[1]).bind(tenant_id.0).bind(from_ms).bind(to_ms);
            let query = query.bind(REQUEST_LOG_LOOKS_MAX).bind(filter.caller_id).bind(filter.method.as_deref());
            let query = query.bind(filter.operation.as_deref()).bind(status.0).bind(status.1);
            let total = query.fetch_one(db).await?;
            let query = sqlx::query_as::<_, StoredRequest>(sql[2]).bind(tenant_id.0).bind(from_ms).bind(to_ms);
            let query = query.bind(REQUEST_LOG_LOOKS_MAX).bind(filter.caller_id).bind(filter.method.as_deref());
            let query = query.bind(filter.operation.as_deref()).bind(status.0).bind(status.1);
            let rows = query.bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await?;
            Ok((look, total, rows))
        }
        .await);
        let ((n_looked_at, oldest_ms), total, rows) = read.map_err(StoreError::database(DOING))?;
        Ok(RequestPage {
            items: rows.into_iter().map(RequestEntry::from).collect(),
            total: total.unsigned_abs(),
            looked_back_to_ms: oldest_ms.filter(|_| REQUEST_LOG_LOOKS_MAX <= n_looked_at),
        })
    }
}
