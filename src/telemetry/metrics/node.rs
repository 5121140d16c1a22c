//! Metrics of this process as a whole.

use prometheus::Histogram;

use super::kind::{SECONDS_FINE, WordGauges, metrics};

metrics! {
    /// What the process is and how it gets on.
    pub struct NodeMetrics {
        /// Always 1, with the version that runs.
        build_info: WordGauges = "dispatcher_build_info", ("version", || vec![env!("CARGO_PKG_VERSION")]);
        /// How late a timer of 100 ms fired: what everything else here is late by at least.
        timer_lag_seconds: Histogram = "dispatcher_node_timer_lag_seconds", SECONDS_FINE;
    }
}
