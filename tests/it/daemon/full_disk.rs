//! The disk is full in the middle of a campaign: no file of the daemon may grow, its log neither, until they may again.

use std::time::Duration;

use tokio::time::Instant;

use super::client::{NewSession, phone};
use super::judge::{Asked, Faults, assert_attempts_are_durable, assert_nothing_is_left, judge, wait_for_the_end};
use super::process::run;
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

const N_SESSIONS: u64 = 20;
const N_RECIPIENTS: u64 = 240;
const RATE_PER_SECOND: f64 = 1.0;
/// Longer than attempts durable before wait for their moment.
const LAST_LEAVE_WITHIN: Duration = Duration::from_secs(1);
const FULL_FOR: Duration = Duration::from_secs(4);

/// Lets no file of a process grow beyond so many bytes.
fn limit_files(pid: u32, bytes: &str) {
    run("prlimit", &["--pid", &pid.to_string(), &format!("--fsize={bytes}:unlimited")]);
}

#[tokio::test]
async fn a_full_disk_stops_sending() {
    let mut world = World::start(&Plan::default(), None).await;
    let sessions: Vec<_> = (0..N_SESSIONS)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: RATE_PER_SECOND, burst: 1 })
        .collect();
    let sessions = world.client.connect(&sessions).await;
    let campaign = world.client.draft(&sessions, 0..N_RECIPIENTS).await;
    world.client.start(&campaign).await.unwrap();
    // In the pause between two rounds of all lanes, so that attempts are what comes next.
    let between_rounds = async || {
        let sums = world.provider.sums(RATE_PER_SECOND).await;
        let whole_rounds = sums.received.is_multiple_of(N_SESSIONS) && N_RECIPIENTS / 4 <= sums.received;
        (whole_rounds && sums.receipts_waiting == 0).then_some(())
    };
    until("a quarter has arrived", PATIENCE, between_rounds).await;

    let full_at = Instant::now();
    let pid = world.daemon().pid();
    limit_files(pid, "512");
    tokio::time::sleep_until(full_at + LAST_LEAVE_WITHIN).await;
    let n_before = world.provider.n_received().await;
    let refused = world.client.send_text(&sessions[0], &phone(N_RECIPIENTS)).await;
    assert!(refused.is_err(), "taken without a place to put it: {refused:?}");
    tokio::time::sleep_until(full_at + FULL_FOR).await;
    let n_after = world.provider.n_received().await;
    assert_eq!(n_after, n_before, "sent although nothing could be written");
    assert!(n_after < N_RECIPIENTS, "the campaign was over before");
    assert_attempts_are_durable(&world, world.store_url()).await;
    limit_files(pid, "unlimited");

    let asked = Asked {
        campaigns: vec![(campaign, N_RECIPIENTS)],
        n_unanswered: 1,
        rate_per_second: RATE_PER_SECOND,
        ..Asked::default()
    };
    wait_for_the_end(&world, &asked).await;
    assert_eq!(world.daemon().pid(), pid);
    let findings = judge(&world, &asked, Faults::None).await;
    findings.assert_kept();
    assert_eq!(findings.n_unknown(), 0, "{findings:?}");
    assert_nothing_is_left(&mut world).await;
}
