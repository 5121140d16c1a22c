//! Metrics of the way to the topic of events.

use prometheus::{IntCounter, IntGauge};

use super::kind::metrics;

metrics! {
    /// What the relay of events does.
    pub struct EventMetrics {
        /// Changes of state written to the topic, repeats included.
        relayed: IntCounter = "dispatcher_events_relayed_total", ();
        /// Passes that failed and will be tried again.
        failures: IntCounter = "dispatcher_events_failures_total", ();
        /// Transactions of all nodes whose changes are not on the topic yet.
        backlog: IntGauge = "dispatcher_events_backlog", ();
    }
}
