//! Metrics of ownership: which partitions this node has, and what it lost.

use prometheus::{IntCounter, IntGauge};

use super::kind::metrics;

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
    }
}
