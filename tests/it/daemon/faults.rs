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
    assert_metrics_agree(&world).await;
    assert_nothing_is_left(&mut world).await;
}

/// What is counted in several places must be the same in all of them.
async fn assert_metrics_agree(world: &World) {
    let connected = async || {
        let n = world.metric("dispatcher_fleet_sessions{state=\"connected\"}").await;
        (n == N_SESSIONS as f64).then_some(())
    };
    until("the sessions are counted", PATIENCE, connected).await;
    let (_, text) = world.admin("/metrics").await.unwrap();
    let sum = |name: &str| -> f64 {
        let series = text.lines().filter(|line| line.starts_with(name)).map(|line| line.rsplit(' ').next().unwrap());
        series.map(|value| value.parse::<f64>().unwrap()).sum()
    };
    let ended = |outcome: &str| sum(&format!("dispatcher_dispatch_attempts_total{{outcome=\"{outcome}\"}}"));
    let (rejected, deferred, unknown) = (ended("rejected"), ended("deferred"), ended("unknown"));
    assert_eq!(sum("dispatcher_dispatch_failures_total"), rejected + deferred + unknown);
    assert_eq!(sum("dispatcher_dispatch_failed_total"), rejected);
    assert_eq!(sum("dispatcher_dispatch_retries_total"), deferred);
    // What left was let go before, and nothing else was.
    let (left, let_go) =
        (sum("dispatcher_dispatch_pace_error_seconds_count"), sum("dispatcher_dispatch_lateness_seconds_count"));
    assert!(ended("accepted") <= left && left <= let_go, "{left} of {let_go} left");
    assert_eq!(sum("dispatcher_ready"), 1.0);
    assert_eq!(sum("dispatcher_ledger_drift"), 0.0);
}
