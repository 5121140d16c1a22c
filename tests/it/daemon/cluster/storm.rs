//! A node joins and leaves the group every two seconds while the others send.

use std::time::Duration;

use tokio::time::Instant;

use super::chaos::start_campaigns;
use super::nodes::{Cluster, Servers};
use crate::daemon::by_hand::number;
use crate::daemon::judge::{Faults, judge, wait_for_the_end};
use crate::daemon::world::EARLY_RECEIPTS;

const BEAT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_storm_of_rebalances_breaks_no_promise() {
    let (n_messages, n_sessions) = (number("E2E_MESSAGES", 3_000), number("E2E_SESSIONS", 100));
    let n_changes = number("E2E_CHANGES", 10);
    // The third has no name in the group, so that it really leaves.
    let mut cluster = Cluster::start(3, Servers::calm(), EARLY_RECEIPTS, "").await;
    cluster.forget_name(2);
    cluster.stop(2).await;
    let asked = start_campaigns(&cluster, n_sessions, n_messages).await;
    let began = Instant::now();
    let mut is_up = false;
    for n in 1..=u32::try_from(n_changes).unwrap() {
        if is_up {
            cluster.stop(2).await;
        } else {
            cluster.launch(2).await;
        }
        is_up = !is_up;
        tokio::time::sleep_until(began + BEAT * n).await;
    }
    let n_in_storm = cluster.provider.n_received().await;
    wait_for_the_end(&cluster, &asked).await;
    let findings = judge(&cluster, &asked, Faults::None).await;
    eprintln!(
        "{n_changes} changes: {n_in_storm} of {n_messages} sent in them, all after {:.0} s; unknown {}, lost leases {}",
        began.elapsed().as_secs_f64(),
        findings.n_unknown(),
        cluster.sum("dispatcher_ownership_lost_total ").await,
    );
    findings.assert_kept();
    assert_eq!(findings.n_unknown(), 0, "nobody died: {findings:?}");
    assert!(0 < n_in_storm, "nothing was sent in the storm");
    cluster.end().await;
}
