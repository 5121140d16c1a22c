//! Metrics of dispatch: lanes, attempts, the journal, receipts and the ledger.

use prometheus::{CounterVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::kind::{Kind, ROWS, SECONDS_FINE, metrics};
use crate::domain::attempt::Outcome;
use crate::domain::receipt::ReceiptKind;

metrics! {
    /// What dispatch, its journal and its receipts do.
    pub struct DispatchMetrics {
        /// Lanes held in memory.
        lanes: IntGauge = "dispatcher_dispatch_lanes", ();
        /// Lanes that have work and wait, by the one constraint that binds.
        lanes_held: IntGaugeVec = "dispatcher_dispatch_lanes_held", &["held_by"];
        /// Time that lanes with work have waited, by the one constraint that bound.
        held_seconds: CounterVec = "dispatcher_dispatch_held_seconds_total", &["held_by"];
        /// Attempts on the wire.
        in_flight: IntGauge = "dispatcher_dispatch_in_flight", ();
        /// Attempts that ended, by outcome.
        attempts: OutcomeCounters = "dispatcher_dispatch_attempts_total", "outcome";
        /// Attempts that did not end in acceptance, by class and reason.
        failures: IntCounterVec = "dispatcher_dispatch_failures_total", &["class", "reason"];
        /// How late after its slot an attempt began.
        lateness_seconds: Histogram = "dispatcher_dispatch_lateness_seconds", SECONDS_FINE;
        /// Time from the first byte of an attempt to the provider's answer.
        call_seconds: Histogram = "dispatcher_dispatch_call_seconds", SECONDS_FINE;
        /// Time of one journal transaction, commit included.
        journal_commit_seconds: Histogram = "dispatcher_dispatch_journal_commit_seconds", SECONDS_FINE;
        /// Rows of one journal transaction.
        journal_rows: Histogram = "dispatcher_dispatch_journal_rows", ROWS;
        /// Journal entries waiting for the writer.
        journal_backlog: IntGauge = "dispatcher_dispatch_journal_backlog", ();
        /// Journal transactions that failed; nothing is sent until one succeeds again.
        journal_failures: IntCounter = "dispatcher_dispatch_journal_failures_total", ();
        /// Time of one query that refills the heads of lanes.
        heads_refill_seconds: Histogram = "dispatcher_dispatch_heads_refill_seconds", SECONDS_FINE;
        /// Receipts taken in, by kind; duplicates and late ones included.
        receipts: ReceiptCounters = "dispatcher_dispatch_receipts_total", "kind";
        /// Accepted deliveries that no receipt came for in time.
        no_receipts: IntCounter = "dispatcher_dispatch_no_receipt_total", ();
        /// Accepted deliveries that no state accounts for; anything but 0 is a broken promise.
        ledger_drift: IntGauge = "dispatcher_ledger_drift", ();
        /// Messages by which the usage of plans differs from the deliveries; anything but 0 is a broken promise.
        usage_drift: IntGauge = "dispatcher_usage_drift", ();
    }
}

impl DispatchMetrics {
    /// Counts an attempt that ended, and its failure when it has one.
    pub fn count_outcome(&self, outcome: &Outcome) {
        self.attempts.of(outcome).inc();
        if let Some(failure) = outcome.failure() {
            self.failures.with_label_values(&[failure.class.as_str(), failure.reason.as_str()]).inc();
        }
    }
}

/// One counter per outcome.
#[derive(Debug, Clone)]
pub struct OutcomeCounters {
    accepted: IntCounter,
    deferred: IntCounter,
    rejected: IntCounter,
    unknown: IntCounter,
}

impl OutcomeCounters {
    /// Returns the counter of an outcome.
    #[must_use]
    pub fn of(&self, outcome: &Outcome) -> &IntCounter {
        match outcome {
            Outcome::Accepted { .. } => &self.accepted,
            Outcome::Deferred(_) => &self.deferred,
            Outcome::Rejected(_) => &self.rejected,
            Outcome::Unknown(_) => &self.unknown,
        }
    }
}

impl Kind for OutcomeCounters {
    type Shape = &'static str;

    fn register(registry: &Registry, opts: Opts, label: &'static str) -> prometheus::Result<Self> {
        let counters = IntCounterVec::new(opts, &[label])?;
        registry.register(Box::new(counters.clone()))?;
        Ok(Self {
            accepted: counters.get_metric_with_label_values(&["accepted"])?,
            deferred: counters.get_metric_with_label_values(&["deferred"])?,
            rejected: counters.get_metric_with_label_values(&["rejected"])?,
            unknown: counters.get_metric_with_label_values(&["unknown"])?,
        })
    }
}

/// One counter per kind of receipt.
#[derive(Debug, Clone)]
pub struct ReceiptCounters {
    sent: IntCounter,
    delivered: IntCounter,
    read: IntCounter,
    failed: IntCounter,
}

impl ReceiptCounters {
    /// Returns the counter of a kind.
    #[must_use]
    pub fn of(&self, kind: ReceiptKind) -> &IntCounter {
        match kind {
            ReceiptKind::Sent => &self.sent,
            ReceiptKind::Delivered => &self.delivered,
            ReceiptKind::Read => &self.read,
            ReceiptKind::Failed => &self.failed,
        }
    }
}

impl Kind for ReceiptCounters {
    type Shape = &'static str;

    fn register(registry: &Registry, opts: Opts, label: &'static str) -> prometheus::Result<Self> {
        let counters = IntCounterVec::new(opts, &[label])?;
        registry.register(Box::new(counters.clone()))?;
        let of = |kind: ReceiptKind| counters.get_metric_with_label_values(&[kind.as_str()]);
        Ok(Self {
            sent: of(ReceiptKind::Sent)?,
            delivered: of(ReceiptKind::Delivered)?,
            read: of(ReceiptKind::Read)?,
            failed: of(ReceiptKind::Failed)?,
        })
    }
}
