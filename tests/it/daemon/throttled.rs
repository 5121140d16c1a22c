//! A session that is set to send faster than its provider takes it, until it has found out how fast that is.

use super::by_hand::number;
use super::client::NewSession;
use super::provider::Entry;
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

/// What the provider takes; it does not say so.
const FAULTS: &str = "\
[throughput]
per_second = 20.0
burst = 20
";
const LIMIT_PER_SECOND: f64 = 20.0;
/// What the session is set to.
const RATE_PER_SECOND: f64 = 200.0;

const SETTLED_AFTER_S: u64 = 60;

#[tokio::test]
async fn a_throttled_session_settles_at_what_the_provider_takes() {
    let n_seconds = SETTLED_AFTER_S + number("E2E_SECONDS", 25);
    let world = World::start(&Plan { faults: FAULTS, ..Plan::default() }, None).await;
    let session = NewSession { phone_number_id: "1000".to_owned(), rate_per_second: RATE_PER_SECOND, burst: 1 };
    let sessions = world.client.connect(&[session]).await;
    // A fifth more than the provider takes in that time, with its burst.
    let campaign = world.client.draft(&sessions, 0..n_seconds * 24 + 100).await;
    world.client.start(&campaign).await.unwrap();
    let seconds_of = |entries: &[Entry]| match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => (last.at_us - first.at_us) / 1_000_000,
        _ => 0,
    };
    let entries = until("the time is over", PATIENCE * 2, async || {
        let entries = world.provider.entries().await;
        (n_seconds <= seconds_of(&entries)).then_some(entries)
    })
    .await;
    let from_us = entries[0].at_us + SETTLED_AFTER_S * 1_000_000;
    let settled: Vec<&Entry> = entries.iter().filter(|entry| from_us <= entry.at_us).collect();
    let n_accepted = settled.iter().filter(|entry| entry.is_acceptance()).count();
    let seconds = (settled[settled.len() - 1].at_us - settled[0].at_us) as f64 / 1e6;
    let rate = n_accepted as f64 / seconds;
    let refused = 1.0 - n_accepted as f64 / settled.len() as f64;
    eprintln!(
        "{rate:.2}/s accepted of {LIMIT_PER_SECOND}/s in {seconds:.0} s, {:.2} % refused; {} requests before",
        refused * 100.0,
        entries.len() - settled.len(),
    );
    assert!((0.9..=1.1).contains(&(rate / LIMIT_PER_SECOND)), "{rate}/s");
    assert!(refused < 0.01, "{refused} refused");
}
