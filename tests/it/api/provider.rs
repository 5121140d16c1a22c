//! The provider's calls: verification, signatures, receipts that are durable before they are answered.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use actiwapi_dispatcher::api::ApiSettings;
use actiwapi_dispatcher::domain::id::SessionId;
use actiwapi_dispatcher::domain::recipient::Recipient;
use actiwapi_dispatcher::limits::CALLBACK_BYTES_MAX;
use axum::body::Body;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;

use super::support::{APP_SECRET, Answer, Front, VERIFY_TOKEN, request};

const PATH: &str = "/api/v1/provider/cloud/webhook";

fn signature(body: &[u8], secret: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn callback(delivery_id: &str) -> String {
    let status = json!({
        "id": "wamid.1", "status": "delivered", "timestamp": "1769846400", "recipient_id": "919876543210",
        "biz_opaque_callback_data": delivery_id,
    });
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages",
        "value": {"messaging_product": "whatsapp", "metadata": {}, "statuses": [status]}}]}]})
    .to_string()
}

async fn post(front: &Front, body: &str, signature: &str) -> Answer {
    let request = request("POST", PATH, "").header("x-hub-signature-256", signature);
    front.call(request.body(Body::from(body.to_owned())).unwrap()).await
}

#[tokio::test]
async fn address_is_verified_by_the_word() {
    let front = Front::start().await;
    let ask = async |mode: &str, token: &str| {
        let path = format!("{PATH}?hub.mode={mode}&hub.verify_token={token}&hub.challenge=1158201444");
        front.get(&path.replace(' ', "%20"), "").await
    };
    let answer = ask("subscribe", VERIFY_TOKEN).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "1158201444"));
    assert!(answer.header("content-type").starts_with("text/plain"));
    assert_eq!(ask("subscribe", "wrong").await.status, 403);
    assert_eq!(ask("subscribe", "").await.status, 403);
    assert_eq!(ask("unsubscribe", VERIFY_TOKEN).await.status, 403);
    assert_eq!(front.get(PATH, "").await.status, 400);
}

#[tokio::test]
async fn signed_receipts_are_taken() {
    let front = Front::start().await;
    let id = uuid::Uuid::now_v7();
    let body = callback(&id.to_string());
    let answer = post(&front, &body, &signature(body.as_bytes(), APP_SECRET)).await;
    insta::assert_snapshot!(answer.golden(), @r#"
    200
    {
      "data": {
        "inbound": 0,
        "receipts": 1
      },
      "success": true
    }
    "#);
    let taken = front.sink.taken.lock().unwrap();
    assert_eq!((taken.len(), taken[0].delivery_id.0, taken[0].at_ms), (1, id, 1_769_846_400_000));
}

#[tokio::test]
async fn who_writes_is_durable_before_the_answer() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = json!({"name": "Sales", "phoneNumberId": "106540352242922"});
    let made = front.post("/api/v1/whatsapp", &token, session).await;
    let session_id = SessionId(made.data()["id"].as_str().unwrap().parse().unwrap());
    let written = |number: &str| {
        let message = json!({"from": "919876543210", "id": "wamid.9", "timestamp": "1769846400", "type": "text",
            "text": {"body": "yes"}});
        json!({"entry": [{"id": "1", "changes": [{"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"phone_number_id": number}, "messages": [message]}}]}]})
        .to_string()
    };
    // The journal is not needed for it.
    front.sink.closed.store(true, Ordering::Relaxed);
    for body in [written("106540352242922"), written("of nobody"), written("106540352242922")] {
        let answer = post(&front, &body, &signature(body.as_bytes(), APP_SECRET)).await;
        assert_eq!((answer.status.as_u16(), answer.data()["inbound"].as_u64()), (200, Some(1)), "{answer:?}");
    }
    let pair = (session_id, Recipient::from_stored("919876543210").unwrap());
    let known = front.store.conversations_of(std::slice::from_ref(&pair)).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].last_inbound_at_ms, Some(1_769_846_400_000));
    // What could not be kept has to come again.
    front.store.close().await;
    let body = written("106540352242922");
    assert!(!post(&front, &body, &signature(body.as_bytes(), APP_SECRET)).await.status.is_success());
}

/// Whole messages of one word opt out and in, for contacts and for anybody else.
#[tokio::test]
async fn a_word_opts_out_and_another_in_again() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = json!({"name": "Sales", "phoneNumberId": "106540352242922"});
    front.post("/api/v1/whatsapp", &token, session).await;
    let made = front.post("/api/v1/contacts", &token, json!({"phone": "919876543210"})).await;
    let path = format!("/api/v1/contacts/{}", made.data()["id"].as_str().unwrap());
    let says = async |from: &str, text: &str, at_s: i64| {
        let message = json!({"from": from, "id": "wamid.9", "timestamp": at_s.to_string(), "type": "text",
            "text": {"body": text}});
        let body = json!({"entry": [{"id": "1", "changes": [{"field": "messages", "value": {
            "metadata": {"phone_number_id": "106540352242922"}, "messages": [message]}}]}]})
        .to_string();
        let answer = post(&front, &body, &signature(body.as_bytes(), APP_SECRET)).await;
        assert_eq!((answer.status.as_u16(), answer.data()["inbound"].as_u64()), (200, Some(1)), "{answer:?}");
        front.get(&path, &token).await.data()
    };
    let first_s = 1_800_000_000;
    assert_eq!(says("919876543210", "stop it", first_s).await["optIn"], true);
    let out = says("919876543210", " Stop. ", first_s + 1).await;
    assert_eq!((&out["optIn"], &out["optInChangedBy"]), (&json!(false), &json!("recipient")));
    assert_eq!(out["optInChangedAt"], "2027-01-15T08:00:01.000Z");
    assert_eq!(says("919876543210", "START", first_s + 2).await["optIn"], true);
    // Told again by the provider.
    assert_eq!(says("919876543210", "STOP", first_s + 1).await["optIn"], true);
    says("919876543211", "UNSUBSCRIBE", first_s).await;
    let made = front.post("/api/v1/contacts", &token, json!({"phone": "919876543211", "optIn": true})).await;
    let path = format!("/api/v1/contacts/{}", made.data()["id"].as_str().unwrap());
    assert_eq!(front.get(&path, &token).await.data()["optIn"], false);
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_receipts_are_refused() {
    let front = Front::start().await;
    let body = callback(&uuid::Uuid::now_v7().to_string());
    let good = signature(body.as_bytes(), APP_SECRET);
    let other_body = body.replace("delivered", "read");
    for (body, signature) in [
        (&body, ""),
        (&body, "sha256="),
        (&body, "sha256=zz"),
        (&body, &good[7..]),
        (&body, &signature(body.as_bytes(), "another secret")),
        (&other_body, &good),
    ] {
        assert_eq!(post(&front, body, signature).await.status, 401, "{signature}");
    }
    let missing = front.call(request("POST", PATH, "").body(Body::from(body)).unwrap()).await;
    assert_eq!(missing.status, 401);
    assert!(front.sink.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn callbacks_are_counted_by_what_became_of_them() {
    let front = Front::start().await;
    let body = callback(&uuid::Uuid::now_v7().to_string());
    let good = signature(body.as_bytes(), APP_SECRET);
    post(&front, &body, &good).await;
    post(&front, &body, "sha256=00").await;
    front.call(request("POST", PATH, "").body(Body::from(body.clone())).unwrap()).await;
    post(&front, "{", &signature(b"{", APP_SECRET)).await;
    front.sink.closed.store(true, Ordering::Relaxed);
    post(&front, &body, &good).await;
    let counted =
        ["taken", "unsigned", "malformed", "not_taken"].map(|result| front.metrics.api.callbacks.of(result).get());
    assert_eq!(counted, [1, 2, 1, 1]);
}

#[tokio::test]
async fn without_a_secret_nothing_is_taken() {
    let front = Front::start_with(ApiSettings::default()).await;
    let body = callback(&uuid::Uuid::now_v7().to_string());
    assert_eq!(post(&front, &body, &signature(body.as_bytes(), "")).await.status, 401);
    let path = format!("{PATH}?hub.mode=subscribe&hub.verify_token=&hub.challenge=1");
    assert_eq!(front.get(&path, "").await.status, 403);
}

#[tokio::test]
async fn the_provider_sends_again_what_is_not_durable() {
    let front = Front::start().await;
    front.sink.closed.store(true, Ordering::Relaxed);
    let body = callback(&uuid::Uuid::now_v7().to_string());
    let answer = post(&front, &body, &signature(body.as_bytes(), APP_SECRET)).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "5"));
}

#[tokio::test]
async fn signed_nonsense_is_refused_and_size_is_bounded() {
    let front = Front::start().await;
    for body in ["", "{", "\"x\"", "{\"entry\":5}"] {
        assert_eq!(post(&front, body, &signature(body.as_bytes(), APP_SECRET)).await.status, 400, "{body}");
    }
    let largest = format!("{{\"entry\":[]{}}}", " ".repeat(CALLBACK_BYTES_MAX - 12));
    assert_eq!(largest.len(), CALLBACK_BYTES_MAX);
    assert_eq!(post(&front, &largest, &signature(largest.as_bytes(), APP_SECRET)).await.status, 200);
    let larger = largest + " ";
    let answer = post(&front, &larger, &signature(larger.as_bytes(), APP_SECRET)).await;
    assert_eq!(answer.refusal(), "413 PAYLOAD_TOO_LARGE: The body is larger than this operation takes.");
}

/// The provider's largest batch: every report is taken once, and what stands beside it is in nobody's way.
#[tokio::test]
async fn a_thousand_reports_come_in_one_callback() {
    let front = Front::start().await;
    let ids: Vec<_> = (0..1_000).map(|_| uuid::Uuid::now_v7()).collect();
    let status = |id: &uuid::Uuid, word: &str| {
        json!({"id": format!("wamid.{id}"), "status": word, "timestamp": "1769846400", "recipient_id": "919876543210",
            "biz_opaque_callback_data": id.to_string()})
    };
    // Read before delivered, some twice, one of somebody else, one that can not be read.
    let mut statuses: Vec<_> = ids.iter().map(|id| status(id, "read")).collect();
    statuses.extend(ids.iter().rev().map(|id| status(id, "delivered")));
    statuses.extend(ids.iter().take(3).map(|id| status(id, "read")));
    statuses.push(json!({"id": "wamid.x", "status": "read", "timestamp": "1", "biz_opaque_callback_data": "theirs"}));
    statuses.push(json!("odd"));
    let changes = json!([
        {"field": "account_update", "value": {"event": "ACCOUNT_RESTRICTION"}},
        {"field": "phone_number_quality_update", "value": {"display_phone_number": "15550001111", "event": "FLAGGED"}},
        {"field": "message_template_status_update", "value": {"event": "PAUSED", "message_template_name": "n"}},
        {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": {}, "statuses": statuses}},
        {"field": "not_known_yet", "value": 7},
    ]);
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}).to_string();
    assert!(body.len() < CALLBACK_BYTES_MAX);
    let answer = post(&front, &body, &signature(body.as_bytes(), APP_SECRET)).await;
    assert_eq!((answer.status.as_u16(), answer.data()["receipts"].as_u64()), (200, Some(2_003)), "{}", answer.text());
    assert_eq!(front.sink.taken.lock().unwrap().len(), 2_003);
    // The same batch with one byte changed is not signed.
    let changed = body.replacen("read", "reap", 1);
    let refused = post(&front, &changed, &signature(body.as_bytes(), APP_SECRET)).await;
    assert_eq!(refused.status, 401);
    assert_eq!(front.sink.taken.lock().unwrap().len(), 2_003);
}

#[tokio::test]
async fn a_message_is_marked_as_read_only_where_that_is_offered() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let mark = async |body: serde_json::Value| {
        front.post(&format!("/api/v1/whatsapp/{session_id}/mark-read"), &token, body).await
    };
    insta::assert_snapshot!(mark(json!({"messageId": "wamid.1", "typing": true})).await.refusal(), @"409 CONFLICT: Only numbers of the Cloud API mark messages as read.");
    insta::assert_snapshot!(mark(json!({"messageId": "a b"})).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    messageId: must be the provider's name of a message that somebody wrote
    ");
}
