//! Metrics of intake: jobs taken in, deliveries admitted, and what was turned away.

use prometheus::{Histogram, IntCounter, IntGauge};

use super::kind::{SECONDS_FINE, metrics};

metrics! {
    /// What intake does.
    pub struct IntakeMetrics {
        /// Jobs taken in.
        jobs: IntCounter = "dispatcher_intake_jobs_total", ();
        /// Jobs that could not be read or admitted.
        jobs_dead: IntCounter = "dispatcher_intake_jobs_dead_total", ();
        /// Deliveries persisted.
        deliveries: IntCounter = "dispatcher_intake_deliveries_total", ();
        /// Deliveries that were there already, from a job seen before.
        duplicates: IntCounter = "dispatcher_intake_duplicates_total", ();
        /// Admissions that failed and will be tried again.
        failures: IntCounter = "dispatcher_intake_failures_total", ();
        /// Time of one admission transaction, commit included.
        admit_seconds: Histogram = "dispatcher_intake_admit_seconds", SECONDS_FINE;
        /// Whether a broker was heard from lately, 1 or 0; 0 without a broker.
        broker_connected: IntGauge = "dispatcher_intake_broker_connected", ();
        /// Jobs in the outbox that wait for intake.
        outbox_backlog: IntGauge = "dispatcher_intake_outbox_backlog", ();
    }
}
