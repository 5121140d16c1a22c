//! Metrics of what tenants are told at addresses of theirs.

use prometheus::{Histogram, IntCounter, IntGauge};

use super::kind::{SECONDS_FINE, WordCounters, metrics};
use crate::domain::webhook::WebhookProblem;

metrics! {
    /// What the delivery to webhooks does.
    pub struct WebhookMetrics {
        /// Attempts that ended, by outcome.
        attempts: WordCounters = "dispatcher_webhooks_attempts_total",
            ("outcome", || vec!["arrived", "http_status", "timeout", "not_connected", "no_answer", "address_not_allowed"]);
        /// Time from the beginning of an attempt to its end.
        attempt_seconds: Histogram = "dispatcher_webhooks_attempt_seconds", SECONDS_FINE;
        /// Things that wait for all active webhooks of all tenants.
        waiting: IntGauge = "dispatcher_webhooks_waiting", ();
        /// Age of the oldest thing that waits.
        oldest_age: IntGauge = "dispatcher_webhooks_oldest_seconds", ();
        /// Webhooks that are told nothing more because nothing arrived.
        disabled: IntCounter = "dispatcher_webhooks_disabled_total", ();
        /// Turns that the database broke off and that will be tried again.
        failures: IntCounter = "dispatcher_webhooks_failures_total", ();
    }
}

impl WebhookMetrics {
    /// Counts an attempt that ended; no problem means that it arrived.
    pub fn count(&self, problem: Option<WebhookProblem>) {
        let outcome = match problem {
            None => "arrived",
            Some(WebhookProblem::HttpStatus) => "http_status",
            Some(WebhookProblem::Timeout) => "timeout",
            Some(WebhookProblem::NotConnected) => "not_connected",
            Some(WebhookProblem::NoAnswer) => "no_answer",
            Some(WebhookProblem::AddressNotAllowed) => "address_not_allowed",
        };
        self.attempts.of(outcome).inc();
    }
}
