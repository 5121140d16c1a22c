//! What this node does about each partition: wait for it, restore it, hold it, hand it back.
//!
//! Plain values; claims, renewals and waiting are elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::dispatch::lease::Lease;
use crate::domain::partition::{Fence, PartitionNo};
use crate::store::partitions::{ClaimRequest, ClaimTerms};

#[derive(Debug)]
enum Phase {
    /// Wanted here, and not ours yet.
    Waiting { since: Moment },
    /// Ours; its lanes are being brought back.
    Restoring(Arc<Lease>),
    /// Ours, with all its lanes.
    Held(Arc<Lease>),
    /// Its lanes finish; so many shards have some left.
    Closing { lease: Arc<Lease>, n_shards_left: usize },
}

/// All partitions that concern this node.
#[derive(Debug)]
pub struct Book {
    n_shards: usize,
    phases: BTreeMap<PartitionNo, Phase>,
    /// Lost to another node since the queue's last word: not to be taken back by force, or two nodes that are both
    /// wrong would take it from each other for ever.
    conceded: BTreeSet<PartitionNo>,
}

impl Book {
    /// Makes an empty book for a process with so many shards.
    #[must_use]
    pub fn new(n_shards: usize) -> Self {
        Self { n_shards, phases: BTreeMap::new(), conceded: BTreeSet::new() }
    }

    /// Takes note of what is wanted here; returns the leases that are to be closed.
    pub fn want(&mut self, wanted: &BTreeSet<PartitionNo>, now: Moment) -> Vec<Arc<Lease>> {
        for partition in wanted {
            self.phases.entry(*partition).or_insert(Phase::Waiting { since: now });
        }
        self.phases.retain(|partition, phase| wanted.contains(partition) || !matches!(phase, Phase::Waiting { .. }));
        let unwanted = self.phases.iter().filter(|(partition, _)| !wanted.contains(partition));
        let open = unwanted.filter_map(|(_, phase)| match phase {
            Phase::Restoring(lease) | Phase::Held(lease) => Some(Arc::clone(lease)),
            Phase::Waiting { .. } | Phase::Closing { .. } => None,
        });
        open.collect()
    }

    /// Returns what is to be claimed: by force where an owner was waited for long enough.
    #[must_use]
    pub fn to_claim(&self, now: Moment, patience: Duration) -> Vec<ClaimRequest> {
        let waiting = self.phases.iter().filter_map(|(partition, phase)| match phase {
            Phase::Waiting { since } => Some((*partition, *since)),
            _ => None,
        });
        let request = |(partition, since)| {
            let by_force = patience <= now.since(since) && !self.conceded.contains(&partition);
            ClaimRequest { partition, terms: if by_force { ClaimTerms::ByForce } else { ClaimTerms::IfFree } }
        };
        waiting.map(request).collect()
    }

    /// Takes note that a partition went to another node against our will.
    pub fn concede(&mut self, partition: PartitionNo) {
        self.conceded.insert(partition);
    }

    /// Takes note that the queue has spoken anew: what it wants here now may be insisted on.
    pub fn insist(&mut self) {
        self.conceded.clear();
    }

    /// Takes note of a lease.
    pub fn granted(&mut self, lease: Arc<Lease>) {
        self.phases.insert(lease.fence.partition, Phase::Restoring(lease));
    }

    /// Takes note that all lanes of a lease are back.
    pub fn restored(&mut self, fence: Fence) {
        let Some(phase) = self.phases.get_mut(&fence.partition) else { return };
        if let Phase::Restoring(lease) = phase
            && lease.fence == fence
        {
            *phase = Phase::Held(Arc::clone(lease));
        }
    }

    /// Takes note that the lanes of a lease are to finish.
    pub fn closing(&mut self, fence: Fence) {
        let Some(phase) = self.phases.get_mut(&fence.partition) else { return };
        if let Phase::Restoring(lease) | Phase::Held(lease) = phase
            && lease.fence == fence
        {
            *phase = Phase::Closing { lease: Arc::clone(lease), n_shards_left: self.n_shards };
        }
    }

    /// Takes note that one more shard has no lane of a partition left.
    pub fn shard_closed(&mut self, partition: PartitionNo) {
        if let Some(Phase::Closing { n_shards_left, .. }) = self.phases.get_mut(&partition) {
            *n_shards_left = n_shards_left.saturating_sub(1);
        }
    }

    /// Returns the leases whose lanes have all finished.
    #[must_use]
    pub fn closed(&self) -> Vec<Fence> {
        let closed = self.phases.values().filter_map(|phase| match phase {
            Phase::Closing { lease, n_shards_left: 0 } => Some(lease.fence),
            _ => None,
        });
        closed.collect()
    }

    /// Forgets a lease that was given back; if its partition is wanted, it is waited for anew.
    pub fn given_back(&mut self, fence: Fence) {
        self.phases.remove(&fence.partition);
    }

    /// Tells whether a lease is ours and its lanes are not told to finish.
    #[must_use]
    pub fn is_open(&self, fence: Fence) -> bool {
        matches!(self.phases.get(&fence.partition),
            Some(Phase::Restoring(lease) | Phase::Held(lease)) if lease.fence == fence)
    }

    /// Returns all leases, in order of their partitions.
    #[must_use]
    pub fn leases(&self) -> Vec<Arc<Lease>> {
        let leases = self.phases.values().filter_map(|phase| match phase {
            Phase::Restoring(lease) | Phase::Held(lease) | Phase::Closing { lease, .. } => Some(Arc::clone(lease)),
            Phase::Waiting { .. } => None,
        });
        leases.collect()
    }

    /// Returns how many partitions are ours with all their lanes.
    #[must_use]
    pub fn n_held(&self) -> usize {
        self.phases.values().filter(|phase| matches!(phase, Phase::Held(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionNo = PartitionNo(3);
    const NOW: Moment = Moment(1_800_000_000_000_000_000);
    const PATIENCE: Duration = Duration::from_secs(10);

    fn lease(number: i64) -> Arc<Lease> {
        Lease::new(Fence { partition: P, number }, NOW)
    }

    fn held(number: i64) -> Book {
        let mut book = Book::new(2);
        assert!(book.want(&BTreeSet::from([P]), NOW).is_empty());
        book.granted(lease(number));
        book.restored(Fence { partition: P, number });
        book
    }

    #[test]
    fn an_owner_is_waited_for_and_then_overruled() {
        let mut book = Book::new(2);
        book.want(&BTreeSet::from([P]), NOW);
        let request = |terms| vec![ClaimRequest { partition: P, terms }];
        assert_eq!(book.to_claim(NOW, PATIENCE), request(ClaimTerms::IfFree));
        book.want(&BTreeSet::from([P]), NOW + PATIENCE / 2);
        assert_eq!(book.to_claim(NOW + PATIENCE, PATIENCE), request(ClaimTerms::ByForce));
        book.concede(P);
        assert_eq!(book.to_claim(NOW + PATIENCE, PATIENCE), request(ClaimTerms::IfFree));
        book.insist();
        assert_eq!(book.to_claim(NOW + PATIENCE, PATIENCE), request(ClaimTerms::ByForce));
        book.want(&BTreeSet::new(), NOW);
        assert_eq!(book.to_claim(NOW + PATIENCE, PATIENCE), []);
    }

    #[test]
    fn a_lease_is_given_back_when_every_shard_has_finished() {
        let mut book = held(7);
        assert_eq!(book.n_held(), 1);
        let unwanted = book.want(&BTreeSet::new(), NOW);
        assert_eq!(unwanted.len(), 1);
        book.closing(unwanted[0].fence);
        book.shard_closed(P);
        assert_eq!(book.closed(), []);
        book.shard_closed(P);
        assert_eq!(book.closed(), [Fence { partition: P, number: 7 }]);
    }

    #[test]
    fn a_partition_that_comes_back_is_claimed_only_after_it_was_given_back() {
        let mut book = held(7);
        for lease in book.want(&BTreeSet::new(), NOW) {
            book.closing(lease.fence);
        }
        assert!(book.want(&BTreeSet::from([P]), NOW).is_empty());
        assert_eq!(book.to_claim(NOW, PATIENCE), []);
        book.given_back(Fence { partition: P, number: 7 });
        book.want(&BTreeSet::from([P]), NOW);
        assert_eq!(book.to_claim(NOW, PATIENCE).len(), 1);
    }

    #[test]
    fn what_is_said_of_an_older_lease_changes_nothing() {
        let mut book = held(7);
        let older = Fence { partition: P, number: 6 };
        book.closing(older);
        assert!(!book.is_open(older));
        assert!(book.is_open(Fence { partition: P, number: 7 }));
    }
}
