//! Which partitions this node owns: claimed, restored, renewed, drained and given back.
//!
//! The queue says which partitions are wanted here; the lease in the database decides. So two nodes never
//! drive one session, whatever the queue's own idea of its members is. [`state`] decides, [`restore`] brings
//! the lanes back, this file waits and carries out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Moment};
use crate::dispatch::lease::Lease;
use crate::dispatch::{DispatchHandle, LeaseNews};
use crate::domain::pacing::Pacing;
use crate::domain::partition::{Fence, PartitionNo};
use crate::error::chain;
use crate::limits::PARTITIONS_MAX;
use crate::node::{Node, process_is_gone};
use crate::ownership::restore::Restore;
use crate::ownership::state::Book;
use crate::store::partitions::{ClaimRequest, ClaimTerms, Claimant, Claimed, Renewal};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

pub mod state;

pub mod restore;

/// Renewals within the time of one lease: four may fail before it ends.
const RENEWALS_PER_LEASE: u32 = 5;

/// How partitions are owned.
#[derive(Debug, Clone, Copy)]
pub struct OwnershipSettings {
    /// How long a lease holds without being renewed.
    pub lease: Duration,
    /// How long an owner that goes on renewing is waited for before its partition is taken by force.
    pub patience: Duration,
    /// Pace of sessions that have none of their own.
    pub default_pacing: Pacing,
}

/// Owns partitions for this node.
pub struct Ownership {
    /// The database.
    pub store: Store,
    /// The lanes.
    pub dispatch: DispatchHandle,
    /// The time.
    pub clock: Clock,
    /// Who we are.
    pub node: Arc<Node>,
    /// How.
    pub settings: OwnershipSettings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where restores run.
    pub tasks: TaskTracker,
}

impl Ownership {
    /// Owns what is wanted until `stop`, and gives all leases back after `release`.
    ///
    /// Between the two the lanes drain: leases are renewed, and nothing is claimed.
    pub async fn run(
        self,
        mut wanted: watch::Receiver<BTreeSet<PartitionNo>>,
        mut news: LeaseNews,
        (stop, release): (CancellationToken, CancellationToken),
    ) {
        let mut book = Book::new(self.dispatch.n_shards());
        let (restored_sender, mut restored) = mpsc::channel(usize::from(PARTITIONS_MAX));
        let beat = self.settings.lease / RENEWALS_PER_LEASE;
        let mut beat_at = Instant::now();
        loop {
            if beat_at <= Instant::now() {
                beat_at = Instant::now() + beat;
                self.renew(&mut book).await;
            }
            if !stop.is_cancelled() {
                if wanted.has_changed().unwrap_or(false) {
                    book.insist();
                }
                let now_wanted = wanted.borrow_and_update().clone();
                for lease in book.want(&now_wanted, self.clock.now()) {
                    self.close(&mut book, &lease).await;
                }
                self.claim(&mut book, &restored_sender).await;
            }
            self.give_back(&mut book).await;
            self.metrics.ownership.partitions.set(i64::try_from(book.n_held()).unwrap_or(i64::MAX));
            tokio::select! {
                biased;
                () = release.cancelled() => break,
                Some(fence) = news.stale.recv() => self.lost(&mut book, fence).await,
                Some(partition) = news.closed.recv() => book.shard_closed(partition),
                Some(fence) = restored.recv() => book.restored(fence),
                Ok(()) = wanted.changed() => {}
                () = sleep_until(beat_at) => {}
            }
        }
        let mut fences = Vec::new();
        for lease in book.leases() {
            // What still waits for a connection must not leave any more.
            lease.deadline.set(Moment::default());
            fences.push(lease.fence);
        }
        match in_time(beat, self.store.release_leases(&fences)).await {
            Ok(()) => tracing::info!(partitions = fences.len(), "leases given back"),
            Err(error) => tracing::warn!(error, "leases could not be given back, they run out by themselves"),
        }
    }

    /// Renews all leases; closes those that somebody else has claimed.
    async fn renew(&self, book: &mut Book) {
        let leases = book.leases();
        if leases.is_empty() {
            return;
        }
        let until = self.clock.now() + self.settings.lease;
        let renewals: Vec<Renewal> =
            leases.iter().map(|lease| Renewal { fence: lease.fence, lag: lease.lag() }).collect();
        let renewing = self.store.renew_leases(&renewals, self.settings.lease);
        match in_time(self.settings.lease / RENEWALS_PER_LEASE, renewing).await {
            Ok(held) => {
                let held: BTreeSet<Fence> = held.into_iter().collect();
                for lease in leases {
                    if held.contains(&lease.fence) {
                        lease.deadline.set(until);
                    } else {
                        self.lost(book, lease.fence).await;
                    }
                }
            }
            Err(error) => {
                self.metrics.ownership.renewal_failures.inc();
                tracing::warn!(error, "leases could not be renewed, sending ends with them");
            }
        }
    }

    /// Claims what is waited for, and starts to restore what was granted.
    async fn claim(&self, book: &mut Book, restored: &mpsc::Sender<Fence>) {
        let requests = book.to_claim(self.clock.now(), self.settings.patience);
        if requests.is_empty() {
            return;
        }
        let mut granted = match self.try_claim(book, &requests).await {
            Ok((granted, gone)) if gone.is_empty() => granted,
            // Nobody can be sending for an owner whose process has ended.
            Ok((mut granted, gone)) => {
                match self.try_claim(book, &gone).await {
                    Ok((taken, _)) => granted.extend(taken),
                    Err(error) => tracing::warn!(error, "partitions could not be claimed"),
                }
                granted
            }
            Err(error) => {
                tracing::warn!(error, "partitions could not be claimed, will try again");
                return;
            }
        };
        granted.sort_by_key(|(lease, wait)| (*wait, lease.fence));
        for chunk in granted.chunk_by(|a, b| a.1 == b.1) {
            let leases: Vec<Arc<Lease>> = chunk.iter().map(|(lease, _)| Arc::clone(lease)).collect();
            let restore = Restore {
                store: self.store.clone(),
                dispatch: self.dispatch.clone(),
                clock: self.clock.clone(),
                default_pacing: self.settings.default_pacing,
                leases,
                wait: chunk[0].1,
                metrics: Arc::clone(&self.metrics),
            };
            self.tasks.spawn(restore.run(restored.clone()));
        }
    }

    /// Claims once; returns the leases granted with the wait before each may be used, and claims for those whose owner's
    /// process is gone.
    async fn try_claim(
        &self,
        book: &mut Book,
        requests: &[ClaimRequest],
    ) -> Result<(Vec<(Arc<Lease>, Duration)>, Vec<ClaimRequest>), String> {
        let claimant = Claimant {
            node: &self.node,
            n_partitions: self.dispatch.leases().n_partitions().get(),
            lease: self.settings.lease,
        };
        let until = self.clock.now() + self.settings.lease;
        let (mut granted, mut gone) = (Vec::new(), Vec::new());
        let claiming = self.store.claim_partitions(claimant, requests);
        for answer in in_time(self.settings.lease / RENEWALS_PER_LEASE, claiming).await? {
            match answer {
                Claimed::Granted { fence, wait } => granted.push((self.granted(book, fence, until), wait)),
                Claimed::Busy { partition, fence, owner_name, owner_process } => {
                    if process_is_gone(&owner_process) {
                        gone.push(ClaimRequest { partition, terms: ClaimTerms::OfGoneOwner(fence) });
                    } else {
                        tracing::debug!(partition = partition.0, owner = owner_name, "partition is still leased");
                    }
                }
                Claimed::OtherCount { n_partitions, owner_name } => tracing::error!(
                    n_partitions,
                    owner = owner_name,
                    "a node is running with another number of partitions, nothing is claimed"
                ),
            }
        }
        Ok((granted, gone))
    }

    fn granted(&self, book: &mut Book, fence: Fence, until: Moment) -> Arc<Lease> {
        let lease = Lease::new(fence, until);
        book.granted(Arc::clone(&lease));
        self.metrics.ownership.claims.inc();
        tracing::info!(partition = fence.partition.0, fence = fence.number, "partition claimed");
        lease
    }

    /// Takes note that somebody else has claimed a partition: nothing more leaves for it.
    async fn lost(&self, book: &mut Book, fence: Fence) {
        let Some(lease) = book.leases().into_iter().find(|lease| lease.fence == fence) else { return };
        lease.deadline.set(Moment::default());
        if book.is_open(fence) {
            self.metrics.ownership.lost.inc();
            book.concede(fence.partition);
            tracing::warn!(partition = fence.partition.0, fence = fence.number, "partition lost to another node");
            self.close(book, &lease).await;
        }
    }

    /// Hands a partition back: its lanes finish what is on the wire, then the lease is given back.
    async fn close(&self, book: &mut Book, lease: &Arc<Lease>) {
        book.closing(lease.fence);
        self.dispatch.leases().remove(lease);
        self.dispatch.close_partition(lease.fence.partition).await;
    }

    /// Gives back the leases of partitions of which no lane is left.
    async fn give_back(&self, book: &mut Book) {
        let closed = book.closed();
        if closed.is_empty() {
            return;
        }
        // What the lanes have left in the journal was written before they were closed, but for places in
        // streams, which may be lost: they are only a shortcut.
        match in_time(self.settings.lease / RENEWALS_PER_LEASE, self.store.release_leases(&closed)).await {
            Ok(()) => {
                for fence in closed {
                    book.given_back(fence);
                    tracing::info!(partition = fence.partition.0, fence = fence.number, "partition given back");
                }
            }
            Err(error) => tracing::warn!(error, "leases could not be given back, will try again"),
        }
    }
}

/// Waits for the database for at most so long: a connection that is half open must not hold up the leases.
async fn in_time<T>(limit: Duration, asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer.map_err(|error| chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}
