//! Everything that can happen to three nodes during one run.

use std::time::Duration;

use actiwapi_dispatcher::store::Store;
use actiwapi_dispatcher::with_writer;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::nodes::{Cluster, SESSION_TIMEOUT, Servers};
use crate::daemon::by_hand::{Draw, number};
use crate::daemon::client::NewSession;
use crate::daemon::judge::{Asked, Faults, judge, wait_for_the_end};
use crate::daemon::world::EARLY_RECEIPTS;

pub(super) const RATE_PER_SECOND: f64 = 0.8;
const SESSIONS_PER_CAMPAIGN: usize = 1_000;

/// Tests that restart servers take turns.
pub(super) static CHAOS: Mutex<()> = Mutex::const_new(());

/// Connects sessions, all at the same pace.
pub(super) async fn connect(cluster: &Cluster, n_sessions: u64) -> Vec<String> {
    let session =
        |n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: RATE_PER_SECOND, burst: 1 };
    let sessions: Vec<_> = (0..n_sessions).map(session).collect();
    cluster.client.connect(&sessions).await
}

/// Connects sessions and starts campaigns over all of them.
pub(super) async fn start_campaigns(cluster: &Cluster, n_sessions: u64, n_messages: u64) -> Asked {
    let sessions = connect(cluster, n_sessions).await;
    let mut asked = Asked { rate_per_second: RATE_PER_SECOND, ..Asked::default() };
    let mut first = 0;
    for share in sessions.chunks(SESSIONS_PER_CAMPAIGN) {
        let n = n_messages * share.len() as u64 / n_sessions;
        let campaign = cluster.client.draft(share, first..first + n).await;
        cluster.client.start(&campaign).await.unwrap();
        asked.campaigns.push((campaign, n));
        first += n;
    }
    asked
}

/// `kill -9`, `SIGSTOP` past the session's end, a broker and a database that die, and a rolling restart.
#[tokio::test]
async fn nothing_is_lost_repeated_or_too_fast_whatever_dies() {
    let (n_messages, n_sessions) = (number("E2E_MESSAGES", 6_000), number("E2E_SESSIONS", 150));
    let _alone = CHAOS.lock().await;
    let mut cluster = Cluster::start(3, Servers::of_chaos(), EARLY_RECEIPTS, "").await;
    let asked = start_campaigns(&cluster, n_sessions, n_messages).await;
    let began = Instant::now();

    // All lanes go round together: a moment drawn from a whole round meets them anywhere in it.
    let mut draw = Draw::new();
    let mut moment = |hundredths: u64| n_messages * hundredths / 100 + draw.between(1, n_sessions);
    cluster.wait_for_arrivals(moment(10)).await;
    cluster.kill(0);
    cluster.wait_for_arrivals(moment(16)).await;
    cluster.launch(0).await;

    cluster.wait_for_arrivals(moment(25)).await;
    let stopped_at = Instant::now();
    cluster.signal(1, "STOP");
    tokio::time::sleep_until(stopped_at + SESSION_TIMEOUT + Duration::from_secs(4)).await;
    cluster.signal(1, "CONT");

    cluster.wait_for_arrivals(moment(40)).await;
    cluster.servers.kafka("kill").await;
    cluster.servers.kafka("start").await;

    cluster.wait_for_arrivals(moment(50)).await;
    cluster.servers.postgres("restart-immediate").await;

    cluster.wait_for_arrivals(moment(60)).await;
    for node in 0..cluster.n_nodes() {
        cluster.stop(node).await;
        cluster.launch(node).await;
    }
    wait_for_the_end(&cluster, &asked).await;
    let took = began.elapsed();
    let findings = judge(&cluster, &asked, Faults::None).await;
    eprintln!(
        "{n_messages} messages, {n_sessions} sessions, {:.0} s: lost {}, duplicates {}, pace violations {}, unknown {}, {:?}",
        took.as_secs_f64(),
        findings.n_lost,
        findings.provider.duplicates,
        findings.provider.pace_violations,
        findings.n_unknown(),
        findings.by_status,
    );
    findings.assert_kept();
    let store = Store::open(cluster.store_url(), 2).await.unwrap();
    let (n_orphaned, n_withdrawn) = (n_ended(&store, "unknown").await, n_ended(&store, "withdrawn").await);
    eprintln!("{n_orphaned} attempts were declared unknown and {n_withdrawn} withdrawn");
    store.close().await;
    cluster.end().await;
}

/// Counts attempts by how they ended.
async fn n_ended(store: &Store, outcome: &str) -> i64 {
    let sql = "SELECT COUNT(*) FROM attempt_outcomes WHERE outcome = $1";
    with_writer!(store.pool(), |db| sqlx::query_scalar(sql).bind(outcome).fetch_one(db).await).unwrap()
}
