//! Metrics of dispatch: lanes, attempts, the journal, receipts and the ledger.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::elapsed::Elapsed;
use super::kind::{Kind, ROWS, SECONDS_FINE, WordCounters, WordGauges, WordSeconds, metrics};
use crate::domain::attempt::Outcome;
use crate::domain::failure::FailureClass;
use crate::domain::held_by::HeldBy;
use crate::domain::receipt::ReceiptKind;

metrics! {
    /// What dispatch, its journal and its receipts do.
    pub struct DispatchMetrics {
        /// Lanes held in memory.
        lanes: IntGauge = "dispatcher_dispatch_lanes", ();
        /// Lanes that have work and wait, by the one constraint that binds.
        lanes_held: WordGauges = "dispatcher_dispatch_lanes_held", ("held_by", constraints);
        /// Time that lanes with work have waited, by the one constraint that bound.
        held_seconds: WordSeconds = "dispatcher_dispatch_held_seconds_total", ("held_by", constraints);
        /// Attempts on the wire.
        in_flight: IntGauge = "dispatcher_dispatch_in_flight", ();
        /// Attempts that ended, by outcome.
        attempts: OutcomeCounters = "dispatcher_dispatch_attempts_total", "outcome";
        /// Attempts that did not end in acceptance, by class and reason.
        failures: IntCounterVec = "dispatcher_dispatch_failures_total", &["class", "reason"];
        /// How late after its slot an attempt began.
        lateness_seconds: Histogram = "dispatcher_dispatch_lateness_seconds", SECONDS_FINE;
        /// How long after its release a message left: what is added to its lane's pace by this process.
        pace_error_seconds: Histogram = "dispatcher_dispatch_pace_error_seconds", SECONDS_FINE;
        /// Attempts after which their delivery was put back for another one, by the class of the failure.
        retries: WordCounters = "dispatcher_dispatch_retries_total", ("class", classes);
        /// Attempts after which their delivery failed for good, by the class of the failure.
        failed: WordCounters = "dispatcher_dispatch_failed_total", ("class", classes);
        /// Prepared attempts that were taken back before they left.
        withdrawn: IntCounter = "dispatcher_dispatch_withdrawn_total", ();
        /// Leases under which something was to be written although another node owns the lane by now.
        fenced: IntCounter = "dispatcher_dispatch_fenced_total", ();
        /// Time from the first byte of an attempt to the provider's answer.
        call_seconds: Histogram = "dispatcher_dispatch_call_seconds", SECONDS_FINE;
        /// Time of one journal transaction, commit included.
        journal_commit_seconds: Histogram = "dispatcher_dispatch_journal_commit_seconds", SECONDS_FINE;
        /// How long the transaction under way has been being written; 0 when there is none.
        journal_writing_seconds: Elapsed = "dispatcher_dispatch_journal_writing_seconds", ();
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
        /// Receipts that told something new.
        receipts_applied: IntCounter = "dispatcher_dispatch_receipts_applied_total", ();
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
            let ended = if matches!(outcome, Outcome::Rejected(_)) { &self.failed } else { &self.retries };
            if !matches!(outcome, Outcome::Unknown(_)) {
                ended.of(failure.class.as_str()).inc();
            }
            self.failures.with_label_values(&[failure.class.as_str(), failure.reason.as_str()]).inc();
        }
    }
}

fn constraints() -> Vec<&'static str> {
    HeldBy::ALL.iter().map(|by| by.as_str()).collect()
}

fn classes() -> Vec<&'static str> {
    [FailureClass::LimitExceeded, FailureClass::WhatsappUnavailable].map(FailureClass::as_str).into()
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
    const TYPE: &'static str = "counter";

    fn labels(label: &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        vec![(*label, vec!["accepted", "deferred", "rejected", "unknown"])]
    }

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
    const TYPE: &'static str = "counter";

    fn labels(label: &Self::Shape) -> Vec<(&'static str, Vec<&'static str>)> {
        vec![(*label, vec!["sent", "delivered", "read", "failed"])]
    }

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
