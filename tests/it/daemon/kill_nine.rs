//! The daemon ended by `kill -9` at random moments of a run, again and again on the same data.

use actiwapi_dispatcher::store::scratch::ScratchDatabase;
use tokio::time::Instant;

use super::by_hand::{Draw, is_by_hand, number};
use super::client::{NewSession, Problem, phone};
use super::judge::{Asked, Faults, assert_nothing_is_left, judge, wait_for_the_end};
use super::provider::TRANSIT_MAX_MS;
use super::world::{EARLY_RECEIPTS, Plan, World};
use crate::support::wait::{PATIENCE, until};

/// Messages of one session: with one a second, so many seconds at least.
const MESSAGES_PER_SESSION: u64 = 10;
const SESSIONS_MAX: u64 = 1_000;
const RATE_PER_SECOND: f64 = 1.0;

/// Lets a little time pass by looking at the ledger; each look takes about a millisecond.
async fn look(world: &World, n_looks: u64) {
    for _ in 0..n_looks {
        world.provider.n_received().await;
    }
}

#[tokio::test]
async fn kill_nine_at_random() {
    killed_at_random("").await;
}

#[tokio::test]
async fn kill_nine_on_postgres() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL where tests may create databases");
    let scratch = ScratchDatabase::create(&url).await.unwrap();
    killed_at_random(scratch.url()).await;
    scratch.drop().await.unwrap();
}

async fn killed_at_random(store_url: &str) {
    let mut draw = Draw::new();
    let (n_kills, n_messages) = (number("E2E_KILLS", 5), number("E2E_MESSAGES", 1_500));
    let n_sessions = number("E2E_SESSIONS", (n_messages / MESSAGES_PER_SESSION).clamp(1, SESSIONS_MAX));
    let began = Instant::now();
    let mut world = World::start(&Plan { store_url, faults: EARLY_RECEIPTS, ..Plan::default() }, None).await;
    if !is_by_hand() {
        world.provider = world.provider.tolerating(TRANSIT_MAX_MS);
    }
    let sessions: Vec<_> = (0..n_sessions)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: RATE_PER_SECOND, burst: 1 })
        .collect();
    let sessions = world.client.connect(&sessions).await;
    let campaign = world.client.draft(&sessions, 0..n_messages).await;
    world.client.start(&campaign).await.unwrap();
    let campaigns = vec![(campaign.clone(), n_messages)];
    let mut asked = Asked { campaigns, rate_per_second: RATE_PER_SECOND, ..Asked::default() };

    // Moments by what has arrived, so that all of them lie inside the run whatever the machine.
    let mut moments: Vec<u64> = (0..n_kills).map(|_| draw.between(1, n_messages * 9 / 10)).collect();
    moments.sort_unstable();
    for (n, moment) in (0_u64..).zip(moments) {
        // Each kill may leave an attempt of every lane unknown, and so many never arrive; then it is over sooner.
        let reached = async || {
            let is_over = world.client.stats(&campaign).await.is_ok_and(|stats| stats.status == "completed");
            (is_over || moment <= world.provider.n_received().await).then_some(())
        };
        until("so many messages have arrived", PATIENCE * 5, reached).await;
        let session = &sessions[usize::try_from(draw.between(0, n_sessions - 1)).unwrap()];
        match world.client.send_text(session, &phone(n_messages + n)).await {
            Ok(id) => asked.singles.push(id),
            Err(Problem::Silence(_)) => asked.n_unanswered += 1,
            Err(problem) => panic!("{problem}"),
        }
        // Any moment: after a few looks at the ledger, whatever the daemon is doing.
        look(&world, draw.between(0, 20)).await;
        world.kill_daemon();
        if draw.between(1, 4) == 1 {
            world.launch();
            look(&world, draw.between(0, 200)).await;
            world.kill_daemon();
        }
        world.restart().await;
    }
    wait_for_the_end(&world, &asked).await;
    let findings = judge(&world, &asked, Faults::None).await;
    eprintln!(
        "{n_kills} kills, {n_messages} messages, {:.0} s: lost {}, duplicates {}, pace violations {}, unknown {}, {:?}",
        began.elapsed().as_secs_f64(),
        findings.n_lost,
        findings.provider.duplicates,
        findings.provider.pace_violations,
        findings.n_unknown(),
        findings.by_status,
    );
    findings.assert_kept();
    assert_nothing_is_left(&mut world).await;
}
