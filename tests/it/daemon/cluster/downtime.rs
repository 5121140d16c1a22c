//! A job whose time comes while no node runs.

use std::time::Duration;

use actiwapi_dispatcher::clock::Clock;
use actiwapi_dispatcher::store::Store;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::chaos::{RATE_PER_SECOND, connect};
use super::nodes::{Cluster, Servers};
use super::records::{job, record, tenant_of};
use crate::daemon::judge::Observed;
use crate::support::wait::{PATIENCE, until};

/// Long enough for a node to take the job in and to drain.
const UNTIL_DUE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn what_comes_due_while_nobody_runs_is_sent_once_afterwards() {
    let mut cluster = Cluster::start(1, Servers::calm(), "", "").await;
    let store = Store::open(cluster.store_url(), 2).await.unwrap();
    let sessions = connect(&cluster, 1).await;
    let mut later = job(tenant_of(&store, &sessions[0]).await, &sessions[0], 0..3);
    store.close().await;
    let clock = Clock::system();
    let due_at = clock.now() + UNTIL_DUE;
    let due_ms = i128::from(due_at.as_ms());
    let not_before = OffsetDateTime::from_unix_timestamp_nanos(due_ms * 1_000_000).unwrap();
    later["notBefore"] = json!(not_before.format(&Rfc3339).unwrap());
    cluster.produce(vec![record(&sessions[0], &later)]).await;
    let taken_in = async || (cluster.own_ledger().await.accepted == 3).then_some(());
    until("the job is taken in", PATIENCE, taken_in).await;
    cluster.stop(0).await;
    assert_eq!(cluster.provider.n_received().await, 0, "sent before its time");
    until("the job is due", PATIENCE, async || (due_at < clock.now()).then_some(())).await;
    assert_eq!(cluster.provider.n_received().await, 0);

    cluster.launch(0).await;
    cluster.wait_for_arrivals(3).await;
    let entries = cluster.provider.entries().await;
    assert!(entries.iter().all(|entry| due_ms * 1_000 <= i128::from(entry.at_us)), "{entries:?}");
    // Whoever comes next finds nothing to do.
    cluster.stop(0).await;
    cluster.launch(0).await;
    cluster.wait_until_owned().await;
    let sums = cluster.provider.sums(RATE_PER_SECOND).await;
    assert_eq!((sums.received, sums.duplicates, sums.pace_violations), (3, 0, 0));
    cluster.end().await;
}
