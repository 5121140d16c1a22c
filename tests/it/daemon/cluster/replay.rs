//! The whole job topic is read again from its beginning: not one send more.

use super::chaos::start_campaigns;
use super::nodes::{Cluster, Servers};
use crate::daemon::judge::{Faults, judge, wait_for_the_end};
use crate::support::wait::{PATIENCE, until};

const N_MESSAGES: u64 = 600;
const N_SESSIONS: u64 = 60;

#[tokio::test]
async fn a_topic_read_twice_sends_nothing_twice() {
    let mut cluster = Cluster::start(2, Servers::calm(), "", "").await;
    let asked = start_campaigns(&cluster, N_SESSIONS, N_MESSAGES).await;
    // Half of it while the first sends are under way, all of it again when they are done.
    cluster.wait_for_arrivals(N_MESSAGES / 3).await;
    for round in 0..2 {
        for node in 0..cluster.n_nodes() {
            cluster.stop(node).await;
        }
        cluster.regroup(round);
        for node in 0..cluster.n_nodes() {
            cluster.launch(node).await;
        }
        let read_again = async || {
            let n = cluster.sum("dispatcher_intake_duplicates_total ").await;
            (f64::from(u32::try_from(N_MESSAGES).unwrap()) <= n).then_some(())
        };
        until("every delivery was read again", PATIENCE, read_again).await;
        wait_for_the_end(&cluster, &asked).await;
    }
    let findings = judge(&cluster, &asked, Faults::None).await;
    findings.assert_kept();
    assert_eq!((findings.provider.received, findings.n_unknown()), (N_MESSAGES, 0), "{findings:?}");
    cluster.end().await;
}
