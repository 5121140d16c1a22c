//! An access token that expires in the middle of a campaign: all is held, nothing is lost, and it goes on by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::client::{NewSession, loopback};
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

/// The account is tried again once a minute.
const PROBED_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test]
async fn an_expired_token_holds_a_campaign_until_there_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old\n").unwrap();
    let settings = format!("gateway.access_token_file = \"{}\"", file.display());
    let world = World::start(&Plan { settings: &settings, ..Plan::default() }, None).await;
    let new = NewSession { phone_number_id: "1".to_owned(), rate_per_second: 40.0, burst: 2 };
    let session = world.client.connect(&[new]).await;
    let campaign = world.client.draft(&session, 0..200).await;
    world.client.start(&campaign).await.unwrap();
    until("some have arrived", PATIENCE, async || (5 < world.provider.n_received().await).then_some(())).await;

    let url = format!("{}/token", world.provider.address);
    let expired = loopback().post(url).json(&json!({"token": "new"})).send().await.unwrap();
    assert!(expired.status().is_success());
    until("it is held and says so", PATIENCE, async || {
        let held = world.client.get(&format!("/campaigns/{campaign}/held-by")).await.ok()?;
        (held["heldBy"]["by"] == "retry").then_some(())
    })
    .await;
    let refused = world.provider.entries().await.into_iter().filter(|entry| !entry.is_acceptance()).count();
    assert!((1..=3).contains(&refused), "what was on its way was refused, and nothing went after it: {refused}");
    std::fs::write(&file, "new\n").unwrap();
    until("all have arrived", PROBED_WITHIN, async || {
        let counters = world.client.stats(&campaign).await.ok()?.counters;
        (counters.queued + counters.sending == 0).then_some(())
    })
    .await;
    let counters = world.client.stats(&campaign).await.unwrap().counters;
    assert_eq!((counters.failed, counters.unknown), (0, 0), "{counters:?}");
    let accepted = world.provider.entries().await.into_iter().filter(super::provider::Entry::is_acceptance);
    let tokens: Vec<_> = accepted.filter_map(|entry| entry.token).collect();
    assert_eq!((tokens.len(), tokens.iter().collect::<BTreeSet<_>>().len()), (200, 200));
}
