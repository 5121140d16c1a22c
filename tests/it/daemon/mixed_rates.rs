//! Many sessions, each at a rate of its own, from one message in 50 seconds to 80 in one; judged number by number.
//!
//! By hand: `E2E_SESSIONS=10000 E2E_SECONDS=600` with a release build (`E2E_BINARY`) and PostgreSQL (`E2E_STORE`).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::by_hand::{is_by_hand, number};
use super::client::NewSession;
use super::provider::{Entry, Pace};
use super::wait::{PATIENCE, until};
use super::world::{Plan, World};

/// How many of 10,000 sessions send how fast, and with which burst: fast ones may catch up a quarter of a second.
const CLASSES: [(u64, f64, u32); 9] = [
    (4_000, 0.02, 1),
    (3_000, 0.05, 1),
    (2_000, 0.1, 1),
    (700, 0.2, 1),
    (200, 0.5, 1),
    (70, 1.0, 1),
    (20, 5.0, 2),
    (8, 20.0, 5),
    (2, 80.0, 20),
];

/// Sessions of one campaign, at most.
const SESSIONS_PER_CAMPAIGN: usize = 1_000;

/// How much earlier than its pace a message may arrive: what the way to the provider adds to one and not to the next.
/// Debug builds of many processes share the machine; see the note on three nodes in the table of measurements.
const TOLERANCE_MS: f64 = 300.0;
const TOLERANCE_BY_HAND_MS: f64 = 50.0;

/// What must be achieved of the quota where there is work.
const ACHIEVED_LEAST: f64 = 0.8;
const ACHIEVED_BY_HAND_LEAST: f64 = 0.99;

/// What one number did of what it may.
struct Done {
    /// Messages after the first.
    n: f64,
    /// What its rate allows from the first message to its last, or to the end where it stopped early.
    quota: f64,
    /// How much later than allowed each message arrived, microseconds.
    late_us: Vec<f64>,
}

#[tokio::test]
async fn no_window_of_any_session_holds_more_than_its_rate() {
    let (n_sessions, n_seconds) = (number("E2E_SESSIONS", 100), number("E2E_SECONDS", 15));
    let store_url = std::env::var("E2E_STORE").unwrap_or_default();
    let world = World::start(&Plan { store_url: &store_url, ..Plan::default() }, None).await;
    let (paces, campaigns) = make(&world, n_sessions, n_seconds).await;
    let started = Instant::now();
    for campaign in &campaigns {
        world.client.start(campaign).await.unwrap();
    }
    let time = Duration::from_secs(n_seconds);
    until("the time is over", PATIENCE + time, async || (time <= started.elapsed()).then_some(())).await;

    let entries = world.provider.entries().await;
    let tolerance_ms = if is_by_hand() { TOLERANCE_BY_HAND_MS } else { TOLERANCE_MS };
    let judgement = world.provider.judge(&paces, tolerance_ms).await;
    let done = done(&entries, &paces);
    let achieved = done.values().map(|done| done.n).sum::<f64>() / done.values().map(|done| done.quota).sum::<f64>();
    let mut late_us: Vec<f64> = done.values().flat_map(|done| done.late_us.iter().copied()).collect();
    late_us.sort_unstable_by(f64::total_cmp);
    let late_ms = |share: f64| late_us[(late_us.len() as f64 * share) as usize] / 1_000.0;
    eprintln!(
        "{} messages of {} numbers in {n_seconds} s: {} early beyond {tolerance_ms} ms, {:.2} % of the quota; late {:.1} \
         ms p50, {:.1} ms p99",
        entries.len(),
        done.len(),
        judgement.violations,
        achieved * 100.0,
        late_ms(0.5),
        late_ms(0.99),
    );
    eprintln!("{}", lateness_told(&world).await);
    assert_eq!(judgement.violations, 0, "{judgement:?}");
    assert_eq!(judgement.judged, paces.len(), "not every number has sent");
    let least = if is_by_hand() { ACHIEVED_BY_HAND_LEAST } else { ACHIEVED_LEAST };
    assert!(least <= achieved, "{achieved} of the quota");
}

/// Makes the sessions, and campaigns that give each more than it can send; returns what each may do, and the campaigns.
async fn make(world: &World, n_sessions: u64, n_seconds: u64) -> (Vec<Pace>, Vec<String>) {
    let (mut paces, mut campaigns, mut n_recipients) = (Vec::new(), Vec::new(), 0);
    for (share, rate_per_second, burst) in CLASSES {
        let first = 1_000 + paces.len() as u64;
        let numbers = first..first + (share * n_sessions).div_ceil(10_000);
        let new: Vec<_> =
            numbers.map(|number| NewSession { phone_number_id: number.to_string(), rate_per_second, burst }).collect();
        let each = (rate_per_second * n_seconds as f64 * 1.2) as u64 + u64::from(burst) + 3;
        let sessions = world.client.connect(&new).await;
        for sessions in sessions.chunks(SESSIONS_PER_CAMPAIGN) {
            let until = n_recipients + each * sessions.len() as u64;
            campaigns.push(world.client.draft(sessions, n_recipients..until).await);
            n_recipients = until;
        }
        paces.extend(new.into_iter().map(|new| Pace { number: new.phone_number_id, rate_per_second, burst }));
    }
    (paces, campaigns)
}

/// Replays each number's limiter over its arrivals.
fn done(entries: &[Entry], paces: &[Pace]) -> BTreeMap<String, Done> {
    let end_us = entries.last().unwrap().at_us as f64;
    let mut arrivals: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for entry in entries {
        arrivals.entry(&entry.number).or_default().push(entry.at_us as f64);
    }
    let of_number = |pace: &Pace| {
        let arrivals = arrivals.get(pace.number.as_str())?;
        let interval_us = 1e6 / pace.rate_per_second;
        let slack_us = interval_us * f64::from(pace.burst - 1);
        let (first, last) = (arrivals[0], arrivals[arrivals.len() - 1]);
        let mut full_at = first + interval_us;
        let mut late_us = Vec::new();
        for &at in &arrivals[1..] {
            late_us.push((at - (full_at - slack_us)).max(0.0));
            full_at = full_at.max(at) + interval_us;
        }
        // One that was due and never came is missing too. The burst goes beyond the rate.
        let quota_us = last.max(end_us - interval_us) - first + slack_us;
        Some((pace.number.clone(), Done { n: late_us.len() as f64, quota: quota_us / interval_us, late_us }))
    };
    paces.iter().filter_map(of_number).collect()
}

/// What the daemon itself says of its lateness.
async fn lateness_told(world: &World) -> String {
    let (_, metrics) = world.admin("/metrics").await.unwrap();
    let of_lateness = |line: &&str| line.starts_with("dispatcher_dispatch_lateness_seconds");
    metrics.lines().filter(of_lateness).collect::<Vec<_>>().join("\n")
}
