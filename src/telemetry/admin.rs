//! The admin port: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever runs the process.
//!
//! Has no credentials: it listens on loopback by default and is not for the public.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;

/// Whether the daemon takes requests and sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Its parts are being started.
    Starting,
    /// Everything works.
    Ready,
    /// It can not reach its database; it sends nothing and goes on by itself.
    StoreLost,
    /// It can not reach its broker: no jobs come in; lanes go on.
    BrokerLost,
    /// It finishes what is on the wire and stops.
    Draining,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Ready, Self::StoreLost, Self::BrokerLost, Self::Draining];

    /// Returns the word that `/readyz` answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::StoreLost => "store lost",
            Self::BrokerLost => "broker lost",
            Self::Draining => "draining",
        }
    }
}

/// The phase, shared by the parts that change it and the port that shows it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    phase: Arc<AtomicU8>,
    broker_lost: Arc<AtomicBool>,
}

impl Readiness {
    /// Makes one that is starting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a phase; a drain is never left.
    pub fn set(&self, phase: Phase) {
        let update = |now| (now != Phase::Draining as u8).then_some(phase as u8);
        // Refused only in a drain, which is the rule.
        self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, update).ok();
    }

    /// Notes whether the broker is there; without one nobody does.
    pub fn set_broker(&self, is_there: bool) {
        self.broker_lost.store(!is_there, Ordering::Release);
    }

    /// Returns the present phase.
    #[must_use]
    pub fn get(&self) -> Phase {
        match Phase::ALL[usize::from(self.phase.load(Ordering::Acquire)).min(Phase::ALL.len() - 1)] {
            Phase::Ready if self.broker_lost.load(Ordering::Acquire) => Phase::BrokerLost,
            phase => phase,
        }
    }
}

#[derive(Debug, Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

/// Returns the routes of the admin port.
pub fn router(metrics: Arc<Metrics>, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(show_readiness))
        .with_state(Shown { metrics, readiness })
}

/// Serves the admin port until `stop` is cancelled.
///
/// # Errors
/// When the listening socket fails.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn show_metrics(State(shown): State<Shown>) -> Response {
    match shown.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(problem) => {
            tracing::error!(error = %problem, "metrics can not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn show_readiness(State(shown): State<Shown>) -> Response {
    let phase = shown.readiness.get();
    let status = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", phase.as_str())).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(routes: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = routes.clone().oneshot(request).await.expect("an answer");
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn readiness_follows_the_phase_and_a_drain_is_final() {
        let readiness = Readiness::new();
        let routes = router(Metrics::new().expect("names are unique"), readiness.clone());
        assert_eq!(ask(&routes, "/livez").await.0, StatusCode::OK);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "starting\n".into()));
        readiness.set(Phase::Ready);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::OK, "ready\n".into()));
        readiness.set_broker(false);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "broker lost\n".into()));
        readiness.set_broker(true);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::OK, "ready\n".into()));
        readiness.set(Phase::StoreLost);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "store lost\n".into()));
        readiness.set(Phase::Draining);
        readiness.set(Phase::Ready);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "draining\n".into()));
    }

    #[tokio::test]
    async fn metrics_come_in_the_form_of_prometheus() {
        let metrics = Metrics::new().expect("names are unique");
        metrics.dispatch.ledger_drift.set(3);
        let (status, text) = ask(&router(metrics, Readiness::new()), "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("\ndispatcher_ledger_drift 3\n"), "{text}");
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }
}
