//! The daemon dies between each pair of steps of a message's way, and comes back on the same data.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;

use actiwapi_dispatcher::kill_point;
use actiwapi_dispatcher::store::scratch::ScratchDatabase;
use serde_json::json;

use tokio::task::{JoinSet, LocalSet};

use super::by_hand::Draw;
use super::client::{NewSession, Problem, phone};
use super::judge::{Asked, Faults, assert_nothing_is_left, judge, wait_for_the_end};
use super::world::{EARLY_RECEIPTS, Plan, World};
use crate::support::wait::PATIENCE;

const N_SESSIONS: u64 = 8;
const RECIPIENTS_PER_SESSION: u64 = 4;
/// Far longer than a restart, so that a burst after it shows.
const RATE_PER_SECOND: f64 = 0.4;
const N_SINGLES: u64 = 3;

/// How often a point is passed for sure in such a campaign.
fn passes_of(point: &str) -> u64 {
    if point.ends_with("a lost session") {
        return 1;
    }
    match point.split_once(':').unwrap().0 {
        "intake" | "background" => 2,
        "journal" | "start" => 4,
        "lane" => 20,
        other => panic!("{other} is a new part: say how often its points are passed"),
    }
}

async fn dies_and_comes_back(point: &str, nth: u64, store_url: &str) {
    let plan = Plan { store_url, faults: EARLY_RECEIPTS, ..Plan::default() };
    // A point of the start is passed only after a death with attempts under way.
    let at_start = point.starts_with("start:");
    let first = if at_start { ("journal: before lanes are told of attempts", nth) } else { (point, nth) };
    let mut world = World::start(&plan, Some(first)).await;
    let sessions: Vec<_> = (0..N_SESSIONS)
        .map(|n| NewSession { phone_number_id: format!("{}", 1_000 + n), rate_per_second: RATE_PER_SECOND, burst: 1 })
        .collect();
    let sessions = world.client.connect(&sessions).await;
    let n_recipients = N_SESSIONS * RECIPIENTS_PER_SESSION;
    let loses_session = point.ends_with("a lost session");
    let campaign = world.client.draft_with(&sessions, 0..n_recipients, json!({"failover": loses_session})).await;
    let mut asked = Asked {
        campaigns: vec![(campaign.clone(), n_recipients)],
        rate_per_second: RATE_PER_SECOND,
        ..Asked::default()
    };
    let mut started = world.client.start(&campaign).await;
    for n in 0..N_SINGLES {
        // The first one may be lost.
        let session = &sessions[usize::try_from(N_SESSIONS - 1 - n).unwrap()];
        match world.client.send_text(session, &phone(n_recipients + n)).await {
            Ok(id) => asked.singles.push(id),
            Err(Problem::Silence(_)) => asked.n_unanswered += 1,
            Err(problem) => panic!("{problem}"),
        }
    }
    if loses_session {
        // Done or not when the daemon dies: its session is lost in the database first.
        world.client.log_out(&sessions[0]).await.ok();
    }
    let status = world.daemon().end(PATIENCE).await;
    assert_eq!(status.signal(), Some(6), "the daemon was to die at {point:?}: {status}");

    if at_start {
        world.launch_to_die_at(point);
        let status = world.daemon().end(PATIENCE).await;
        assert_eq!(status.signal(), Some(6), "the daemon was to die at {point:?}: {status}");
    }
    world.restart().await;
    while started.is_err() {
        // Done or not: what was asked can be asked again.
        started = match world.client.stats(&campaign).await.unwrap().status.as_str() {
            "draft" => world.client.start(&campaign).await,
            _ => Ok(()),
        };
    }
    wait_for_the_end(&world, &asked).await;
    let findings = judge(&world, &asked, Faults::None).await;
    eprintln!("{point} #{nth}: {:?}", findings.by_status);
    findings.assert_kept();
    assert_nothing_is_left(&mut world).await;
}

/// Runs all at once, as far as there are places, and names every point that fails.
async fn all_of(points: &[&'static str], store_url: Option<&str>) {
    let mut draw = Draw::new();
    let mut worlds = JoinSet::new();
    let mut names = HashMap::new();
    let tasks = LocalSet::new();
    for &point in points {
        let nth = draw.between(1, passes_of(point));
        let server = store_url.map(str::to_owned);
        let world = async move {
            let Some(server) = server else {
                return dies_and_comes_back(point, nth, "").await;
            };
            let scratch = ScratchDatabase::create(&server).await.unwrap();
            dies_and_comes_back(point, nth, scratch.url()).await;
            scratch.drop().await.unwrap();
        };
        names.insert(worlds.spawn_local_on(world, &tasks).id(), format!("{point} #{nth}"));
    }
    let mut failed = Vec::new();
    let joined = async {
        while let Some(ended) = worlds.join_next().await {
            failed.extend(ended.err().map(|error| names[&error.id()].clone()));
        }
    };
    tasks.run_until(joined).await;
    assert!(failed.is_empty(), "promises were broken at {failed:#?}");
}

#[tokio::test]
async fn every_kill_point() {
    let without_broker: Vec<_> = kill_point::ALL.iter().copied().filter(|point| !point.starts_with("topic:")).collect();
    all_of(&without_broker, None).await;
}

#[tokio::test]
async fn kill_points_on_postgres() {
    let points = [
        "journal: before lanes are told of attempts",
        "lane: before the outcome is reported",
        "journal: before receipts are written",
    ];
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL where tests may create databases");
    all_of(&points, Some(&url)).await;
}
