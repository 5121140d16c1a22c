//! Leases of partitions: claimed, renewed, given back, each with a fence that only grows.
//!
//! All times are the database's, so nodes need not agree on theirs. Decides nothing but whether a
//! lease is free; who claims what, and when by force, is decided elsewhere.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::partition::{Fence, PartitionNo};
use crate::node::Node;
use crate::store::bind::{column, to_json};
use crate::store::tx::{Tries, Tx, with_tx};
use crate::store::{Pool, Sql, Store, StoreError};
use crate::with_reader;

/// Who claims, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    /// The node.
    pub node: &'a Node,
    /// Into how many partitions the sessions are divided.
    pub n_partitions: u16,
    /// How long the lease holds without being renewed.
    pub lease: Duration,
}

/// A partition to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The partition.
    pub partition: PartitionNo,
    /// Take it even from an owner whose lease still holds.
    pub by_force: bool,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is ours from now on.
    Granted {
        /// What our writes carry.
        fence: Fence,
        /// How long the owner before us may still be sending; nothing may be sent earlier.
        wait: Duration,
    },
    /// Its owner's lease still holds.
    Busy {
        /// The partition.
        partition: PartitionNo,
        /// The owner, for people; empty when it could not be read just now.
        owner_name: String,
        /// The owner's process, as [`Node::process`].
        owner_process: String,
    },
    /// A node is alive that divides the sessions into another number of partitions; nothing was granted.
    OtherCount {
        /// That number.
        n_partitions: u16,
        /// That node, for people.
        owner_name: String,
    },
}

/// A lease to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The lease.
    pub fence: Fence,
    /// Records of the partition that were not taken in yet, when that is known.
    pub lag: Option<i64>,
}

/// A partition, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRow {
    /// The partition.
    pub partition: PartitionNo,
    /// Its fence.
    pub fence: i64,
    /// Its owner; none when it was given back.
    pub owner_name: Option<String>,
    /// How long the lease still holds; negative since it ran out, milliseconds.
    pub lease_left_ms: i64,
    /// When it was last claimed, UTC milliseconds of the database.
    pub claimed_at_ms: i64,
    /// Records that were not taken in yet, when that is known.
    pub lag: Option<i64>,
}

/// The database's clock, UTC milliseconds, in the words of each dialect.
macro_rules! now_ms {
    (postgres) => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::int8"
    };
    (sqlite) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}

const MAKE: Sql = Sql::per_dialect(
    "INSERT INTO partitions (partition_no, n_partitions, fence, leased_until_ms, claimed_at_ms) \
     SELECT no, $2, 0, 0, 0 FROM UNNEST($1::int4[]) AS no ON CONFLICT DO NOTHING",
    "INSERT INTO partitions (partition_no, n_partitions, fence, leased_until_ms, claimed_at_ms) \
     SELECT value, $2, 0, 0, 0 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
);

/// A row that a journal is just using is left out and tried later: its node may stand still in the middle of a
/// transaction, and our own renewals must not wait for that.
const LOCK: Sql = Sql::per_dialect(
    concat!(
        "SELECT partition_no, fence, owner_id, owner_name, owner_process, leased_until_ms - ",
        now_ms!(postgres),
        " AS left_ms FROM partitions WHERE partition_no = ANY($1) ORDER BY partition_no FOR UPDATE SKIP LOCKED"
    ),
    concat!(
        "SELECT partition_no, fence, owner_id, owner_name, owner_process, leased_until_ms - ",
        now_ms!(sqlite),
        " AS left_ms FROM partitions WHERE partition_no IN (SELECT value FROM json_each($1))"
    ),
);

const OTHER_COUNT: Sql = Sql::per_dialect(
    concat!(
        "SELECT n_partitions, owner_name FROM partitions \
         WHERE n_partitions <> $1 AND owner_id IS NOT NULL AND ",
        now_ms!(postgres),
        " < leased_until_ms LIMIT 1"
    ),
    concat!(
        "SELECT n_partitions, owner_name FROM partitions \
         WHERE n_partitions <> $1 AND owner_id IS NOT NULL AND ",
        now_ms!(sqlite),
        " < leased_until_ms LIMIT 1"
    ),
);

const CLAIM: Sql = Sql::per_dialect(
    concat!(
        "UPDATE partitions SET fence = fence + 1, n_partitions = $2, owner_id = $3, owner_name = $4, \
             owner_process = $5, leased_until_ms = ",
        now_ms!(postgres),
        " + $6, claimed_at_ms = ",
        now_ms!(postgres),
        ", lag = NULL WHERE partition_no = ANY($1)"
    ),
    concat!(
        "UPDATE partitions SET fence = fence + 1, n_partitions = $2, owner_id = $3, owner_name = $4, \
             owner_process = $5, leased_until_ms = ",
        now_ms!(sqlite),
        " + $6, claimed_at_ms = ",
        now_ms!(sqlite),
        ", lag = NULL WHERE partition_no IN (SELECT value FROM json_each($1))"
    ),
);

const RENEW: Sql = Sql::per_dialect(
    concat!(
        "UPDATE partitions AS p SET lag = u.lag, leased_until_ms = ",
        now_ms!(postgres),
        " + $4 FROM UNNEST($1::int4[], $2::int8[], $3::int8[]) AS u (partition_no, fence, lag) \
         WHERE p.partition_no = u.partition_no AND p.fence = u.fence RETURNING p.partition_no, p.fence"
    ),
    concat!(
        "UPDATE partitions AS p SET lag = u.lag, leased_until_ms = ",
        now_ms!(sqlite),
        " + $2 FROM (SELECT value ->> 0 AS partition_no, value ->> 1 AS fence, value ->> 2 AS lag FROM json_each($1)) \
             AS u \
         WHERE p.partition_no = u.partition_no AND p.fence = u.fence RETURNING partition_no, fence"
    ),
);

const RELEASE: Sql = Sql::per_dialect(
    "UPDATE partitions AS p SET owner_id = NULL, owner_name = NULL, owner_process = NULL, leased_until_ms = 0 \
     FROM UNNEST($1::int4[], $2::int8[]) AS u (partition_no, fence) \
     WHERE p.partition_no = u.partition_no AND p.fence = u.fence",
    "UPDATE partitions AS p SET owner_id = NULL, owner_name = NULL, owner_process = NULL, leased_until_ms = 0 \
     FROM (SELECT value ->> 0 AS partition_no, value ->> 1 AS fence FROM json_each($1)) AS u \
     WHERE p.partition_no = u.partition_no AND p.fence = u.fence",
);

const LIST: Sql = Sql::per_dialect(
    concat!(
        "SELECT partition_no, fence, owner_name, leased_until_ms - ",
        now_ms!(postgres),
        " AS left_ms, claimed_at_ms, lag FROM partitions ORDER BY partition_no"
    ),
    concat!(
        "SELECT partition_no, fence, owner_name, leased_until_ms - ",
        now_ms!(sqlite),
        " AS left_ms, claimed_at_ms, lag FROM partitions ORDER BY partition_no"
    ),
);

/// Holds the fences as they are until the transaction ends: nobody can claim meanwhile, but leases can be
/// renewed.
const HOLD: Sql = Sql::per_dialect(
    "SELECT partition_no, fence FROM partitions WHERE partition_no = ANY($1) ORDER BY partition_no FOR KEY SHARE",
    "SELECT partition_no, fence FROM partitions WHERE partition_no IN (SELECT value FROM json_each($1))",
);

const DOING_CLAIM: &str = "claim partitions";
const DOING_RENEW: &str = "renew leases";
const DOING_RELEASE: &str = "give leases back";
const DOING_LIST: &str = "list partitions";

#[derive(sqlx::FromRow)]
struct StoredLease {
    partition_no: i32,
    fence: i64,
    owner_id: Option<Uuid>,
    owner_name: Option<String>,
    owner_process: Option<String>,
    left_ms: i64,
}

impl StoredLease {
    fn holds(&self) -> bool {
        self.owner_id.is_some() && 0 < self.left_ms
    }

    /// Returns how long its owner may go on sending.
    fn left(&self) -> Duration {
        if self.holds() { Duration::from_millis(u64::try_from(self.left_ms).unwrap_or(0)) } else { Duration::ZERO }
    }
}

impl Store {
    /// Claims partitions: those that are free, whose lease has run out, or that are to be taken by force.
    ///
    /// Answers in the order of the requests. A claim that was granted refuses every later write of the
    /// owner before, and waits for the one under way.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was granted or the commit was not confirmed; a lease that
    /// was granted unseen runs out by itself.
    pub async fn claim_partitions(
        &self,
        claimant: Claimant<'_>,
        requests: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut tries = Tries::default();
        loop {
            let result = self.claim_partitions_once(claimant, requests).await;
            if !tries.again(&result) {
                return result;
            }
        }
    }

    async fn claim_partitions_once(
        &self,
        claimant: Claimant<'_>,
        requests: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut tx = self.begin_write(DOING_CLAIM).await?;
        let wanted = column(requests, |request| i32::from(request.partition.0));
        tx.make_partitions(&wanted, claimant.n_partitions).await.map_err(StoreError::database(DOING_CLAIM))?;
        let sql = OTHER_COUNT.of(self.pool());
        let other = with_tx!(&mut tx, |db| {
            let query = sqlx::query_as::<_, (i32, Option<String>)>(sql).bind(i32::from(claimant.n_partitions));
            query.fetch_optional(db).await
        });
        if let Some((n_partitions, owner_name)) = other.map_err(StoreError::database(DOING_CLAIM))? {
            let n_partitions = u16::try_from(n_partitions).unwrap_or(0);
            return Ok(vec![Claimed::OtherCount { n_partitions, owner_name: owner_name.unwrap_or_default() }]);
        }
        let leases = tx.lock_partitions(wanted).await.map_err(StoreError::database(DOING_CLAIM))?;
        let answers: Vec<Claimed> = requests.iter().map(|request| answer(request, &leases)).collect();
        let granted = answers.iter().filter_map(|answer| match answer {
            Claimed::Granted { fence, .. } => Some(i32::from(fence.partition.0)),
            _ => None,
        });
        let granted: Vec<i32> = granted.collect();
        tx.claim(&granted, claimant).await.map_err(StoreError::database(DOING_CLAIM))?;
        tx.commit(DOING_CLAIM).await?;
        Ok(answers)
    }

    /// Renews leases; returns those that hold. The others were claimed by somebody else.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not known whether they were renewed; safe to repeat.
    pub async fn renew_leases(&self, renewals: &[Renewal], lease: Duration) -> Result<Vec<Fence>, StoreError> {
        let lease_ms = millis(lease);
        let rows: Result<Vec<(i32, i64)>, sqlx::Error> = match self.pool() {
            Pool::Postgres(pool) => {
                sqlx::query_as(RENEW.postgres())
                    .bind(column(renewals, |renewal| i32::from(renewal.fence.partition.0)))
                    .bind(column(renewals, |renewal| renewal.fence.number))
                    .bind(column(renewals, |renewal| renewal.lag))
                    .bind(lease_ms)
                    .fetch_all(pool)
                    .await
            }
            Pool::Sqlite { writer, .. } => {
                let json = to_json(renewals, |renewal| (renewal.fence.partition.0, renewal.fence.number, renewal.lag));
                sqlx::query_as(RENEW.sqlite()).bind(json).bind(lease_ms).fetch_all(writer).await
            }
        };
        Ok(rows.map_err(StoreError::database(DOING_RENEW))?.into_iter().filter_map(fence_of).collect())
    }

    /// Gives leases back, so that nobody has to wait for their end; those claimed by others stay.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not known whether they were given back; safe to repeat.
    pub async fn release_leases(&self, fences: &[Fence]) -> Result<(), StoreError> {
        let released = match self.pool() {
            Pool::Postgres(pool) => sqlx::query(RELEASE.postgres())
                .bind(column(fences, |fence| i32::from(fence.partition.0)))
                .bind(column(fences, |fence| fence.number))
                .execute(pool)
                .await
                .map(drop),
            Pool::Sqlite { writer, .. } => {
                let json = to_json(fences, |fence| (fence.partition.0, fence.number));
                sqlx::query(RELEASE.sqlite()).bind(json).execute(writer).await.map(drop)
            }
        };
        released.map_err(StoreError::database(DOING_RELEASE))
    }

    /// Returns all partitions that were ever claimed, in their order.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the read failed.
    pub async fn partitions(&self) -> Result<Vec<PartitionRow>, StoreError> {
        type Row = (i32, i64, Option<String>, i64, i64, Option<i64>);
        let sql = LIST.of(self.pool());
        let rows = with_reader!(self.pool(), |db| sqlx::query_as::<_, Row>(sql).fetch_all(db).await)
            .map_err(StoreError::database(DOING_LIST))?;
        let row = |(no, fence, owner_name, lease_left_ms, claimed_at_ms, lag): Row| PartitionRow {
            partition: PartitionNo(u16::try_from(no).unwrap_or(u16::MAX)),
            fence,
            owner_name,
            lease_left_ms,
            claimed_at_ms,
            lag,
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

fn answer(request: &ClaimRequest, leases: &[StoredLease]) -> Claimed {
    let no = i32::from(request.partition.0);
    let partition = request.partition;
    let Some(lease) = leases.iter().find(|lease| lease.partition_no == no) else {
        return Claimed::Busy { partition, owner_name: String::new(), owner_process: String::new() };
    };
    if lease.holds() && !request.by_force {
        let (owner_name, owner_process) = (lease.owner_name.clone(), lease.owner_process.clone());
        let (owner_name, owner_process) = (owner_name.unwrap_or_default(), owner_process.unwrap_or_default());
        return Claimed::Busy { partition, owner_name, owner_process };
    }
    Claimed::Granted { fence: Fence { partition: request.partition, number: lease.fence + 1 }, wait: lease.left() }
}

fn fence_of((no, number): (i32, i64)) -> Option<Fence> {
    Some(Fence { partition: PartitionNo(u16::try_from(no).ok()?), number })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Tx {
    async fn make_partitions(&mut self, wanted: &[i32], n_partitions: u16) -> Result<(), sqlx::Error> {
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

    async fn lock_partitions(&mut self, wanted: Vec<i32>) -> Result<Vec<StoredLease>, sqlx::Error> {
        match self {
            Self::Postgres(tx) => sqlx::query_as(LOCK.postgres()).bind(wanted).fetch_all(&mut **tx).await,
            Self::Sqlite(tx) => {
                sqlx::query_as(LOCK.sqlite()).bind(to_json(&wanted, |no| *no)).fetch_all(&mut **tx).await
            }
        }
    }

    async fn claim(&mut self, granted: &[i32], claimant: Claimant<'_>) -> Result<(), sqlx::Error> {
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
