//! The kinds of metric and the macro that declares a part's struct.
//!
//! Knows no part by name.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Bounds for waits and calls from half a millisecond to a minute, fine where the goals are (5 and 20 ms).
pub(super) const SECONDS_FINE: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2,
    0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];

/// Bounds for answers of the API, 1 ms to half a minute.
pub(super) const SECONDS_COARSE: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Bounds for rows of one transaction.
pub(super) const ROWS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0];

/// A metric that can be made from its name and help and put into a registry.
pub(super) trait Kind: Sized {
    /// What else it needs: nothing, label names, or bounds.
    type Shape;

    /// Makes and registers it.
    fn register(registry: &Registry, opts: Opts, shape: Self::Shape) -> prometheus::Result<Self>;
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

impl Kind for IntCounter {
    type Shape = ();

    fn register(registry: &Registry, opts: Opts, (): ()) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(opts)?)
    }
}

impl Kind for IntGauge {
    type Shape = ();

    fn register(registry: &Registry, opts: Opts, (): ()) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(opts)?)
    }
}

impl Kind for Gauge {
    type Shape = ();

    fn register(registry: &Registry, opts: Opts, (): ()) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(opts)?)
    }
}

impl Kind for IntCounterVec {
    type Shape = &'static [&'static str];

    fn register(registry: &Registry, opts: Opts, labels: Self::Shape) -> prometheus::Result<Self> {
        registered(registry, Self::new(opts, labels)?)
    }
}

impl Kind for IntGaugeVec {
    type Shape = &'static [&'static str];

    fn register(registry: &Registry, opts: Opts, labels: Self::Shape) -> prometheus::Result<Self> {
        registered(registry, Self::new(opts, labels)?)
    }
}

impl Kind for CounterVec {
    type Shape = &'static [&'static str];

    fn register(registry: &Registry, opts: Opts, labels: Self::Shape) -> prometheus::Result<Self> {
        registered(registry, Self::new(opts, labels)?)
    }
}

impl Kind for Histogram {
    type Shape = &'static [f64];

    fn register(registry: &Registry, opts: Opts, bounds: Self::Shape) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(HistogramOpts::from(opts).buckets(bounds.to_vec()))?)
    }
}

impl Kind for HistogramVec {
    type Shape = (&'static [&'static str], &'static [f64]);

    fn register(registry: &Registry, opts: Opts, (labels, bounds): Self::Shape) -> prometheus::Result<Self> {
        registered(registry, Self::new(HistogramOpts::from(opts).buckets(bounds.to_vec()), labels)?)
    }
}

/// Declares the metrics of one part: doc comment = help, literal = name, then labels or bounds.
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        pub struct $part:ident {
            $(#[doc = $help:literal] $field:ident: $kind:ty = $name:literal, $shape:expr;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $part {
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl $part {
            pub(super) fn register(registry: &prometheus::Registry) -> prometheus::Result<Self> {
                use $crate::telemetry::metrics::kind::Kind;
                Ok(Self {
                    $($field: <$kind as Kind>::register(
                        registry,
                        prometheus::Opts::new($name, $help.trim()),
                        $shape,
                    )?,)*
                })
            }
        }
    };
}

pub(super) use metrics;
