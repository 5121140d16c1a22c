//! Who looks on, and what happens to those tenants: put down by the transaction that makes it happen, read by every node
//! on which somebody listens.
//!
//! At most once and for seconds only. Nothing is written for a tenant to whom nobody listens: the look for webhooks
//! ([`crate::store::webhook_feed`]) finds the listeners in the same round trip.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::domain::id::TenantId;
use crate::domain::realtime::RealtimeEvent;
use crate::limits::{REALTIME_NEWS_PER_ROW_MAX, REALTIME_ROWS_MAX};
use crate::store::bind::{Hex, column, hex_list, to_json};
use crate::store::sql::now_ms;
use crate::store::tx::Tx;
use crate::store::{Pool, Sql, Store, StoreError};

/// How long a node that says nothing more counts as one that listens, milliseconds.
const LISTENING_MS: i64 = 20_000;

const LISTEN: Sql = Sql::per_dialect(
    concat!(
        "INSERT INTO realtime_listeners (tenant_id, node_id, until_ms) \
         SELECT u.tenant_id, $2, $3 + ",
        now_ms!(postgres),
        " FROM UNNEST($1::uuid[]) AS u (tenant_id) ORDER BY u.tenant_id \
         ON CONFLICT (tenant_id, node_id) DO UPDATE SET until_ms = EXCLUDED.until_ms"
    ),
    concat!(
        "INSERT INTO realtime_listeners (tenant_id, node_id, until_ms) \
         SELECT unhex(value), $2, $3 + ",
        now_ms!(sqlite),
        " FROM json_each($1) WHERE true \
         ON CONFLICT (tenant_id, node_id) DO UPDATE SET until_ms = EXCLUDED.until_ms"
    ),
);
const UNLISTEN: Sql = Sql::per_dialect(
    "DELETE FROM realtime_listeners WHERE node_id = $2 AND tenant_id = ANY($1)",
    "DELETE FROM realtime_listeners WHERE node_id = $2 AND tenant_id IN (SELECT unhex(value) FROM json_each($1))",
);
const RECORD: Sql = Sql::per_dialect(
    concat!(
        "INSERT INTO realtime_feed (feed_id, tenant_id, created_at_ms, news) SELECT u.feed_id, u.tenant_id, ",
        now_ms!(postgres),
        ", u.news FROM UNNEST($1::uuid[], $2::uuid[], $3::text[]) AS u (feed_id, tenant_id, news)"
    ),
    concat!(
        "INSERT INTO realtime_feed (feed_id, tenant_id, created_at_ms, news) \
         SELECT unhex(value ->> 0), unhex(value ->> 1), ",
        now_ms!(sqlite),
        ", value ->> 2 FROM json_each($1)"
    ),
);
/// Rows become visible when their transaction commits, not in the order of their times: so the last seconds are looked at
/// again and again, without those that were seen.
const FEED: Sql = Sql::per_dialect(
    concat!(
        "SELECT feed_id, tenant_id, news FROM realtime_feed WHERE created_at_ms > ",
        now_ms!(postgres),
        " - $4 AND tenant_id = ANY($1) AND feed_id NOT IN (SELECT UNNEST($2)) ORDER BY created_at_ms, feed_id LIMIT $3"
    ),
    concat!(
        "SELECT feed_id, tenant_id, news FROM realtime_feed WHERE created_at_ms > ",
        now_ms!(sqlite),
        " - $4 AND tenant_id IN (SELECT unhex(value) FROM json_each($1)) \
         AND feed_id NOT IN (SELECT unhex(value) FROM json_each($2)) ORDER BY created_at_ms, feed_id LIMIT $3"
    ),
);
const FORGET: Sql = Sql::per_dialect(
    concat!("DELETE FROM realtime_feed WHERE created_at_ms < ", now_ms!(postgres), " - $1"),
    concat!("DELETE FROM realtime_feed WHERE created_at_ms < ", now_ms!(sqlite), " - $1"),
);
const FORGET_LISTENERS: Sql = Sql::per_dialect(
    concat!("DELETE FROM realtime_listeners WHERE until_ms < ", now_ms!(postgres)),
    concat!("DELETE FROM realtime_listeners WHERE until_ms < ", now_ms!(sqlite)),
);

const DOING_LISTEN: &str = "note who looks on";
const DOING_READ: &str = "read what happens";
const DOING_FORGET: &str = "forget what happened";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RealtimeNews {
    /// What is told of it.
    pub event: RealtimeEvent,
    /// The message, session or campaign: of two news of one subject the later counts.
    pub subject_id: Uuid,
    /// What else is to be known; null for campaigns, which are read.
    pub data: Value,
}

/// What one transaction made happen to a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct RealtimeRow {
    /// Its id.
    pub feed_id: Uuid,
    /// To whom it happened.
    pub tenant_id: TenantId,
    /// What, in order.
    pub news: Vec<RealtimeNews>,
}

impl Store {
    /// Notes that somebody listens to tenants on a node; to be repeated every few seconds.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn listen_to(&self, tenants: &[TenantId], node_id: Uuid) -> Result<(), StoreError> {
        let ids = column(tenants, |tenant_id| tenant_id.0);
        let done = match self.pool() {
            Pool::Postgres(pool) => {
                let query = sqlx::query(LISTEN.postgres()).bind(ids).bind(node_id).bind(LISTENING_MS);
                query.execute(pool).await.map(drop)
            }
            Pool::Sqlite { writer, .. } => {
                let query = sqlx::query(LISTEN.sqlite()).bind(hex_list(&ids)).bind(node_id).bind(LISTENING_MS);
                query.execute(writer).await.map(drop)
            }
        };
        done.map_err(StoreError::database(DOING_LISTEN))
    }

    /// Notes that nobody listens to tenants on a node any more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn unlisten_to(&self, tenants: &[TenantId], node_id: Uuid) -> Result<(), StoreError> {
        let ids = column(tenants, |tenant_id| tenant_id.0);
        let done = match self.pool() {
            Pool::Postgres(pool) => {
                sqlx::query(UNLISTEN.postgres()).bind(ids).bind(node_id).execute(pool).await.map(drop)
            }
            Pool::Sqlite { writer, .. } => {
                sqlx::query(UNLISTEN.sqlite()).bind(hex_list(&ids)).bind(node_id).execute(writer).await.map(drop)
            }
        };
        done.map_err(StoreError::database(DOING_LISTEN))
    }

    /// Reads what happened to tenants in the last `age_ms` and was not seen yet, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read.
    pub async fn realtime_news(
        &self,
        tenants: &[TenantId],
        seen: &[Uuid],
        age_ms: i64,
    ) -> Result<Vec<RealtimeRow>, StoreError> {
        let (ids, limit) = (column(tenants, |tenant_id| tenant_id.0), i64::from(REALTIME_ROWS_MAX));
        let rows: Result<Vec<(Uuid, Uuid, String)>, _> = match self.pool() {
            Pool::Postgres(pool) => {
                let query = sqlx::query_as(FEED.postgres()).bind(ids).bind(seen);
                query.bind(limit).bind(age_ms).fetch_all(pool).await
            }
            Pool::Sqlite { reader, .. } => {
                let query = sqlx::query_as(FEED.sqlite()).bind(hex_list(&ids)).bind(hex_list(seen));
                query.bind(limit).bind(age_ms).fetch_all(reader).await
            }
        };
        let row = |(feed_id, tenant_id, news): (Uuid, Uuid, String)| RealtimeRow {
            feed_id,
            tenant_id: TenantId(tenant_id),
            // What a newer version wrote is not for this one.
            news: serde_json::from_str(&news).unwrap_or_default(),
        };
        Ok(rows.map_err(StoreError::database(DOING_READ))?.into_iter().map(row).collect())
    }

    /// Forgets what happened longer ago than `age_ms`, and nodes that listen no more.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn forget_realtime(&self, age_ms: i64) -> Result<(), StoreError> {
        let (feed, listeners) = (FORGET.of(self.pool()), FORGET_LISTENERS.of(self.pool()));
        crate::with_writer!(self.pool(), |db| sqlx::query(feed).bind(age_ms).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_FORGET))?;
        crate::with_writer!(self.pool(), |db| sqlx::query(listeners).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_FORGET))
    }
}

impl Tx {
    /// Puts down what happened to those tenants to whom somebody listens; of very much at once, the beginning.
    pub(super) async fn record_realtime(
        &mut self,
        listened: &BTreeSet<TenantId>,
        news: impl Iterator<Item = (TenantId, RealtimeNews)>,
    ) -> Result<(), sqlx::Error> {
        let mut by_tenant: BTreeMap<TenantId, Vec<RealtimeNews>> = BTreeMap::new();
        for (tenant_id, news) in news.filter(|(tenant_id, _)| listened.contains(tenant_id)) {
            let row = by_tenant.entry(tenant_id).or_default();
            if row.len() < REALTIME_NEWS_PER_ROW_MAX {
                row.push(news);
            }
        }
        if by_tenant.is_empty() {
            return Ok(());
        }
        let row = |(tenant_id, news): (TenantId, Vec<RealtimeNews>)| {
            (Uuid::now_v7(), tenant_id.0, to_json(&news, |news| news.clone()))
        };
        let rows: Vec<_> = by_tenant.into_iter().map(row).collect();
        match self {
            Self::Postgres(tx) => {
                let query = sqlx::query(RECORD.postgres()).bind(column(&rows, |row| row.0));
                let query = query.bind(column(&rows, |row| row.1)).bind(column(&rows, |row| row.2.as_str()));
                query.execute(&mut **tx).await.map(drop)
            }
            Self::Sqlite(tx) => {
                let json = to_json(&rows, |row| (Hex(row.0), Hex(row.1), row.2.as_str()));
                sqlx::query(RECORD.sqlite()).bind(json).execute(&mut **tx).await.map(drop)
            }
        }
    }
}
