//! Campaigns that start by themselves: once, whichever node looks, also when nobody looked at their time.

use std::time::Duration;

use actiwapi_dispatcher::clock::{Clock, Moment};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::chaos::{RATE_PER_SECOND, connect};
use super::nodes::{Cluster, Servers};
use crate::support::wait::{PATIENCE, until};

/// Long enough for two nodes to drain.
const UNTIL_DUE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn scheduled_campaigns_start_once_on_two_nodes_and_after_nobody_ran() {
    let mut cluster = Cluster::start(2, Servers::calm(), "", "").await;
    let sessions = connect(&cluster, 4).await;
    let clock = Clock::system();
    let draft = async |cluster: &Cluster, recipients, due_at: Moment| {
        let due_ns = i128::from(due_at.as_ms()) * 1_000_000;
        let at = OffsetDateTime::from_unix_timestamp_nanos(due_ns).unwrap().format(&Rfc3339).unwrap();
        let campaign = cluster.client.draft(&sessions, recipients).await;
        cluster.client.schedule(&campaign, &at).await.unwrap();
    };
    let due_at = clock.now() + UNTIL_DUE / 2;
    draft(&cluster, 0..40, due_at).await;
    assert_eq!(cluster.provider.n_received().await, 0, "sent before its time");
    cluster.wait_for_arrivals(40).await;
    let due_us = due_at.as_ms().unsigned_abs() * 1_000;
    let entries = cluster.provider.entries().await;
    assert!(entries.iter().all(|entry| due_us <= entry.at_us), "{entries:?}");

    let due_at = clock.now() + UNTIL_DUE;
    draft(&cluster, 40..80, due_at).await;
    for node in 0..2 {
        cluster.stop(node).await;
    }
    until("its time has passed", PATIENCE, async || (due_at < clock.now()).then_some(())).await;
    assert_eq!(cluster.provider.n_received().await, 40);
    for node in 0..2 {
        cluster.launch(node).await;
    }
    cluster.wait_for_arrivals(80).await;
    // Whoever owns the first partition next finds nothing to start.
    for node in 0..2 {
        cluster.stop(node).await;
        cluster.launch(node).await;
    }
    cluster.wait_until_owned().await;
    let sums = cluster.provider.sums(RATE_PER_SECOND).await;
    assert_eq!((sums.received, sums.duplicates, sums.pace_violations), (80, 0, 0));
    cluster.end().await;
}
