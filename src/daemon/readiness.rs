//! Which part of the daemon can not work now, as the front tells it. Finds out nothing by itself.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::api::{self, PartReadiness};
use crate::telemetry::admin::{Phase, Readiness};

/// What the front shows of it.
pub(super) struct ShownReadiness(pub(super) Readiness);

impl api::Readiness for ShownReadiness {
    fn parts(&self) -> BoxFuture<'_, Vec<PartReadiness>> {
        async move {
            let phase = self.0.get();
            let database = (phase == Phase::StoreLost).then_some("The database can not be reached.");
            let dispatch = match phase {
                Phase::Starting => Some("It is starting."),
                Phase::Draining => Some("It is draining."),
                Phase::Ready | Phase::StoreLost | Phase::BrokerLost => None,
            };
            let broker = (phase == Phase::BrokerLost).then_some("The broker can not be reached: no jobs come in.");
            vec![
                PartReadiness { part: "broker", problem: broker },
                PartReadiness { part: "database", problem: database },
                PartReadiness { part: "dispatch", problem: dispatch },
            ]
        }
        .boxed()
    }
}
