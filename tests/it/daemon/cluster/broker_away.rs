//! The broker is not there when the nodes start, and goes away in the middle of a run.

use super::chaos::{CHAOS, start_campaigns};
use super::nodes::{Cluster, Servers};
use crate::daemon::judge::{Faults, judge, wait_for_the_end};
use crate::support::wait::{PATIENCE, until};

const N_MESSAGES: u64 = 1_500;
const N_SESSIONS: u64 = 50;
/// What 50 sessions send at 0.8/s in two session timeouts of 6 s.
const N_MEANWHILE: u64 = 480;

#[tokio::test]
async fn lanes_go_on_while_the_broker_is_away() {
    let _alone = CHAOS.lock().await;
    let mut cluster = Cluster::start(2, Servers::of_chaos(), "", "").await;
    let asked = start_campaigns(&cluster, N_SESSIONS, N_MESSAGES).await;
    cluster.wait_for_arrivals(N_MESSAGES / 5).await;
    cluster.servers.kafka("stop").await;
    let said = async || (cluster.readiness(0).await? == "broker lost").then_some(());
    until("a node says that its broker is lost", PATIENCE, said).await;
    // Sending goes on for twice as long as the group would wait: at its pace it can not be done sooner.
    let before = cluster.provider.n_received().await;
    cluster.wait_for_arrivals(before + N_MEANWHILE).await;
    // A node that starts now waits for the broker, and says so.
    cluster.kill(1);
    cluster.start_process(1);
    let waits = async || (cluster.readiness(1).await? == "broker lost").then_some(());
    until("a node that starts says that its broker is lost", PATIENCE, waits).await;
    cluster.servers.kafka("start").await;
    for node in 0..2 {
        let ready = async || (cluster.readiness(node).await? == "ready").then_some(());
        until("the node is ready again", PATIENCE, ready).await;
    }
    wait_for_the_end(&cluster, &asked).await;
    judge(&cluster, &asked, Faults::None).await.assert_kept();
    cluster.end().await;
}
