//! A campaign through five percent of every kind of fault.

use super::client::NewSession;
use super::judge::{Asked, Faults, assert_nothing_is_left, judge, wait_for_the_end};
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

const FIVE_PERCENT: &str = include_str!("../../faults/five_percent.toml");
const N_RECIPIENTS: u64 = 400;
const N_SESSIONS: u64 = 40;
const RATE_PER_SECOND: f64 = 2.0;

#[tokio::test]
async fn faults_of_every_kind() {
    let plan = Plan { faults: FIVE_PERCENT, settings: "gateway.request_timeout_ms = 500", ..Plan::default() };
    let mut world = World::start(&plan, None).await;
    let sessions: Vec<_> = (0..N_SESSIONS)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: RATE_PER_SECOND, burst: 1 })
        .collect();
    let sessions = world.client.connect(&sessions).await;
    let campaign = world.client.draft(&sessions, 0..N_RECIPIENTS).await;
    world.client.start(&campaign).await.unwrap();
    let asked =
        Asked { campaigns: vec![(campaign, N_RECIPIENTS)], rate_per_second: RATE_PER_SECOND, ..Asked::default() };
    wait_for_the_end(&world, &asked).await;
    let findings = judge(&world, &asked, Faults::Some).await;
    eprintln!("{:?} {:?}", findings.by_status, findings.provider.by_verdict);
    findings.assert_kept();
    // Otherwise nothing was tested.
    for verdict in ["refused", "acceptedThenReset", "acceptedThenHung", "resetBeforeAcceptance"] {
        assert!(0 < findings.provider.by_verdict[verdict], "none was {verdict}");
    }
    assert!(findings.by_status.contains_key("failed"), "{findings:?}");
    let open = async || world.client.stats(&asked.campaigns[0].0).await.ok().filter(|stats| stats.counters.queued == 0);
    until("nothing is queued", PATIENCE, open).await;
    assert_nothing_is_left(&mut world).await;
}
