//! Metrics of ownership: which partitions this node has, and what it lost.

use prometheus::{Histogram, IntCounter, IntGauge};

use super::kind::{SECONDS_FINE, metrics};

metrics! {
    /// What this node owns.
    pub struct OwnershipMetrics {
        /// Partitions owned, with all their lanes.
        partitions: IntGauge = "dispatcher_ownership_partitions", ();
        /// Partitions claimed.
        claims: IntCounter = "dispatcher_ownership_claims_total", ();
        /// Partitions that another node claimed while this one still held them.
        lost: IntCounter = "dispatcher_ownership_lost_total", ();
        /// Renewals of leases that failed.
        renewal_failures: IntCounter = "dispatcher_ownership_renewal_failures_total", ();
        /// Attempts that were found under way after a claim, and are unknown now.
        orphaned: IntCounter = "dispatcher_ownership_orphaned_total", ();
        /// Time from a claim to its lanes being open, the wait for the last owner's lease included.
        restore_seconds: Histogram = "dispatcher_ownership_restore_seconds", SECONDS_FINE;
    }
}
