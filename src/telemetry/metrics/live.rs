//! Gauges whose values are asked for when somebody looks, so they are never older than the look.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};

use super::kind::Described;

/// A gauge as the catalogue tells of it.
#[derive(Debug, Clone, Copy)]
pub struct LiveGauge {
    name: &'static str,
    help: &'static str,
    /// Its label, if it has one, and all its words.
    label: Option<(&'static str, &'static [&'static str])>,
}

/// Whether the daemon is ready.
pub const READY: LiveGauge =
    LiveGauge { name: "dispatcher_ready", help: "1 while /readyz answers 200, else 0.", label: None };

/// What the daemon is about.
pub const PHASE: LiveGauge = LiveGauge {
    name: "dispatcher_phase",
    help: "1 for what the daemon is about, 0 for the others.",
    label: Some(("phase", &["starting", "ready", "store lost", "broker lost", "draining"])),
};

/// Connections of the pool.
pub const STORE_CONNECTIONS: LiveGauge = LiveGauge {
    name: "dispatcher_store_connections",
    help: "Connections to the database: idle, in use, and how many there may be.",
    label: Some(("state", &["idle", "used", "max"])),
};

/// Tasks of the runtime.
pub const RUNTIME_TASKS: LiveGauge =
    LiveGauge { name: "dispatcher_node_tasks", help: "Tasks of the runtime that are alive.", label: None };

/// All of them.
pub(super) const ALL: [LiveGauge; 4] = [READY, PHASE, STORE_CONNECTIONS, RUNTIME_TASKS];

/// What the values are asked of: word and value, the empty word where there is no label.
pub type Look = Box<dyn Fn() -> Vec<(&'static str, f64)> + Send + Sync>;

impl LiveGauge {
    pub(super) fn describe(&self) -> Described {
        let labels = self.label.map(|(label, words)| (label, words.to_vec())).into_iter().collect();
        Described { name: self.name, kind: "gauge", labels, help: self.help }
    }

    pub(super) fn watched(&self, look: Look) -> prometheus::Result<Watched> {
        let labels: Vec<&str> = self.label.iter().map(|(label, _)| *label).collect();
        Ok(Watched { values: GaugeVec::new(Opts::new(self.name, self.help), &labels)?, look })
    }
}

/// A gauge and whom it asks.
pub(super) struct Watched {
    values: GaugeVec,
    look: Look,
}

impl Collector for Watched {
    fn desc(&self) -> Vec<&Desc> {
        self.values.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (word, value) in (self.look)() {
            let word = Some(word).filter(|word| !word.is_empty());
            self.values.with_label_values(&word.into_iter().collect::<Vec<_>>()).set(value);
        }
        self.values.collect()
    }
}
