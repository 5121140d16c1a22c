//! What becomes of messages, and of numbers that are looked up.

use hyper::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use crate::fake::{Came, FakeServer, Fate};
use crate::worker::Worker;

const NUMBER: &str = "919876543210";
const FRIEND: &str = "919800000001";

#[tokio::test]
async fn a_message_is_taken_and_its_receipts_come_in_order() {
    let server = FakeServer::start().await;
    let mut worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    worker.pair(&server, session, NUMBER).await;
    assert_eq!(worker.send(session, 1, FRIEND).await, json!({ "outcome": "accepted" }));
    assert_eq!(worker.send(session, 2, FRIEND).await, json!({ "outcome": "accepted" }));
    let events = worker.events(4).await;
    let told: Vec<_> =
        events.iter().map(|event| (event["id"].as_str().unwrap(), event["status"].as_str().unwrap())).collect();
    let (one, two) = (format!("{:032X}", 1), format!("{:032X}", 2));
    assert_eq!(told, [(&*one, "delivered"), (&*one, "read"), (&*two, "delivered"), (&*two, "read")]);
    assert!(events.iter().all(|event| event["session"] == json!(session) && event["kind"] == "receipt"));
    let came = server.world().came.clone();
    assert_eq!(came[0], Came { from: NUMBER.into(), id: one.clone(), to: FRIEND.into() });
    worker.stop().await;
    worker.start_again().await;
    assert_eq!(worker.events(4).await, events, "they are told again after a restart");
    worker.until(session, "connected").await;
    assert_eq!(worker.send(session, 3, FRIEND).await, json!({ "outcome": "accepted" }), "keys were kept");
    assert!(!worker.log().contains(FRIEND) && !worker.log().contains("words nobody else reads"));
}

#[tokio::test]
async fn a_refusal_and_a_silence_are_told_apart() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    worker.pair(&server, session, NUMBER).await;
    let (refusing, silent) = ("919800000002", "919800000003");
    server.world().fates.insert(refusing.into(), Fate::Refused(463));
    server.world().fates.insert(silent.into(), Fate::Silent);
    let (refused, unknown) = tokio::join!(worker.send(session, 1, refusing), worker.send(session, 2, silent));
    assert_eq!(refused, json!({ "outcome": "refused", "code": 463, "expiresInMs": null }));
    assert_eq!(unknown, json!({ "outcome": "unknown" }));
    // Once more, under the same name.
    server.world().fates.clear();
    assert_eq!(worker.send(session, 2, silent).await, json!({ "outcome": "accepted" }));
    let ids: Vec<_> = server.world().came.iter().filter(|came| came.to == silent).map(|came| came.id.clone()).collect();
    assert_eq!(ids, [format!("{:032X}", 2), format!("{:032X}", 2)]);
}

#[tokio::test]
async fn what_does_not_leave_is_told_with_its_reason() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    let not_sent = |reason: &str| json!({ "outcome": "not_sent", "reason": reason, "code": null });
    assert_eq!(worker.send(session, 1, FRIEND).await, not_sent("not_connected"));
    worker.pair(&server, session, NUMBER).await;
    let template = json!({ "type": "template", "name": "hello", "language": "en" });
    assert_eq!(worker.send_message(session, 2, FRIEND, template).await, not_sent("unsupported"));
    let missing = json!({ "type": "image", "file": { "path": "/nowhere/at/all.jpg" } });
    assert_eq!(worker.send_message(session, 3, FRIEND, missing).await, not_sent("unsupported"));
    let late =
        json!({ "id": format!("{:032X}", 4), "to": FRIEND, "message": { "type": "text", "text": "x" }, "withinMs": 0 });
    assert_eq!(worker.post(session, "send", late).await, not_sent("deadline"));
    worker.post(session, "disconnect", json!({})).await;
    assert_eq!(worker.send(session, 5, FRIEND).await, not_sent("not_connected"));
    assert_eq!(server.world().came, []);
}

#[tokio::test]
async fn places_and_cards_go_out() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    worker.pair(&server, session, NUMBER).await;
    let place =
        json!({ "type": "location", "latitude": 12.9, "longitude": 77.5, "name": "Shop", "address": "Main road" });
    let card = json!({ "type": "contact", "name": "Asha; Rao", "phones": ["919876500000"] });
    for (id, message) in [(1, place), (2, card)] {
        assert_eq!(worker.send_message(session, id, FRIEND, message).await, json!({ "outcome": "accepted" }));
    }
}

#[tokio::test]
async fn numbers_are_looked_up_within_a_budget() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    worker.pair(&server, session, NUMBER).await;
    let check = |number: String| {
        let worker = &worker;
        async move {
            let path = format!("{session}/check-number");
            worker.ask(Method::POST, &path, json!({ "phoneNumber": number })).await
        }
    };
    assert_eq!(check(FRIEND.into()).await, (StatusCode::OK, json!({ "exists": true })));
    assert_eq!(check("919800000000".into()).await, (StatusCode::OK, json!({ "exists": false })));
    let n_checks = server.world().n_checks;
    assert_eq!(check(FRIEND.into()).await, (StatusCode::OK, json!({ "exists": true })));
    assert_eq!(server.world().n_checks, n_checks, "what was told is believed");
    let mut last = StatusCode::OK;
    for nth in 0..40 {
        last = check(format!("9198000010{nth:02}")).await.0;
        if last != StatusCode::OK {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(check(FRIEND.into()).await.0, StatusCode::OK, "what is known costs nothing");
}

#[tokio::test]
async fn nothing_is_sent_to_who_is_known_not_to_be_on_whatsapp() {
    let server = FakeServer::start().await;
    let worker = Worker::start(&server).await;
    let session = Uuid::new_v4();
    worker.pair(&server, session, NUMBER).await;
    let told = worker.post(session, "check-number", json!({ "phoneNumber": "919800000000" })).await;
    assert_eq!(told, json!({ "exists": false }));
    let sent = worker.send(session, 1, "919800000000").await;
    assert_eq!(sent, json!({ "outcome": "not_sent", "reason": "unsupported", "code": null }));
    assert_eq!(server.world().came, []);
}
