//! Metrics of the clients of Kafka.

use prometheus::{Histogram, IntGauge};

use super::kind::{SECONDS_COARSE, WordCounters, WordGauges, metrics};

metrics! {
    /// What the consumer of jobs sees.
    pub struct KafkaMetrics {
        /// Records of this node's partitions that are not durable here yet, by the client's own figures of at most 5 s ago.
        lag_records: IntGauge = "dispatcher_kafka_lag_records", ();
        /// Partitions of the job topic here: assigned, and those of them that are paused because intake is full.
        partitions: WordGauges = "dispatcher_kafka_partitions", ("state", || vec!["assigned", "paused"]);
        /// Rebalances that gave or took partitions.
        rebalances: WordCounters = "dispatcher_kafka_rebalances_total", ("kind", || vec!["assign", "revoke"]);
        /// Time from a record's own time to its job being durable here, by both clocks.
        record_age_seconds: Histogram = "dispatcher_kafka_record_age_seconds", SECONDS_COARSE;
    }
}
