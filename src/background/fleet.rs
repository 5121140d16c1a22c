//! Counts the fleet for the metrics, on the node that owns the first partition.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::background::{Background, Beat};
use crate::domain::partition::PartitionNo;
use crate::error::chain;
use crate::store::fleet::FleetCount;
use crate::telemetry::metrics::FleetMetrics;

/// How often it is counted, at most.
const FLEET_BEAT: Beat = Beat::seconds(15);

impl Background {
    /// Counts until `stop` is cancelled; while another node counts, the numbers here are 0.
    pub(super) async fn watch_fleet(self, stop: CancellationToken) {
        loop {
            let started_at = Instant::now();
            let is_ours = self.dispatch.leases().of(PartitionNo::FIRST).is_some();
            match if is_ours { self.store.count_fleet().await } else { Ok(Vec::new()) } {
                Ok(counts) => publish(&self.metrics.fleet, &counts),
                Err(error) => tracing::warn!(error = chain(&error), "the fleet could not be counted, will try again"),
            }
            let (until_beat, _) = FLEET_BEAT.rests_after(started_at.elapsed());
            if stop.run_until_cancelled(tokio::time::sleep(until_beat)).await.is_none() {
                return;
            }
        }
    }
}

/// Publishes what was counted, and 0 for all that was not.
fn publish(fleet: &FleetMetrics, counts: &[FleetCount]) {
    let gauges = [
        ("sessions", &fleet.sessions),
        ("campaigns", &fleet.campaigns),
        ("deliveries", &fleet.deliveries),
        ("subscriptions", &fleet.subscriptions),
        ("plan_messages", &fleet.plan_messages),
        ("suspensions", &fleet.suspensions),
    ];
    let count_of = |kind: &str, word: &str| {
        let found = counts.iter().find(|FleetCount(of, state, _)| of == kind && state == word);
        found.map_or(0, |FleetCount(.., n)| *n)
    };
    for metric in FleetMetrics::describe() {
        let kind = metric.name.trim_start_matches("dispatcher_fleet_");
        let Some((_, gauge)) = gauges.iter().find(|(name, _)| *name == kind) else { continue };
        for word in metric.labels.iter().flat_map(|(_, words)| words) {
            gauge.of(word).set(count_of(kind, word));
        }
    }
    fleet.tenants_exhausted.set(count_of("tenants", "exhausted"));
}
