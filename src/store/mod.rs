//! SQL, and nothing but SQL: one aggregate per file, domain values in and out.
//!
//! PostgreSQL is the production store, SQLite the embedded one; the same contract suite runs on
//! both. Stores know no rules and start no work of their own. SQLite gets one writing connection
//! and several reading ones, since it has one writer anyway.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::Notify;

pub use error::StoreError;
pub use events::Recording;
pub use sql::Sql;

pub mod error;

pub mod migrate;

pub mod scratch;

pub mod sql;

pub mod page;

mod column;

pub mod tenants;

pub mod users;

pub mod tokens;

pub mod account_tokens;

pub mod mails;

pub mod team;

pub mod invitations;

pub mod api_keys;

pub mod idempotency;

pub mod sessions;

pub mod session_events;

pub mod session_qrs;

pub mod session_counters;

mod session_removal;

pub mod campaigns;

pub mod fleet;

pub mod campaign_moves;

pub mod campaign_recipients;

pub mod campaign_changes;

pub mod campaign_schedule;

pub mod campaign_stats;

pub mod campaign_progress;

pub mod realtime;

pub mod messages;

mod message_accept;

pub mod message_list;

pub mod message_control;

pub mod scheduled;

pub mod media;

pub mod templates;

pub mod conversations;

pub mod contacts;

pub mod contact_groups;

pub mod opt_outs;

mod opt_out_news;

mod repeats;

pub mod timeline;

mod bind;

mod tx;

mod counters;

mod moves;

pub mod admissions;

mod fingerprint;

mod places;

pub mod outbox;

pub mod lanes;

pub mod fronts;

pub mod lane_pages;

pub mod heads;

pub mod health;

pub mod open_work;

pub mod journal;

pub mod events;

pub mod audit;

pub mod audit_list;

pub mod suspensions;

pub mod partitions;

pub mod recovery;

mod requeue;

pub mod usage;

mod tiers;

pub mod plans;

pub mod billing;

mod reasons;

pub mod recalls;

pub mod plan_usage;

pub mod failover;

pub mod guardrails;

pub mod forecasts;

pub mod no_receipts;

pub mod webhooks;

mod webhook_feed;

pub mod webhook_claims;

pub mod webhook_queue;

pub mod webhook_history;

pub mod analytics;

pub mod retention;

pub mod erasure;

/// A pool of either database.
#[derive(Debug, Clone)]
pub enum Pool {
    /// PostgreSQL.
    Postgres(PgPool),
    /// SQLite: one writer, several readers.
    Sqlite {
        /// The only connection that writes.
        writer: SqlitePool,
        /// Connections that read.
        reader: SqlitePool,
    },
}

/// Expands the body once per database, with `$db` bound to the pool that may write.
#[macro_export]
macro_rules! with_writer {
    ($pool:expr, |$db:ident| $body:expr) => {
        match $pool {
            $crate::store::Pool::Postgres($db) => $body,
            $crate::store::Pool::Sqlite { writer: $db, .. } => $body,
        }
    };
}

/// Expands the body once per database, with `$db` bound to the pool that reads.
#[macro_export]
macro_rules! with_reader {
    ($pool:expr, |$db:ident| $body:expr) => {
        match $pool {
            $crate::store::Pool::Postgres($db) => $body,
            $crate::store::Pool::Sqlite { reader: $db, .. } => $body,
        }
    };
}

/// Tells whether a connection that rests can begin a transaction; one that can not is replaced.
///
/// When the disk is full, SQLite ends a transaction by itself; the driver then fails to roll it
/// back and believes for ever that it is open.
fn is_usable(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}

const NOW: Sql = Sql::per_dialect(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8",
    "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
);

/// The database, handed out by aggregate.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    recording: Option<Recording>,
    told: Arc<Notify>,
}

impl Store {
    /// Opens the database at `url`: `postgres://…`, or `sqlite:PATH` (made when missing).
    ///
    /// # Errors
    /// [`StoreError::Address`] when the address is of neither form, [`StoreError::Database`] when
    /// nobody answers there.
    pub async fn open(url: &str, connections_max: u32) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options =
                PgConnectOptions::from_str(url).map_err(|source| StoreError::Address(Some(source)))?.options([
                    // A node that stands still in the middle of a transaction must not hold up the others.
                    ("idle_in_transaction_session_timeout", "5000"),
                    // Our statements are short; compiling one costs more than it ever saves.
                    ("jit", "off"),
                ]);
            let pool = PgPoolOptions::new()
                .max_connections(connections_max)
                .acquire_timeout(Duration::from_secs(5))
                .connect_with(options)
                .await
                .map_err(StoreError::database("connect to PostgreSQL"))?;
            return Ok(Self::from_pool(Pool::Postgres(pool)));
        }
        if !url.starts_with("sqlite:") {
            return Err(StoreError::Address(None));
        }
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|source| StoreError::Address(Some(source)))?
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let doing = "open the SQLite file";
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .before_acquire(|connection, _| async { Ok(is_usable(connection)) }.boxed())
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(options.clone())
            .await
            .map_err(StoreError::database(doing))?;
        let reader = SqlitePoolOptions::new()
            .max_connections(connections_max)
            .before_acquire(|connection, _| async { Ok(is_usable(connection)) }.boxed())
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(options)
            .await
            .map_err(StoreError::database(doing))?;
        Ok(Self::from_pool(Pool::Sqlite { writer, reader }))
    }

    /// Wraps pools that somebody else opened. Records no events.
    #[must_use]
    pub fn from_pool(pool: Pool) -> Self {
        Self { pool, recording: None, told: Arc::default() }
    }

    /// Returns the pool.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns what wakes whoever delivers webhooks: a transaction that may have queued something was committed.
    #[must_use]
    pub fn told(&self) -> &Arc<Notify> {
        &self.told
    }

    /// Closes all connections and waits until they are closed.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Postgres(pool) => pool.close().await,
            Pool::Sqlite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
        }
    }

    /// Returns the database's time, UTC microseconds: the one that all nodes share.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it gave no answer.
    pub async fn now_us(&self) -> Result<i64, StoreError> {
        let sql = NOW.of(&self.pool);
        with_reader!(&self.pool, |db| sqlx::query_scalar(sql).fetch_one(db).await)
            .map_err(StoreError::database("ask the database for the time"))
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// [`StoreError::Database`] when none came.
    pub async fn ping(&self) -> Result<(), StoreError> {
        with_reader!(&self.pool, |db| sqlx::query("SELECT 1").execute(db).await.map(|_| ()))
            .map_err(StoreError::database("reach the database"))
    }
}
