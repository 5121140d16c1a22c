//! A campaign that is paused and resumed in quick succession: one runner is left, and a pause is a pause.

use tokio::time::Instant;

use super::client::NewSession;
use super::judge::{Asked, Faults, judge, wait_for_the_end};
use super::world::{EARLY_RECEIPTS, Plan, World};
use crate::support::wait::{PATIENCE, until};

const N_SESSIONS: u64 = 5;
const RATE_PER_SECOND: f64 = 20.0;
const N_MESSAGES: u64 = 400;

/// How long nothing arrives before a pause counts as heard, in distances between two messages of a session.
const INTERVALS_AT_REST: f64 = 10.0;

/// Of the campaign that runs while the first one is paused; it takes half a second.
const N_MEANWHILE: u64 = 50;

async fn complete(world: &World, campaign: &str) {
    let completed = async || (world.client.stats(campaign).await.unwrap().status == "completed").then_some(());
    until("the campaign is completed", PATIENCE, completed).await;
}

#[tokio::test]
async fn pause_and_resume_at_once_leave_one_runner_and_a_pause_holds() {
    let world = World::start(&Plan { faults: EARLY_RECEIPTS, ..Plan::default() }, None).await;
    let sessions: Vec<_> = (0..N_SESSIONS)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: RATE_PER_SECOND, burst: 1 })
        .collect();
    let sessions = world.client.connect(&sessions).await;
    let campaign = world.client.draft(&sessions, 0..N_MESSAGES).await;
    let meanwhile = world.client.draft(&sessions, N_MESSAGES..N_MESSAGES + N_MEANWHILE).await;
    world.client.start(&campaign).await.unwrap();
    for _ in 0..10 {
        world.client.control(&campaign, "pause").await.unwrap();
        world.client.control(&campaign, "resume").await.unwrap();
    }
    world.client.control(&campaign, "pause").await.unwrap();

    // What is on the wire at the pause may arrive; nothing else does, while the same sessions send for another campaign.
    // The lanes hear of it a moment after it is answered: each may begin one more until then.
    let (mut n_arrived, mut since) = (0, Instant::now());
    let at_rest = async || {
        let n = world.provider.n_received().await;
        if n != n_arrived {
            (n_arrived, since) = (n, Instant::now());
        }
        let sending = world.client.stats(&campaign).await.unwrap().counters.sending;
        (sending == 0 && INTERVALS_AT_REST / RATE_PER_SECOND <= since.elapsed().as_secs_f64()).then_some(())
    };
    until("what is on the wire has ended", PATIENCE, at_rest).await;
    let before = world.client.stats(&campaign).await.unwrap();
    assert_eq!(before.status, "paused");
    assert!(0 < before.counters.queued, "nothing was left to be held: {before:?}");
    world.client.start(&meanwhile).await.unwrap();
    complete(&world, &meanwhile).await;
    assert_eq!(world.provider.n_received().await, n_arrived + N_MEANWHILE, "sent although it was paused");
    assert_eq!(world.client.stats(&campaign).await.unwrap().counters.queued, before.counters.queued);

    world.client.control(&campaign, "resume").await.unwrap();
    let campaigns = vec![(campaign, N_MESSAGES), (meanwhile, N_MEANWHILE)];
    let asked = Asked { campaigns, rate_per_second: RATE_PER_SECOND, ..Asked::default() };
    wait_for_the_end(&world, &asked).await;
    let findings = judge(&world, &asked, Faults::None).await;
    findings.assert_kept();
    assert_eq!(findings.provider.received, N_MESSAGES + N_MEANWHILE, "{findings:?}");
}
