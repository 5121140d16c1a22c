//! Single messages of every kind, and for later: by what arrives at the provider and when.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::{NewSession, phone};
use super::world::{Plan, World};
use crate::support::wait::{PATIENCE, until};

/// What has arrived and was taken: the token of each message and when, UTC microseconds.
async fn arrived(world: &World) -> BTreeMap<String, u64> {
    let entries = world.provider.entries().await;
    let taken = entries.into_iter().filter(|entry| entry.is_acceptance());
    taken.filter_map(|entry| Some((entry.token?, entry.at_us))).collect()
}

fn in_ms(ms: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::milliseconds(ms)
}

fn id_of(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

/// Nothing goes before its time, also over a crash; what was cancelled never goes.
#[tokio::test]
async fn messages_go_at_their_time_and_cancelled_ones_never() {
    let mut world = World::start(&Plan::default(), None).await;
    let new = NewSession { phone_number_id: "1".to_owned(), rate_per_second: 100.0, burst: 10 };
    let session = world.client.connect(&[new]).await.remove(0);
    let schedule = async |at: OffsetDateTime, n| {
        let message = json!({"type": "text", "text": "Now."});
        let at = at.format(&Rfc3339).unwrap();
        let body = json!({"sessionId": session, "to": phone(n), "message": message, "scheduledAt": at});
        id_of(&world.client.post_messages("schedule", body).await)
    };
    let (soon, later) = (in_ms(2_500), in_ms(4_000));
    let kept = schedule(soon, 1).await;
    let outlives = schedule(later, 2).await;
    let cancelled = schedule(soon, 3).await;
    world.client.cancel_message(&cancelled).await.unwrap();
    assert_eq!(world.client.status_of(&kept).await.as_deref(), Some("scheduled"));

    let place = json!({"sessionId": session, "to": phone(4), "latitude": 18.52, "longitude": 73.85, "name": "Shop"});
    let card = json!({"sessionId": session, "to": phone(5), "name": "Ana", "phones": ["919876543210"]});
    let several = json!({"sessionId": session, "text": "Hello {{name|there}}",
        "recipients": [{"to": phone(6)}, {"to": phone(7), "variables": {"name": "Bo"}}]});
    let mut at_once = vec![
        id_of(&world.client.post_messages("send-location", place).await),
        id_of(&world.client.post_messages("send-contact", card).await),
    ];
    let several = world.client.post_messages("send-bulk", several).await;
    at_once.extend(several["messages"].as_array().unwrap().iter().map(id_of));
    let all_have = async || {
        let arrived = arrived(&world).await;
        at_once.iter().all(|id| arrived.contains_key(id)).then_some(())
    };
    until("what is to go at once has arrived", PATIENCE, all_have).await;

    world.kill_daemon();
    world.restart().await;
    let both_have = async || {
        let arrived = arrived(&world).await;
        [&kept, &outlives].into_iter().all(|id| arrived.contains_key(id)).then_some(())
    };
    until("the scheduled ones have arrived", PATIENCE, both_have).await;
    let arrivals = arrived(&world).await;
    for (id, at) in [(&kept, soon), (&outlives, later)] {
        let at_us = u64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap();
        assert!(at_us <= arrivals[id], "{} us early", at_us - arrivals[id]);
    }
    assert!(!arrivals.contains_key(&cancelled), "a cancelled message went");
    assert_eq!(world.client.status_of(&cancelled).await.as_deref(), Some("cancelled"));
    assert_eq!(arrivals.len(), at_once.len() + 2);
    let sums = world.provider.sums(100.0).await;
    assert_eq!((sums.duplicates, sums.unrecorded), (0, 0), "{sums:?}");
}

/// While the session is stopped, what waits in its lane can be cancelled, and goes never.
#[tokio::test]
async fn a_message_that_waits_in_its_lane_is_cancelled() {
    let world = World::start(&Plan::default(), None).await;
    let new = NewSession { phone_number_id: "1".to_owned(), rate_per_second: 0.5, burst: 1 };
    let session = world.client.connect(&[new]).await.remove(0);
    let mut ids = vec![];
    for n in 0..4 {
        ids.push(world.client.send_text(&session, &phone(n)).await.unwrap());
    }
    let first_has = async || arrived(&world).await.contains_key(&ids[0]).then_some(());
    until("the first one has arrived", PATIENCE, first_has).await;
    // The second one may be begun by now, a lead ahead of its moment.
    world.client.cancel_message(&ids[2]).await.unwrap();
    let last_has = async || arrived(&world).await.contains_key(&ids[3]).then_some(());
    until("the last one has arrived", PATIENCE, last_has).await;
    assert!(!arrived(&world).await.contains_key(&ids[2]), "a cancelled message went");
    assert_eq!(world.client.status_of(&ids[2]).await.as_deref(), Some("cancelled"));
}
