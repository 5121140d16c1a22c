//! Every lever stops what it names and nothing else, and lets it go on: by what arrives at the provider.

use std::collections::BTreeMap;

use serde_json::json;

use super::client::{Client, NewSession, phone};
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

const RATE_PER_SECOND: f64 = 10.0;
/// More than can leave while the test lasts.
const N_RECIPIENTS: u64 = 4_000;
/// How long lanes must have waited before nothing having arrived means anything, in seconds of each of them.
const HELD_SECONDS: f64 = 1.5;

/// A lever, and the numbers that it stops; the others go on.
struct Pulled {
    suspend: String,
    resume: String,
    word: &'static str,
    stops: &'static [&'static str],
}

/// A session of a number, with a campaign of its own that runs.
async fn busy(client: &Client, number: &str, recipients: std::ops::Range<u64>) -> String {
    let new = NewSession { phone_number_id: number.to_owned(), rate_per_second: RATE_PER_SECOND, burst: 1 };
    let sessions = client.connect(&[new]).await;
    let campaign = client.draft(&sessions, recipients).await;
    client.start(&campaign).await.unwrap();
    sessions.into_iter().next().unwrap()
}

/// Messages that have arrived, by number.
async fn arrived(world: &World) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in world.provider.entries().await {
        *counts.entry(entry.number).or_default() += 1;
    }
    counts
}

/// Waits until `n` more than `before` have arrived from each of these numbers.
async fn wait_for_more(world: &World, numbers: &[&str], n: usize) {
    let before = arrived(world).await;
    let more = async || {
        let now = arrived(world).await;
        let count = |of: &BTreeMap<String, usize>, number: &str| of.get(number).copied().unwrap_or(0);
        numbers.iter().all(|number| count(&before, number) + n <= count(&now, number)).then_some(())
    };
    until(&format!("{n} more of {numbers:?}"), PATIENCE, more).await;
}

/// Waits until these lanes have been held by it for a while longer.
async fn wait_while_held(world: &World, word: &str, n_lanes: usize) {
    let waited = format!("dispatcher_dispatch_held_seconds_total{{held_by=\"{word}\"}}");
    let since = world.metric(&waited).await;
    let long_enough = since + HELD_SECONDS * n_lanes as f64;
    let held = async || (long_enough <= world.metric(&waited).await).then_some(());
    until(&format!("lanes have waited for {word}"), PATIENCE, held).await;
}

#[tokio::test]
async fn a_lever_stops_what_it_names_until_it_is_let_go() {
    let world = World::start(&Plan::default(), None).await;
    let customer = &world.client;
    let first = busy(customer, "1", 0..N_RECIPIENTS).await;
    busy(customer, "2", N_RECIPIENTS..2 * N_RECIPIENTS).await;
    let stranger = customer.another("stranger@example.com").await;
    busy(&stranger, "3", 2 * N_RECIPIENTS..3 * N_RECIPIENTS).await;
    let operator = customer.operator(world.store_url()).await;

    let of = |kind: &str, id: &str, word, stops| {
        let (suspend, resume) = (format!("{kind}/{id}/suspend"), format!("{kind}/{id}/resume"));
        Pulled { suspend, resume, word, stops }
    };
    let everything =
        Pulled { suspend: "stop".to_owned(), resume: "start".to_owned(), word: "stopped", stops: &["1", "2", "3"] };
    let all = [
        of("lanes", &first, "lane_suspended", &["1"]),
        of("sessions", &first, "session_suspended", &["1"]),
        of("tenants", &customer.tenant().await, "tenant_suspended", &["1", "2"]),
        everything,
    ];
    for Pulled { suspend, resume, word, stops } in all {
        wait_for_more(&world, &["1", "2", "3"], 3).await;
        operator.operate(&suspend, json!({"reason": "a test"})).await;
        // What is asked of it meanwhile is taken, and waits too.
        let single = customer.send_text(&first, &phone(9_000_000)).await.unwrap();
        let says_why = async || (customer.held_by(&single).await.as_deref() == Some(word)).then_some(());
        until("the message says what holds it", PATIENCE, says_why).await;
        // What had left arrives before that.
        wait_while_held(&world, word, stops.len()).await;
        let before = arrived(&world).await;
        wait_while_held(&world, word, stops.len()).await;
        let goes_on: Vec<_> = ["1", "2", "3"].into_iter().filter(|number| !stops.contains(number)).collect();
        wait_for_more(&world, &goes_on, 3).await;
        let after = arrived(&world).await;
        for number in stops {
            assert_eq!(before.get(*number), after.get(*number), "{number} sends though {suspend}");
        }
        operator.operate(&resume, json!({})).await;
        let left = async || (customer.held_by(&single).await.is_none()).then_some(());
        until("the message has left", PATIENCE, left).await;
    }
    wait_for_more(&world, &["1", "2", "3"], 3).await;
    let sums = world.provider.sums(RATE_PER_SECOND).await;
    assert_eq!((sums.duplicates, sums.pace_violations, sums.unrecorded), (0, 0, 0), "{sums:?}");
}
