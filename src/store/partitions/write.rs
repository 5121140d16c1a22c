//! What a transaction does with leases: makes rows, locks, claims, holds fences.

use super::sql::{CLAIM, FENCE_OTHERS, HOLD, LOCK, MAKE};
use super::{Claimant, StoredLease, fence_of, millis};
use crate::domain::partition::Fence;
use crate::store::StoreError;
use crate::store::bind::{column, to_json};
use crate::store::tx::Tx;

impl Tx {
    pub(super) async fn make_partitions(&mut self, wanted: &[i32], n_partitions: u16) -> Result<(), sqlx::Error> {
        let n_partitions = i32::from(n_partitions);
        match self {
            Self::Postgres(tx) => {
                sqlx::query(MAKE.postgres()).bind(wanted).bind(n_partitions).execute(&mut **tx).await.map(drop)
            }
            Self::Sqlite(tx) => {
                let json = to_json(wanted, |no| *no);
                sqlx::query(MAKE.sqlite()).bind(json).bind(n_partitions).execute(&mut **tx).await.map(drop)
            }
        }
    }

    /// Fences the owners of leases by another count of partitions off; all of those have run out.
    pub(super) async fn fence_others(&mut self, n_partitions: u16) -> Result<(), sqlx::Error> {
        let n_partitions = i32::from(n_partitions);
        match self {
            Self::Postgres(tx) => {
                sqlx::query(FENCE_OTHERS.postgres()).bind(n_partitions).execute(&mut **tx).await.map(drop)
            }
            Self::Sqlite(tx) => {
                sqlx::query(FENCE_OTHERS.sqlite()).bind(n_partitions).execute(&mut **tx).await.map(drop)
            }
        }
    }

    pub(super) async fn lock_partitions(&mut self, wanted: Vec<i32>) -> Result<Vec<StoredLease>, sqlx::Error> {
        match self {
            Self::Postgres(tx) => sqlx::query_as(LOCK.postgres()).bind(wanted).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => {
                sqlx::query_as(LOCK.sqlite()).bind(to_json(&wanted, |no| *no)).fetch_all(&mut **tx).await
            }
        }
    }

    pub(super) async fn claim(
        &mut self,
        granted: &[i32],
        claimant: Claimant<'_>,
        owner_is_gone: bool,
    ) -> Result<(), sqlx::Error> {
        if granted.is_empty() {
            return Ok(());
        }
        let Claimant { node, n_partitions, lease } = claimant;
        let (sql, json) = (&CLAIM, to_json(granted, |no| *no));
        match self {
            Self::Postgres(tx) => sqlx::query(sql.postgres())
                .bind(granted)
                .bind(i32::from(n_partitions))
                .bind(node.id)
                .bind(&node.name)
                .bind(&node.process)
                .bind(millis(lease))
                .bind(owner_is_gone)
                .execute(&mut **tx)
                .await
                .map(drop),
            Self::Sqlite(tx) => sqlx::query(sql.sqlite())
                .bind(json)
                .bind(i32::from(n_partitions))
                .bind(node.id)
                .bind(&node.name)
                .bind(&node.process)
                .bind(millis(lease))
                .bind(owner_is_gone)
                .execute(&mut **tx)
                .await
                .map(drop),
        }
    }

    /// Returns which of the fences are stale; the others stay as they are until the transaction ends.
    /// To be called before anything else is locked.
    pub(crate) async fn stale_fences(
        &mut self,
        fences: &[Fence],
        doing: &'static str,
    ) -> Result<Vec<Fence>, StoreError> {
        if fences.is_empty() {
            return Ok(Vec::new());
        }
        let mut wanted = column(fences, |fence| i32::from(fence.partition.0));
        wanted.sort_unstable();
        wanted.dedup();
        let rows: Vec<(i32, i64)> = match self {
            Self::Postgres(tx) => sqlx::query_as(HOLD.postgres()).bind(wanted).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => {
                sqlx::query_as(HOLD.sqlite()).bind(to_json(&wanted, |no| *no)).fetch_all(&mut **tx).await
            }
        }
        .map_err(StoreError::database(doing))?;
        let current: Vec<Fence> = rows.into_iter().filter_map(fence_of).collect();
        Ok(fences.iter().filter(|fence| !current.contains(fence)).copied().collect())
    }
}
