//! Many sessions, each at a rate of its own, from one message in 50 seconds to 80 in one; judged number by number.
//!
//! By hand: `E2E_SESSIONS=10000 E2E_SECONDS=600` with a release build (`E2E_BINARY`) and PostgreSQL (`E2E_STORE`).

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::by_hand::{Draw, is_by_hand, number};
use super::client::NewSession;
use super::provider::{Entry, Pace, TRANSIT_MAX_MS};
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

/// How many of 10,000 sessions send how many messages in 1,000,000 s, and with which burst: fast ones may catch up a
/// quarter of a second. Each session's own rate is drawn from there to a fifth above, so that they do not march in step.
const CLASSES: [(u64, u64, u32); 9] = [
    (4_000, 20_000, 1),
    (3_000, 50_000, 1),
    (2_000, 100_000, 1),
    (700, 200_000, 1),
    (200, 500_000, 1),
    (70, 1_000_000, 1),
    (20, 5_000_000, 2),
    (8, 20_000_000, 5),
    (2, 80_000_000, 20),
];

/// The fastest, messages in 1,000,000 s.
const FASTEST: u64 = 80_000_000;

/// Sessions of one campaign, at most.
const SESSIONS_PER_CAMPAIGN: usize = 1_000;

/// How much earlier than its pace a message may arrive on a quiet machine with a release build.
const TOLERANCE_BY_HAND_MS: u64 = 50;

/// How long it takes until all campaigns have begun and their jobs are admitted: a million of them by hand, in this time.
const BEGINNING: Duration = Duration::from_secs(30);

/// What must be achieved of the quota where there is work.
const ACHIEVED_LEAST: f64 = 0.8;
const ACHIEVED_BY_HAND_LEAST: f64 = 0.99;

/// What all numbers did of what they might.
#[derive(Default)]
struct Done {
    /// Messages after each number's first.
    n: f64,
    /// What their rates allow from the first message to the last, or to the end where a number stopped early.
    quota: f64,
    /// How much later than allowed each of them arrived, microseconds.
    late_us: Vec<u64>,
    /// The same of those that arrived after [`BEGINNING`].
    late_after_us: Vec<u64>,
    /// The same of each minute from the first arrival on: one that stands out tells of what else ran in it.
    late_in_minute_us: BTreeMap<u64, Vec<u64>>,
}

#[tokio::test]
async fn no_window_of_any_session_holds_more_than_its_rate() {
    let (n_sessions, n_seconds) = (number("E2E_SESSIONS", 100), number("E2E_SECONDS", 15));
    let store_url = std::env::var("E2E_STORE").unwrap_or_default();
    let world = World::start(&Plan { store_url: &store_url, ..Plan::default() }, None).await;
    let mut draw = Draw::new();
    let (paces, campaigns) = make(&world, &mut draw, (n_sessions, n_seconds)).await;
    let started = Instant::now();
    for campaign in &campaigns {
        world.client.start(campaign).await.unwrap();
    }
    let time = Duration::from_secs(n_seconds);
    until("the time is over", PATIENCE + time, async || (time <= started.elapsed()).then_some(())).await;

    let entries = world.provider.entries().await;
    let tolerance_ms = if is_by_hand() { TOLERANCE_BY_HAND_MS } else { TRANSIT_MAX_MS };
    let judgement = world.provider.judge(&paces, tolerance_ms).await;
    let done = Done::of(&entries, &paces);
    let achieved = done.n / done.quota;
    eprintln!(
        "{} messages of {} numbers in {n_seconds} s: {} early beyond {tolerance_ms} ms, {:.2} % of the quota; late {}; \
         after the first {} s {}",
        entries.len(),
        judgement.judged,
        judgement.violations,
        achieved * 100.0,
        quantiles(done.late_us),
        BEGINNING.as_secs(),
        quantiles(done.late_after_us),
    );
    for (minute, late_us) in done.late_in_minute_us {
        eprintln!("minute {minute}: late {}", quantiles(late_us));
    }
    eprintln!("{}", lateness_told(&world).await);
    assert_eq!(judgement.violations, 0, "{judgement:?}");
    assert_eq!(judgement.judged, paces.len(), "not every number has sent");
    let least = if is_by_hand() { ACHIEVED_BY_HAND_LEAST } else { ACHIEVED_LEAST };
    assert!(least <= achieved, "{achieved} of the quota");
}

/// Makes the sessions, and campaigns that give each more than it can send; returns what each may do, and the campaigns.
async fn make(world: &World, draw: &mut Draw, (n_sessions, n_seconds): (u64, u64)) -> (Vec<Pace>, Vec<String>) {
    let (mut paces, mut campaigns, mut n_recipients) = (Vec::new(), Vec::new(), 0);
    for (share, in_a_million_s, burst) in CLASSES {
        let first = 1_000 + paces.len() as u64;
        let numbers = first..first + (share * n_sessions).div_ceil(10_000);
        let mut rate_per_second =
            || draw.between(in_a_million_s, (in_a_million_s * 6 / 5).min(FASTEST)) as f64 / 1_000_000.0;
        let new: Vec<_> = numbers
            .map(|number| NewSession { phone_number_id: number.to_string(), rate_per_second: rate_per_second(), burst })
            .collect();
        let each = in_a_million_s * n_seconds * 13 / 10_000_000 + u64::from(burst) + 3;
        let sessions = world.client.connect(&new).await;
        for sessions in sessions.chunks(SESSIONS_PER_CAMPAIGN) {
            let until = n_recipients + each * sessions.len() as u64;
            campaigns.push(world.client.draft(sessions, n_recipients..until).await);
            n_recipients = until;
        }
        let pace = |new: NewSession| Pace { number: new.phone_number_id, rate_per_second: new.rate_per_second, burst };
        paces.extend(new.into_iter().map(pace));
    }
    (paces, campaigns)
}

impl Done {
    /// Replays each number's limiter over its arrivals.
    fn of(entries: &[Entry], paces: &[Pace]) -> Self {
        let mut arrivals: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for entry in entries {
            arrivals.entry(&entry.number).or_default().push(entry.at_us);
        }
        let begun_us = entries.first().map_or(0, |entry| entry.at_us);
        let end_us = entries.last().map_or(0, |entry| entry.at_us);
        let mut done = Self::default();
        for pace in paces {
            let Some(arrivals) = arrivals.get(pace.number.as_str()) else { continue };
            // In fractions: 80 a second are 48,000 in ten minutes, and half a microsecond cut off each of them is 24 ms.
            let interval_us = 1e6 / pace.rate_per_second;
            let slack_us = interval_us * f64::from(pace.burst - 1);
            let (first, last) = (arrivals[0], arrivals[arrivals.len() - 1]);
            let mut full_at = first as f64 + interval_us;
            for &at in &arrivals[1..] {
                #[expect(clippy::cast_possible_truncation, reason = "microseconds of one run")]
                let late_us = (at as f64 - (full_at - slack_us)).max(0.0) as u64;
                done.late_us.push(late_us);
                let since_begun = Duration::from_micros(at - begun_us);
                if BEGINNING <= since_begun {
                    done.late_after_us.push(late_us);
                }
                done.late_in_minute_us.entry(since_begun.as_secs() / 60).or_default().push(late_us);
                full_at = full_at.max(at as f64) + interval_us;
            }
            done.n += (arrivals.len() - 1) as f64;
            // One that was due and never came is missing too. The burst goes beyond the rate.
            let quota_us = (last as f64).max(end_us as f64 - interval_us) - first as f64 + slack_us;
            done.quota += quota_us / interval_us;
        }
        done
    }
}

fn quantiles(mut late_us: Vec<u64>) -> String {
    late_us.sort_unstable();
    let at = |percent| late_us.get(late_us.len() * percent / 100).copied().unwrap_or_default();
    format!("{} us p50, {} us p99", at(50), at(99))
}

/// What the daemon itself says of its lateness.
async fn lateness_told(world: &World) -> String {
    let (_, metrics) = world.admin("/metrics").await.unwrap();
    let of_lateness = |line: &&str| line.starts_with("dispatcher_dispatch_lateness_seconds");
    metrics.lines().filter(of_lateness).collect::<Vec<_>>().join("\n")
}
