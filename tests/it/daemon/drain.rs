//! SIGTERM in the middle of a campaign: nothing is left half done. A second one: at once.

use std::time::Duration;

use tokio::time::Instant;

use super::client::NewSession;
use super::judge::{Asked, Faults, assert_nothing_is_left, judge, wait_for_the_end};
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

use crate::support::lanes::AllLanes;

const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// What starting to stop and stopping take besides, on a busy machine.
const MARGIN: Duration = Duration::from_secs(3);

async fn campaign_of(world: &World, n_sessions: u64, n_recipients: u64, rate_per_second: f64) -> Asked {
    let sessions: Vec<_> = (0..n_sessions)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second, burst: 1 })
        .collect();
    let sessions = world.client.connect(&sessions).await;
    let campaign = world.client.draft(&sessions, 0..n_recipients).await;
    world.client.start(&campaign).await.unwrap();
    Asked { campaigns: vec![(campaign, n_recipients)], rate_per_second, ..Asked::default() }
}

async fn until_arrived(world: &World, n: u64) {
    let arrived = async || (n <= world.provider.n_received().await).then_some(());
    until("messages have arrived", PATIENCE, arrived).await;
}

#[tokio::test]
async fn sigterm_drains() {
    let plan = Plan {
        // Answers take their time, so that some are on the wire when the signal comes.
        faults: "latency = { distribution = \"fixed\", fixed_ms = 200.0 }",
        ..Plan::default()
    };
    let mut world = World::start(&plan, None).await;
    let asked = campaign_of(&world, 20, 160, 1.0).await;
    until_arrived(&world, 50).await;

    let asked_at = Instant::now();
    let store = world.stop_daemon().await;
    assert!(asked_at.elapsed() < DRAIN_DEADLINE + MARGIN, "{:?}", asked_at.elapsed());
    let n_before = world.provider.n_received().await;
    assert!(n_before < 160, "the campaign was over before the signal came");
    assert_eq!(store.sessions_in_flight().await.unwrap().len(), 0, "attempts are under way");
    let unknown: i64 = store.recount().await.unwrap().iter().map(|(_, _, counted)| counted.unknown).sum();
    assert_eq!(unknown, 0, "messages became unknown by the drain");
    store.close().await;

    world.restart().await;
    wait_for_the_end(&world, &asked).await;
    let findings = judge(&world, &asked, Faults::None).await;
    findings.assert_kept();
    assert_eq!(findings.n_unknown(), 0, "{findings:?}");
    assert_nothing_is_left(&mut world).await;
}

#[tokio::test]
async fn the_second_sigterm_ends_at_once() {
    let plan = Plan {
        faults: "hang = { after_acceptance = 1.0 }",
        settings: "gateway.request_timeout_ms = 60000",
        ..Plan::default()
    };
    let mut world = World::start(&plan, None).await;
    campaign_of(&world, 5, 5, 1.0).await;
    until_arrived(&world, 5).await;
    world.daemon().terminate();
    let draining = async || (world.admin("/readyz").await?.0 == 503).then_some(());
    until("the daemon drains", PATIENCE, draining).await;
    assert!(world.daemon().ended().is_none(), "sends that hang were not waited for");
    let asked_at = Instant::now();
    world.daemon().terminate();
    let status = world.daemon().end(MARGIN).await;
    assert!(asked_at.elapsed() < MARGIN, "{:?}", asked_at.elapsed());
    assert_eq!(status.code(), Some(1), "{status}");
}
