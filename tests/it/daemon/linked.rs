//! Campaigns over a linked device: paired by its code, each message once, and held when the device is gone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::phone;
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

/// The number of the phone that scans.
const NUMBER: &str = "919811111111";

/// Makes a session without a number at the Cloud API and pairs it by the code that is shown.
async fn pair(world: &World) -> String {
    let new = json!({"name": "Phone", "ratePerMinute": 3000, "burst": 5});
    let session = world.client.post("/whatsapp", &new).await.unwrap()["id"].as_str().unwrap().to_owned();
    world.client.post(&format!("/whatsapp/{session}/connect"), &json!({})).await.unwrap();
    let qr = until("a code is shown", PATIENCE, async || {
        let shown = world.client.get(&format!("/whatsapp/{session}/qr")).await.ok()?;
        shown["qr"].as_str().map(str::to_owned)
    })
    .await;
    phone_does(world, "scan", &json!({"qr": qr, "phoneNumber": NUMBER})).await;
    stands(world, &session, "connected").await;
    session
}

async fn phone_does(world: &World, what: &str, body: &Value) {
    let url = format!("{}/phones/{what}", world.provider.address);
    let answer = super::client::loopback().post(url).json(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

async fn stands(world: &World, session: &str, state: &str) {
    until(&format!("the session is {state}"), PATIENCE, async || {
        let shown = world.client.get(&format!("/whatsapp/{session}/status")).await.ok()?;
        (shown["status"] == state).then_some(())
    })
    .await;
}

/// Returns the tokens of what arrived from the phone's number, each as often as it came.
async fn arrived(world: &World) -> Vec<String> {
    let entries = world.provider.entries().await;
    assert!(entries.iter().all(|entry| entry.number == NUMBER), "{entries:?}");
    entries.into_iter().filter(super::provider::Entry::is_acceptance).filter_map(|entry| entry.token).collect()
}

#[tokio::test]
async fn a_campaign_goes_by_the_phone_that_was_paired() {
    let world = World::start(&Plan::default(), None).await;
    let session = pair(&world).await;
    let campaign = world.client.draft(std::slice::from_ref(&session), 0..40).await;
    world.client.start(&campaign).await.unwrap();
    until("all have receipts", PATIENCE, async || {
        let counters = world.client.stats(&campaign).await.ok()?.counters;
        (counters.delivered + counters.read == 40).then_some(())
    })
    .await;
    let tokens = arrived(&world).await;
    assert_eq!((tokens.len(), tokens.iter().collect::<BTreeSet<_>>().len()), (40, 40));
    // What a device can not send fails for good, and nothing of it arrives.
    let message = json!({"type": "template", "name": "n", "language": "en"});
    let body = json!({"sessionId": session, "to": phone(99), "message": message});
    let refused = world.client.post_messages("send", body).await["id"].as_str().unwrap().to_owned();
    until("it failed", PATIENCE, async || {
        (world.client.status_of(&refused).await.as_deref() == Some("failed")).then_some(())
    })
    .await;
    assert_eq!(arrived(&world).await.len(), 40);
}

#[tokio::test]
async fn a_lost_phone_holds_its_lane_and_nothing_goes_twice() {
    let mut world = World::start(&Plan::default(), None).await;
    let session = pair(&world).await;
    let campaign = world.client.draft(std::slice::from_ref(&session), 0..400).await;
    world.client.start(&campaign).await.unwrap();
    let some = async || (5 < arrived(&world).await.len()).then_some(());
    until("some have arrived", PATIENCE, some).await;
    phone_does(&world, &format!("{session}/lost"), &json!({})).await;
    stands(&world, &session, "reconnecting").await;
    world.kill_daemon();
    world.restart().await;
    let before = arrived(&world).await.len();
    assert!(before < 400);
    phone_does(&world, &format!("{session}/back"), &json!({})).await;
    until("all have arrived or are unknown", PATIENCE, async || {
        let counters = world.client.stats(&campaign).await.ok()?.counters;
        (counters.queued + counters.sending == 0).then_some(())
    })
    .await;
    let tokens = arrived(&world).await;
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), tokens.len(), "something went twice");
    assert!(before < tokens.len());

    phone_does(&world, &format!("{session}/banned"), &json!({})).await;
    stands(&world, &session, "banned").await;
}
