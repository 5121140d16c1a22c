//! One slow lane beside one that hangs, one that is throttled, and many that run flat out.

use std::time::Duration;

use super::by_hand::{is_by_hand, number};
use super::client::NewSession;
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

/// Numbers of the three special lanes.
const FAULTS: &str = "\
[[numbers]]
id = \"2\"
hang = { before_acceptance = 1.0 }
[[numbers]]
id = \"3\"
errors = [{ code = 130429, probability = 1.0 }]
";

/// What a debug build on a machine that runs other tests must keep; a release build by hand keeps the aim.
const LATENESS_MAX: Duration = Duration::from_millis(250);
const LATENESS_AIM: Duration = Duration::from_millis(20);

#[tokio::test]
async fn slow_lane_is_not_held_up() {
    let n_lanes = number("E2E_LANES", 100);
    let n_slow = number("E2E_SLOW_MESSAGES", 8);
    let rate_of_others = f64::from(u32::try_from(number("E2E_LANE_RATE", 30)).unwrap());
    // More than they may send until the slow lane is done.
    let n_others = number("E2E_MESSAGES", 36_000);
    let plan = Plan { faults: FAULTS, store_url: &std::env::var("E2E_STORE").unwrap_or_default(), ..Plan::default() };
    let world = World::start(&plan, None).await;
    let session = |id: u64, rate_per_second| NewSession { phone_number_id: id.to_string(), rate_per_second, burst: 1 };
    let special = [session(1, 1.0), session(2, rate_of_others), session(3, rate_of_others)];
    let others: Vec<_> = (0..n_lanes).map(|n| session(1_000 + n, rate_of_others)).collect();
    let special = world.client.connect(&special).await;
    let others = world.client.connect(&others).await;
    let slow = world.client.draft(&special[..1], 0..n_slow).await;
    let stuck = world.client.draft(&special[1..], n_slow..n_slow + 1_000).await;
    let flat_out = world.client.draft(&others, 2_000..2_000 + n_others).await;
    for campaign in [&flat_out, &stuck, &slow] {
        world.client.start(campaign).await.unwrap();
    }
    let done = async || {
        let stats = world.client.stats(&slow).await.ok()?;
        (stats.status == "completed").then_some(())
    };
    until("the slow lane is done", PATIENCE + Duration::from_secs(n_slow), done).await;
    let left = world.client.stats(&flat_out).await.unwrap().counters.queued;

    let entries = world.provider.entries().await;
    let arrivals = |number: &str| -> Vec<u64> {
        entries.iter().filter(|entry| entry.number == number).map(|entry| entry.at_us).collect()
    };
    let mut late: Vec<Duration> = arrivals("1")
        .windows(2)
        .map(|pair| Duration::from_micros(pair[1].saturating_sub(pair[0]).saturating_sub(1_000_000)))
        .collect();
    late.sort_unstable();
    assert_eq!(late.len() as u64, n_slow - 1, "messages of the slow lane are missing");
    let at = |share: usize| late[(late.len() * share).div_ceil(100) - 1];
    let seconds = (entries[entries.len() - 1].at_us - entries[0].at_us) as f64 / 1e6;
    eprintln!(
        "slow lane beside {n_lanes} flat out ({:.0} sends/s, {left} left): {:?} late at p50, {:?} at p99, {:?} at most",
        entries.len() as f64 / seconds,
        at(50),
        at(99),
        late[late.len() - 1],
    );
    // Otherwise there was nothing to be held up by.
    assert!(0 < left, "the others were done before the slow lane");
    assert!(2 <= arrivals("2").len() && 2 <= arrivals("3").len(), "hanging and throttled lanes did not try");
    let max = if is_by_hand() { LATENESS_AIM } else { LATENESS_MAX };
    assert!(at(99) < max, "{:?} late", at(99));
}
