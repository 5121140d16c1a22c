//! Metrics of the REST front: requests and how long they took.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::kind::{SECONDS_COARSE, WordCounters, metrics};

metrics! {
    /// What the REST front does.
    pub struct ApiMetrics {
        /// Requests answered, by route, method and class of status.
        requests: IntCounterVec = "dispatcher_api_requests_total", &["route", "method", "status"];
        /// Time from a request to its answer, by route.
        request_seconds: HistogramVec = "dispatcher_api_request_seconds", (&["route"], SECONDS_COARSE);
        /// Requests that were counted but not logged, because too many waited to be.
        requests_not_logged: IntCounter = "dispatcher_api_requests_not_logged_total", ();
        /// Requests whose answer has not begun; streams count until then.
        in_flight: IntGauge = "dispatcher_api_in_flight", ();
        /// Requests answered 429: somebody asks more often than the limits of requests allow.
        rate_limited: IntCounter = "dispatcher_api_rate_limited_total", ();
        /// Callbacks of the provider, by what became of them; what could not be taken the provider sends again.
        callbacks: WordCounters = "dispatcher_api_callbacks_total",
            ("result", || vec!["taken", "unsigned", "malformed", "not_taken"]);
    }
}

impl ApiMetrics {
    /// Counts a request that is not logged.
    pub fn not_logged(&self) {
        self.requests_not_logged.inc();
    }

    /// Counts an answered request; `route` is the matched pattern, never the path that was asked for.
    pub fn count(&self, route: &str, method: &str, status: u16, took: Duration) {
        let class = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        if status == 429 {
            self.rate_limited.inc();
        }
        self.requests.with_label_values(&[route, method, class]).inc();
        self.request_seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}
