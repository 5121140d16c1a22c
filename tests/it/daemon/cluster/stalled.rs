//! Intake waits for the database: what the daemon tells of the topic goes on being true meanwhile.

use sqlx::{Connection, Executor, PgConnection};

use super::chaos::{RATE_PER_SECOND, connect};
use super::nodes::{Cluster, Servers};
use super::records::{job, record, tenant_of};
use crate::support::wait::{PATIENCE, until};
use actiwapi_dispatcher::store::Store;

const LAG: &str = "dispatcher_kafka_lag_records ";

#[tokio::test]
async fn the_lag_is_told_while_nothing_is_taken_in() {
    let cluster = Cluster::start(1, Servers::calm(), "", "").await;
    let store = Store::open(cluster.store_url(), 2).await.unwrap();
    let sessions = connect(&cluster, 1).await;
    let session = &sessions[0];
    let tenant = tenant_of(&store, session).await;
    let next = |n: u64| record(session, &job(tenant, session, n..n + 1));
    cluster.produce(vec![next(0)]).await;
    cluster.wait_for_arrivals(1).await;
    let assigned = async || {
        (cluster.sum("dispatcher_kafka_partitions{state=\"assigned\"} ").await == 12.0
            && cluster.sum(LAG).await == 0.0
            && cluster.sum("dispatcher_kafka_record_age_seconds_count ").await == 1.0)
            .then_some(())
    };
    until("the topic is told of", PATIENCE, assigned).await;
    assert!(1.0 <= cluster.sum("dispatcher_kafka_rebalances_total{kind=\"assign\"} ").await);

    let mut blocker = PgConnection::connect(cluster.store_url()).await.unwrap();
    blocker.execute("BEGIN; LOCK TABLE deliveries IN EXCLUSIVE MODE").await.unwrap();
    cluster.produce((1..4).map(next).collect()).await;
    let behind = async || (cluster.sum(LAG).await == 3.0).then_some(());
    until("three records wait", PATIENCE, behind).await;
    blocker.execute("ROLLBACK").await.unwrap();
    cluster.wait_for_arrivals(4).await;
    let caught_up = async || (cluster.sum(LAG).await == 0.0).then_some(());
    until("nothing waits", PATIENCE, caught_up).await;
    let sums = cluster.provider.sums(RATE_PER_SECOND).await;
    assert_eq!((sums.received, sums.duplicates, sums.pace_violations), (4, 0, 0));
    blocker.close().await.unwrap();
    store.close().await;
    cluster.end().await;
}
