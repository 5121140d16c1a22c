//! The kinds of metric and the macro that declares a part's struct.
//!
//! Knows no part by name.

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use serde::Serialize;

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

/// A metric as the catalogue tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its type in the text form: `counter`, `gauge` or `histogram`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The names of its labels, with all their values where those are known beforehand.
    pub labels: Vec<(&'static str, Vec<&'static str>)>,
    /// What it is.
    pub help: &'static str,
}

/// A metric that can be made from its name and help and put into a registry.
pub(super) trait Kind: Sized {
    /// What else it needs: nothing, label names, or bounds.
    type Shape;

    /// Its type in the text form.
    const TYPE: &'static str;

    /// Returns its labels, with all their values where those are known beforehand.
    fn labels(shape: &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)>;

    /// Makes and registers it.
    fn register(registry: &Registry, opts: Opts, shape: Self::Shape) -> prometheus::Result<Self>;
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Labels whose values come as they occur.
fn open(names: &[&'static str]) -> Vec<(&'static str, Vec<&'static str>)> {
    names.iter().map(|name| (*name, Vec::new())).collect()
}

impl Kind for IntCounter {
    type Shape = ();
    const TYPE: &'static str = "counter";

    fn labels((): &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        Vec::new()
    }

    fn register(registry: &Registry, opts: Opts, (): ()) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(opts)?)
    }
}

impl Kind for IntGauge {
    type Shape = ();
    const TYPE: &'static str = "gauge";

    fn labels((): &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        Vec::new()
    }

    fn register(registry: &Registry, opts: Opts, (): ()) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(opts)?)
    }
}

impl Kind for Gauge {
    type Shape = ();
    const TYPE: &'static str = "gauge";

    fn labels((): &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        Vec::new()
    }

    fn register(registry: &Registry, opts: Opts, (): ()) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(opts)?)
    }
}

impl Kind for IntCounterVec {
    type Shape = &'static [&'static str];
    const TYPE: &'static str = "counter";

    fn labels(names: &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        open(names)
    }

    fn register(registry: &Registry, opts: Opts, labels: Self::Shape) -> prometheus::Result<Self> {
        registered(registry, Self::new(opts, labels)?)
    }
}

impl Kind for Histogram {
    type Shape = &'static [f64];
    const TYPE: &'static str = "histogram";

    fn labels(_: &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        Vec::new()
    }

    fn register(registry: &Registry, opts: Opts, bounds: Self::Shape) -> prometheus::Result<Self> {
        registered(registry, Self::with_opts(HistogramOpts::from(opts).buckets(bounds.to_vec()))?)
    }
}

impl Kind for HistogramVec {
    type Shape = (&'static [&'static str], &'static [f64]);
    const TYPE: &'static str = "histogram";

    fn labels((names, _): &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        open(names)
    }

    fn register(registry: &Registry, opts: Opts, (labels, bounds): Self::Shape) -> prometheus::Result<Self> {
        registered(registry, Self::new(HistogramOpts::from(opts).buckets(bounds.to_vec()), labels)?)
    }
}

/// The name of a label and the words that it takes.
pub(super) type Words = (&'static str, fn() -> Vec<&'static str>);

/// Makes a kind with one series for each word of a closed list.
///
/// All are there from the start, at 0: a rate can not see a series that is born at 1, so the first failure after a
/// start would go unnoticed.
macro_rules! by_word {
    ($(#[$meta:meta])* $name:ident($of:ty) is $one:ty, $type:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name($of);

        impl $name {
            /// Returns the one of a word.
            #[must_use]
            pub fn of(&self, word: &str) -> $one {
                self.0.with_label_values(&[word])
            }
        }

        impl Kind for $name {
            type Shape = Words;
            const TYPE: &'static str = $type;

            fn labels((label, words): &Words) -> Vec<(&'static str, Vec<&'static str>)> {
                vec![(*label, words())]
            }

            fn register(registry: &Registry, opts: Opts, (label, words): Words) -> prometheus::Result<Self> {
                let all = registered(registry, <$of>::new(opts, &[label])?)?;
                for word in words() {
                    all.get_metric_with_label_values(&[word])?;
                }
                Ok(Self(all))
            }
        }
    };
}

by_word! {
    /// One counter for each word.
    WordCounters(IntCounterVec) is IntCounter, "counter"
}

by_word! {
    /// One counter of seconds for each word.
    WordSeconds(CounterVec) is Counter, "counter"
}

by_word! {
    /// One gauge for each word.
    WordGauges(IntGaugeVec) is IntGauge, "gauge"
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
            /// Returns these metrics as the catalogue tells of them.
            #[must_use]
            pub fn describe() -> Vec<$crate::telemetry::metrics::kind::Described> {
                use $crate::telemetry::metrics::kind::{Described, Kind};
                vec![$(Described {
                    name: $name,
                    kind: <$kind as Kind>::TYPE,
                    labels: <$kind as Kind>::labels(&<<$kind as Kind>::Shape>::from($shape)),
                    help: $help.trim_ascii(),
                },)*]
            }

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
