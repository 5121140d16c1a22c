//! A transaction that writes, on either database.
//!
//! Every write of the message path waits for its rows in the same order — accounts of payments,
//! single messages in the outbox, subscriptions, plans, orders, coupons,
//! recalls, fences, campaigns, streams, jobs, deliveries, usage, tiers, tenants, attempts, counters of sessions, lanes,
//! conversations, outbox, reasons, counters of campaigns, numbers of invoices, and by id within each — so two of them never wait for each other in a circle. The journal alone comes to streams late, and passes over those
//! that are held instead of waiting.
//!
//! One circle is left: usage without a limit is only added to, behind the tiers, so a tenant that gets its first limit just
//! then may be waited for out of turn. PostgreSQL ends one of the two, and [`Tries`] begins it again. Knows no tables.

use sqlx::{Postgres, Sqlite, Transaction};

use crate::limits::WRITE_TRIES_MAX;
use crate::store::{Pool, Store, StoreError};

/// PostgreSQL begins with this where rows are reached by their keys.
///
/// The planner knows a fast-growing table as it was a minute ago: an empty one, worth a full scan.
/// Plans of prepared statements outlive that minute, so scans and hashing are ruled out.
macro_rules! by_key {
    ($begin:literal) => {
        concat!(
            $begin,
            "; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off; \
             SET LOCAL enable_mergejoin = off"
        )
    };
}

/// An open transaction; rolled back unless committed.
#[derive(Debug)]
pub(crate) enum Tx {
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
    /// On SQLite, by its only writer.
    Sqlite(Transaction<'static, Sqlite>),
}

/// Expands the body once per database, with `$db` bound to the connection of a [`Tx`].
macro_rules! with_tx {
    ($tx:expr, |$db:ident| $body:expr) => {
        match $tx {
            $crate::store::tx::Tx::Postgres(tx) => {
                let $db = &mut **tx;
                $body
            }
            $crate::store::tx::Tx::Sqlite(tx) => {
                let $db = &mut **tx;
                $body
            }
        }
    };
}
pub(crate) use with_tx;

impl Store {
    /// Begins a transaction that writes.
    pub(crate) async fn begin_write(&self, doing: &'static str) -> Result<Tx, StoreError> {
        match self.pool() {
            Pool::Postgres(pool) => pool.begin_with(by_key!("BEGIN")).await.map(Tx::Postgres),
            Pool::Sqlite { writer, .. } => writer.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
        }
        .map_err(StoreError::database(doing))
    }

    /// Begins a transaction that reads rows by their keys.
    pub(crate) async fn begin_read(&self, doing: &'static str) -> Result<Tx, StoreError> {
        match self.pool() {
            Pool::Postgres(pool) => pool.begin_with(by_key!("BEGIN")).await.map(Tx::Postgres),
            Pool::Sqlite { reader, .. } => reader.begin().await.map(Tx::Sqlite),
        }
        .map_err(StoreError::database(doing))
    }

    /// Begins a transaction that reads rows by their keys, all as of one moment.
    pub(crate) async fn begin_snapshot_by_key(&self, doing: &'static str) -> Result<Tx, StoreError> {
        match self.pool() {
            Pool::Postgres(pool) => {
                let begin = by_key!("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
                pool.begin_with(begin).await.map(Tx::Postgres)
            }
            Pool::Sqlite { reader, .. } => reader.begin().await.map(Tx::Sqlite),
        }
        .map_err(StoreError::database(doing))
    }

    /// Begins a transaction that reads everything as of one moment, and with one process: those that write need the others.
    pub(crate) async fn begin_snapshot(&self, doing: &'static str) -> Result<Tx, StoreError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL max_parallel_workers_per_gather = 0";
        match self.pool() {
            Pool::Postgres(pool) => pool.begin_with(begin).await.map(Tx::Postgres),
            Pool::Sqlite { reader, .. } => reader.begin().await.map(Tx::Sqlite),
        }
        .map_err(StoreError::database(doing))
    }
}

impl Tx {
    /// Commits; on an error it is not known whether it was.
    pub(crate) async fn commit(self, doing: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Postgres(tx) => tx.commit().await,
            Self::Sqlite(tx) => tx.commit().await,
        }
        .map_err(StoreError::database(doing))
    }

    /// Takes everything back, and lets go of the rows before anything else is done.
    pub(crate) async fn rollback(self, doing: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Postgres(tx) => tx.rollback().await,
            Self::Sqlite(tx) => tx.rollback().await,
        }
        .map_err(StoreError::database(doing))
    }
}

/// Counts the tries at one transaction.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Tells whether the transaction is to be tried again: others were in its way, and it was not
    /// tried [`WRITE_TRIES_MAX`] times yet.
    pub(crate) fn again<T>(&mut self, result: &Result<T, StoreError>) -> bool {
        self.0 += 1;
        matches!(result, Err(error) if error.is_conflict()) && self.0 < WRITE_TRIES_MAX
    }
}
