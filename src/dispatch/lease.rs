//! The right to send for a partition: who has it in this process, and until when.
//!
//! The database grants it (`store/partitions.rs`); here it is only kept. A lease that was not renewed ends by
//! itself, and nothing leaves after its end, even when this process stood still and knows of nothing.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use dashmap::DashMap;

use crate::clock::{Deadline, Moment};
use crate::domain::id::SessionId;
use crate::domain::partition::{Fence, PartitionNo};

/// The lag of a partition of which it is not known.
const LAG_UNKNOWN: i64 = -1;

/// A lease of one partition.
#[derive(Debug)]
pub struct Lease {
    /// What every write of dispatch for this partition carries.
    pub fence: Fence,
    /// Until when messages may leave; moved on by each renewal.
    pub deadline: Deadline,
    closed: AtomicBool,
    lag: AtomicI64,
}

impl Lease {
    /// Makes a lease that holds until `until`.
    #[must_use]
    pub fn new(fence: Fence, until: Moment) -> Arc<Self> {
        let (deadline, closed, lag) = (Deadline::at(until), AtomicBool::new(false), AtomicI64::new(LAG_UNKNOWN));
        Arc::new(Self { fence, deadline, closed, lag })
    }

    /// Ends it for new lanes; those that are open are closed by their shards.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Tells whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Notes how many records of the partition were not taken in yet.
    pub fn set_lag(&self, lag: i64) {
        self.lag.store(lag, Ordering::Relaxed);
    }

    /// Returns how many records of the partition were not taken in yet, when that is known.
    #[must_use]
    pub fn lag(&self) -> Option<i64> {
        Some(self.lag.load(Ordering::Relaxed)).filter(|lag| *lag != LAG_UNKNOWN)
    }
}

/// The leases of this process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Leases {
    n_partitions: NonZeroU16,
    held: Arc<DashMap<PartitionNo, Arc<Lease>>>,
}

impl Leases {
    /// Makes an empty book for sessions divided into `n_partitions`.
    #[must_use]
    pub fn new(n_partitions: NonZeroU16) -> Self {
        Self { n_partitions, held: Arc::default() }
    }

    /// Returns into how many partitions the sessions are divided.
    #[must_use]
    pub fn n_partitions(&self) -> NonZeroU16 {
        self.n_partitions
    }

    /// Returns the leases held now.
    ///
    /// Whoever reads a lane from the database in order to open it takes them *before* it reads: a lane read
    /// earlier may not show how far its last owner went.
    #[must_use]
    pub fn held(&self) -> HeldLeases {
        let leases = self.held.iter().map(|lease| (*lease.key(), Arc::clone(&lease))).collect();
        HeldLeases { n_partitions: self.n_partitions, leases }
    }

    /// Returns the lease of a partition, if this process has it.
    #[must_use]
    pub fn of(&self, partition: PartitionNo) -> Option<Arc<Lease>> {
        self.held.get(&partition).map(|lease| Arc::clone(&lease))
    }

    /// Tells whether this process owns the lane of a session.
    #[must_use]
    pub fn owns(&self, session_id: SessionId) -> bool {
        self.held.contains_key(&PartitionNo::of(session_id, self.n_partitions))
    }

    /// Adds a lease, unless it was closed meanwhile.
    pub fn add(&self, lease: &Arc<Lease>) {
        self.held.insert(lease.fence.partition, Arc::clone(lease));
        if lease.is_closed() {
            self.remove(lease);
        }
    }

    /// Takes a lease away; it opens no lanes any more.
    pub fn remove(&self, lease: &Lease) {
        lease.close();
        self.held.remove_if(&lease.fence.partition, |_, held| held.fence == lease.fence);
    }
}

/// The leases held at one moment.
#[derive(Debug, Clone)]
pub struct HeldLeases {
    n_partitions: NonZeroU16,
    leases: HashMap<PartitionNo, Arc<Lease>>,
}

impl HeldLeases {
    /// Returns the lease under which a session's lane runs here; `None` when another node owns it.
    #[must_use]
    pub fn of_session(&self, session_id: SessionId) -> Option<Arc<Lease>> {
        self.leases.get(&PartitionNo::of(session_id, self.n_partitions)).map(Arc::clone)
    }
}
