//! Leases of partitions: claimed, renewed, given back, each with a fence that only grows.
//!
//! All times are the database's, so nodes need not agree on theirs. Decides nothing but whether a
//! lease is free; who claims what, and when by force, is decided elsewhere.

use std::time::Duration;

use uuid::Uuid;

use self::sql::{LIST, OTHER_COUNT, RELEASE, RENEW};
use crate::domain::partition::{Fence, PartitionNo};
use crate::node::Node;
use crate::store::bind::{column, to_json};
use crate::store::tx::{Tries, with_tx};
use crate::store::{Pool, Store, StoreError};
use crate::with_reader;

mod sql;
mod write;

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
    /// On which terms.
    pub terms: ClaimTerms,
}

/// When a partition may be taken from its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimTerms {
    /// When its lease has run out or was given back.
    IfFree,
    /// In any case; what is left of its lease is waited out.
    ByForce,
    /// When it still has this fence: its owner's process is gone and sends nothing any more.
    OfGoneOwner(i64),
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
        /// Its fence.
        fence: i64,
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
    quiet_ms: i64,
    left_ms: i64,
}

impl StoredLease {
    fn holds(&self) -> bool {
        self.owner_id.is_some() && 0 < self.left_ms
    }

    /// Returns how long its owner, or one that was overruled before, may go on sending.
    fn quiet(&self, owner_is_gone: bool) -> Duration {
        let left_ms = if self.holds() && !owner_is_gone { self.left_ms } else { 0 };
        Duration::from_millis(u64::try_from(left_ms.max(self.quiet_ms)).unwrap_or(0))
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
        let (mut granted, mut of_gone) = (Vec::new(), Vec::new());
        for (request, answer) in requests.iter().zip(&answers) {
            if let Claimed::Granted { fence, .. } = answer {
                let is_gone = matches!(request.terms, ClaimTerms::OfGoneOwner(_));
                if is_gone { &mut of_gone } else { &mut granted }.push(i32::from(fence.partition.0));
            }
        }
        tx.fence_others(claimant.n_partitions).await.map_err(StoreError::database(DOING_CLAIM))?;
        tx.claim(&granted, claimant, false).await.map_err(StoreError::database(DOING_CLAIM))?;
        tx.claim(&of_gone, claimant, true).await.map_err(StoreError::database(DOING_CLAIM))?;
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
        return Claimed::Busy { partition, fence: 0, owner_name: String::new(), owner_process: String::new() };
    };
    let is_granted = match request.terms {
        ClaimTerms::IfFree => !lease.holds(),
        ClaimTerms::ByForce => true,
        ClaimTerms::OfGoneOwner(fence) => lease.fence == fence,
    };
    if !is_granted {
        let (owner_name, owner_process) = (lease.owner_name.clone(), lease.owner_process.clone());
        let (owner_name, owner_process) = (owner_name.unwrap_or_default(), owner_process.unwrap_or_default());
        return Claimed::Busy { partition, fence: lease.fence, owner_name, owner_process };
    }
    let wait = lease.quiet(matches!(request.terms, ClaimTerms::OfGoneOwner(_)));
    Claimed::Granted { fence: Fence { partition, number: lease.fence + 1 }, wait }
}

fn fence_of((no, number): (i32, i64)) -> Option<Fence> {
    Some(Fence { partition: PartitionNo(u16::try_from(no).ok()?), number })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
