//! How long something has been going on, by the moment somebody looks.
//!
//! A number that was written by what now hangs would stand still; this one grows.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Opts, Registry};
use tokio::time::Instant;

use super::kind::Kind;

/// A gauge that grows from its start to its end, and is 0 otherwise.
#[derive(Debug, Clone)]
pub struct Elapsed {
    since: Arc<Mutex<Option<Instant>>>,
    gauge: Gauge,
}

impl Elapsed {
    /// Notes that it goes on since a moment; none when it does not.
    pub fn set(&self, since: Option<Instant>) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Kind for Elapsed {
    type Shape = ();
    const TYPE: &'static str = "gauge";

    fn labels((): &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        Vec::new()
    }

    fn register(registry: &Registry, opts: Opts, (): ()) -> prometheus::Result<Self> {
        let elapsed = Self { since: Arc::default(), gauge: Gauge::with_opts(opts)? };
        registry.register(Box::new(elapsed.clone()))?;
        Ok(elapsed)
    }
}

impl Collector for Elapsed {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        self.gauge.set(since.map_or(0.0, |since| since.elapsed().as_secs_f64()));
        self.gauge.collect()
    }
}
