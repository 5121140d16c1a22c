//! What is looked at all the time: the database, the timers, and the gauges that are asked for when somebody looks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Base;
use crate::error::chain;
use crate::service::ledger::{self, Ledger};
use crate::store::Store;
use crate::telemetry::admin::{self, Phase, Readiness};
use crate::telemetry::metrics::{Metrics, live};

/// How often the database is asked whether it is there.
const PING_BEAT: Duration = Duration::from_secs(1);

/// The timer whose lateness is measured.
const TIMER: Duration = Duration::from_millis(100);

impl Base {
    /// Starts to look, until intake is told to stop, and returns what the admin port shows of it.
    pub(super) fn admin_routes(&self) -> anyhow::Result<axum::Router> {
        self.tasks.spawn(watch_store(self.store.clone(), self.readiness.clone(), self.stop_intake.clone()));
        self.tasks.spawn(watch_timers(Arc::clone(&self.metrics), self.stop_intake.clone()));
        self.watch_gauges().context("set up the gauges")?;
        let routes = admin::router(Arc::clone(&self.metrics), self.readiness.clone());
        Ok(routes.merge(ledger_route(self.store.clone())))
    }

    fn watch_gauges(&self) -> Result<(), prometheus::Error> {
        let (ready, phases) = (self.readiness.clone(), self.readiness.clone());
        self.metrics.watch(&live::READY, move || vec![("", one_if(ready.get() == Phase::Ready))])?;
        self.metrics.watch(&live::PHASE, move || {
            let now = phases.get();
            Phase::ALL.map(|phase| (phase.as_str(), one_if(phase == now))).into()
        })?;
        let store = self.store.clone();
        self.metrics.watch(&live::STORE_CONNECTIONS, move || {
            ["idle", "used", "max"].into_iter().zip(store.n_connections().map(f64::from)).collect()
        })?;
        let runtime = tokio::runtime::Handle::current().metrics();
        self.metrics.watch(&live::RUNTIME_TASKS, move || {
            vec![("", f64::from(u32::try_from(runtime.num_alive_tasks()).unwrap_or(u32::MAX)))]
        })
    }
}

fn one_if(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// Measures how late timers fire.
async fn watch_timers(metrics: Arc<Metrics>, stop: CancellationToken) {
    loop {
        let due = Instant::now() + TIMER;
        if stop.run_until_cancelled(tokio::time::sleep_until(due)).await.is_none() {
            return;
        }
        metrics.node.timer_lag_seconds.observe(due.elapsed().as_secs_f64());
    }
}

/// Shows when the database is away.
async fn watch_store(store: Store, readiness: Readiness, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(PING_BEAT)).await.is_some() {
        let answered = tokio::time::timeout(PING_BEAT * 2, store.ping()).await;
        readiness.set(if matches!(answered, Ok(Ok(()))) { Phase::Ready } else { Phase::StoreLost });
    }
}

/// `GET /ledger` of the admin port: counts all rows now.
fn ledger_route(store: Store) -> axum::Router {
    let count = |State(store): State<Store>| async move {
        ledger::count(&store).await.map(Json::<Ledger>).map_err(|error| {
            tracing::warn!(error = chain(&error), "ledger could not be counted");
            StatusCode::SERVICE_UNAVAILABLE
        })
    };
    axum::Router::new().route("/ledger", get(count)).with_state(store)
}
