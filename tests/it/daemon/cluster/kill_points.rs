//! A node dies at each point of its way from and to the topic, and comes back.

use std::os::unix::process::ExitStatusExt;

use actiwapi_dispatcher::kill_point;
use serde_json::json;

use super::chaos::{RATE_PER_SECOND, connect};
use super::nodes::{Cluster, Foreign, Servers};
use crate::daemon::client::Problem;
use crate::daemon::judge::{Asked, Faults, judge, wait_for_the_end};

const N_MESSAGES: u64 = 120;
const N_SESSIONS: u64 = 12;

#[tokio::test]
async fn every_point_of_the_topic() {
    let mut cluster = Cluster::start(1, Servers::calm(), "", "").await;
    let sessions = connect(&cluster, N_SESSIONS).await;
    let operator = cluster.client.operator(cluster.store_url()).await;
    let mut asked = Asked { rate_per_second: RATE_PER_SECOND, ..Asked::default() };
    for point in kill_point::ALL.iter().filter(|point| point.starts_with("topic:")) {
        let campaign = cluster.client.draft(&sessions, 0..N_MESSAGES).await;
        // What has begun when the node dies is unknown, and rightly: so nothing begins until it has died.
        operator.operate("stop", json!({"reason": "the node is to die"})).await;
        cluster.stop(0).await;
        cluster.launch_to_die_at(0, point);
        // One that is no job comes before those that are.
        cluster.produce(vec![Foreign { value: b"no job".to_vec(), ..Foreign::default() }]).await;
        // It may die before it answers, or before it listens at all.
        let first = start(&cluster, &campaign).await;
        let status = cluster.end_of(0).await;
        assert_eq!(status.signal(), Some(6), "the node was to die at {point:?}: {status}");
        cluster.launch(0).await;
        if first.is_none() && cluster.client.stats(&campaign).await.unwrap().status == "draft" {
            start(&cluster, &campaign).await.unwrap().unwrap();
        }
        operator.operate("start", json!({})).await;
        asked.campaigns.push((campaign, N_MESSAGES));
        wait_for_the_end(&cluster, &asked).await;
    }
    let findings = judge(&cluster, &asked, Faults::None).await;
    findings.assert_kept();
    assert_eq!(findings.n_unknown(), 0, "{findings:?}");
    assert!(asked.campaigns.len() >= 3, "there are points of the topic");
    cluster.end().await;
}

/// Starts a campaign; none when nobody answered.
async fn start(cluster: &Cluster, campaign: &str) -> Option<Result<(), Problem>> {
    match cluster.client.start(campaign).await {
        Err(Problem::Silence(_)) => None,
        answer => Some(answer),
    }
}
