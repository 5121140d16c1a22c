//! Requests are noted for the log and the counts of their tenants: who made them, what was asked, what came of it.
//!
//! Never what was in them: the pattern of the path and not the path, no query and no body. Nothing is waited for.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::IntGauge;

use crate::service::RequestLogService;
use crate::service::request_log::AnsweredRequest;
use crate::store::analytics::requests::Requester;
use crate::telemetry::metrics::Metrics;

/// Takes who made a request from where that is found out, on its way out.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestNote(Arc<Called>);

#[derive(Debug, Default)]
struct Called {
    by: OnceLock<Requester>,
    is_counted: AtomicBool,
}

impl RequestNote {
    /// Notes who makes the request.
    pub(super) fn by(&self, requester: Requester) {
        self.0.by.get_or_init(|| requester);
    }

    /// Notes that it counts for the plan.
    pub(super) fn counted(&self) {
        self.0.is_counted.store(true, Ordering::Relaxed);
    }
}

/// Notes requests that were answered.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    /// Where they are noted.
    pub(super) requests: RequestLogService,
    /// What is counted.
    pub(super) metrics: Option<Arc<Metrics>>,
}

/// What was asked for, and what came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered<'a> {
    pub(super) method: &'static str,
    pub(super) route: &'a str,
    pub(super) status: u16,
    pub(super) took: Duration,
    pub(super) request_id: &'a str,
}

/// A request that has no answer yet, for as long as it is kept: whoever asked may hang up.
pub(super) struct Open(Option<IntGauge>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.iter().for_each(IntGauge::dec);
    }
}

impl Recorder {
    /// Counts a request as open for as long as what is returned is kept.
    pub(super) fn open(&self) -> Open {
        let gauge = self.metrics.as_ref().map(|metrics| metrics.api.in_flight.clone());
        gauge.iter().for_each(IntGauge::inc);
        Open(gauge)
    }

    /// Notes a request; one that nobody is known to have made is only counted.
    pub(super) fn note(&self, call: &RequestNote, answered: &Answered<'_>) {
        if let Some(metrics) = &self.metrics {
            metrics.api.count(answered.route, answered.method, answered.status, answered.took);
        }
        let Some(by) = call.0.by.get() else { return };
        let is_logged = self.requests.note(&AnsweredRequest {
            by: *by,
            is_counted: call.0.is_counted.load(Ordering::Relaxed),
            method: answered.method,
            operation: answered.route,
            status: answered.status,
            duration_ms: i64::try_from(answered.took.as_millis()).unwrap_or(i64::MAX),
            request_id: answered.request_id,
        });
        if let Some(metrics) = self.metrics.as_ref().filter(|_| !is_logged) {
            metrics.api.not_logged();
        }
    }
}
