//! Every metric of the daemon, one struct per part, handles cached in the fields.
//!
//! A field's doc comment is its help text, its literal is its name: `dispatcher_<part>_<what>_<unit>`,
//! base units, `_total` at the end of counters. Labels come from enums of the code, never from ids.
//! Reading a cached handle costs 2 ns; looking one up by its labels costs ten times that.

use std::sync::Arc;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, Registry, TextEncoder};

pub use api::ApiMetrics;
pub use dispatch::{DispatchMetrics, OutcomeCounters, ReceiptCounters};
pub use events::EventMetrics;
pub use fleet::FleetMetrics;
pub use intake::IntakeMetrics;
pub use kafka::KafkaMetrics;
pub use kind::Described;
pub use node::NodeMetrics;
pub use ownership::OwnershipMetrics;
pub use webhooks::WebhookMetrics;

mod api;
mod dispatch;
mod elapsed;
mod events;
mod fleet;
mod intake;
mod kafka;
mod kind;
mod node;
mod ownership;
mod webhooks;

pub mod catalogue;

pub mod live;

/// All metrics and the registry they are in.
#[derive(Debug)]
pub struct Metrics {
    /// What the process is and how it gets on.
    pub node: NodeMetrics,
    /// How sessions, campaigns and plans stand.
    pub fleet: FleetMetrics,
    /// What the consumer of jobs sees.
    pub kafka: KafkaMetrics,
    /// What intake does.
    pub intake: IntakeMetrics,
    /// What dispatch, its journal and its receipts do.
    pub dispatch: DispatchMetrics,
    /// What the relay of events does.
    pub events: EventMetrics,
    /// What this node owns.
    pub ownership: OwnershipMetrics,
    /// What the REST front does.
    pub api: ApiMetrics,
    /// What the delivery to webhooks does.
    pub webhooks: WebhookMetrics,
    registry: Registry,
}

impl Metrics {
    /// Makes all metrics in a registry of their own, and adds those of the process.
    ///
    /// # Errors
    /// When a name or a label is malformed or used twice, which the tests would have found.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let node = NodeMetrics::register(&registry)?;
        node.build_info.of(env!("CARGO_PKG_VERSION")).set(1);
        Ok(Arc::new(Self {
            node,
            fleet: FleetMetrics::register(&registry)?,
            kafka: KafkaMetrics::register(&registry)?,
            intake: IntakeMetrics::register(&registry)?,
            dispatch: DispatchMetrics::register(&registry)?,
            events: EventMetrics::register(&registry)?,
            ownership: OwnershipMetrics::register(&registry)?,
            api: ApiMetrics::register(&registry)?,
            webhooks: WebhookMetrics::register(&registry)?,
            registry,
        }))
    }

    /// Has a gauge's values asked for whenever somebody looks.
    ///
    /// # Errors
    /// When the gauge is watched already.
    pub fn watch(
        &self,
        gauge: &live::LiveGauge,
        look: impl Fn() -> Vec<(&'static str, f64)> + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(gauge.watched(Box::new(look))?))
    }

    /// Writes all metrics in the text form that Prometheus reads.
    ///
    /// # Errors
    /// When a metric is inconsistent in itself.
    pub fn encode(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::with_capacity(32 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::Outcome;
    use crate::domain::failure::{Failure, FailureClass, Handling, Reason, Retry, Scope};

    fn text_of(metrics: &Metrics) -> String {
        String::from_utf8(metrics.encode().expect("consistent")).expect("text")
    }

    #[test]
    fn names_follow_the_rule() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.api.count("/api/v1/whatsapp", "GET", 200, std::time::Duration::from_millis(3));
        for line in text_of(&metrics).lines().filter(|line| line.starts_with("# TYPE dispatcher_")) {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, kind) = (words[2], words[3]);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            let is_measured = ["_seconds", "_rows"].iter().any(|unit| name.ends_with(unit));
            assert!(kind != "histogram" || is_measured, "{name} is a {kind}");
        }
    }

    #[test]
    fn outcomes_are_counted_by_word_and_failures_by_reason() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.dispatch.count_outcome(&Outcome::Accepted { provider_message_id: "wamid.1".into() });
        metrics.dispatch.count_outcome(&Outcome::Deferred(Failure {
            class: FailureClass::LimitExceeded,
            reason: Reason::PairRateLimit,
            scope: Scope::Pair,
            retry: Retry::Never,
            handling: Handling::HoldPair,
            provider_code: None,
        }));
        let text = text_of(&metrics);
        assert!(text.contains("dispatcher_dispatch_attempts_total{outcome=\"accepted\"} 1"), "{text}");
        assert!(text.contains("dispatcher_dispatch_attempts_total{outcome=\"unknown\"} 0"), "{text}");
        let failure = "dispatcher_dispatch_failures_total{class=\"LIMIT_EXCEEDED\",reason=\"PAIR_RATE_LIMIT\"} 1";
        assert!(text.contains(failure), "{text}");
    }

    #[test]
    fn help_is_the_doc_comment() {
        let metrics = Metrics::new().expect("names are unique");
        assert!(text_of(&metrics).contains("# HELP dispatcher_dispatch_in_flight Attempts on the wire."));
    }
}
