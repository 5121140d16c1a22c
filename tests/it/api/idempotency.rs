//! Requests done once, by `Idempotency-Key`: what is sent again is answered again and not done again.

use std::time::Duration;

use actiwapi_dispatcher::api::ApiSettings;
use axum::body::{Body, Bytes};
use futures::future::join_all;
use serde_json::{Value, json};

use super::support::{Front, request};

struct Shop {
    front: Front,
    token: String,
    session_id: String,
}

impl Shop {
    async fn open() -> Self {
        let front = Front::start().await;
        let token = front.register("ana@example.com").await;
        let session_id = front.session(&token).await;
        Self { front, token, session_id }
    }

    fn text(&self, text: &str) -> Value {
        json!({"sessionId": self.session_id, "to": "919876543210", "text": text})
    }

    async fn n_messages(&self) -> usize {
        self.front.store.outbox_next(100).await.unwrap().len()
    }
}

#[tokio::test]
async fn what_is_sent_again_is_answered_again() {
    let shop = Shop::open().await;
    let send = async |path: &str| shop.front.post_once(path, &shop.token, "order-17", shop.text("Hello")).await;
    let first = send("/api/messages/send-text").await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (200, "-"));
    for path in ["/api/messages/send-text", "/api/v1/messages/send-text"] {
        let again = send(path).await;
        assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (200, "true"));
        assert_eq!((again.json(), again.header("content-type")), (first.json(), "application/json"));
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    // A program of the same business asks for the same.
    let key = shop.front.mighty_key(&shop.token).await;
    let request = request("POST", "/api/external/messages/send-text", "").header("x-api-key", &key);
    let request = request.header("idempotency-key", "order-17").body(Body::from(shop.text("Hello").to_string()));
    assert_eq!(shop.front.call(request.unwrap()).await.json(), first.json());
    assert_eq!(shop.n_messages().await, 1);
    // Without the header nothing is remembered.
    shop.front.post("/api/messages/send-text", &shop.token, shop.text("Hello")).await.data();
    assert_eq!(shop.n_messages().await, 2);
}

#[tokio::test]
async fn another_request_with_the_same_key_is_refused() {
    let shop = Shop::open().await;
    let send = async |body| shop.front.post_once("/api/messages/send-text", &shop.token, "k", body).await;
    send(shop.text("Hello")).await.data();
    let refused = send(shop.text("Good-bye")).await;
    assert_eq!(refused.refusal(), "409 CONFLICT: This Idempotency-Key was used for another request: take another one.");
    // Another operation and another business have keys of their own.
    let made = shop.front.post_once("/api/whatsapp", &shop.token, "k", json!({"name": "Second"})).await;
    assert_eq!(made.status, 201);
    let other = shop.front.register("ben@example.com").await;
    let foreign = shop.front.post_once("/api/messages/send-text", &other, "k", shop.text("Hello")).await;
    assert_eq!((foreign.status.as_u16(), foreign.header("idempotent-replayed")), (404, "-"));
}

#[tokio::test]
async fn creations_are_done_once() {
    let shop = Shop::open().await;
    let campaign = json!({"name": "Sale", "sessionIds": [shop.session_id], "message": {"type": "text", "text": "Hi"}});
    for (path, body) in [("/api/whatsapp", json!({"name": "Second"})), ("/api/campaigns", campaign)] {
        let before = shop.front.get(path, &shop.token).await.json()["pagination"]["total"].as_u64().unwrap();
        let first = shop.front.post_once(path, &shop.token, "k", body.clone()).await;
        let again = shop.front.post_once(path, &shop.token, "k", body).await;
        assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201), "{path} {}", first.text());
        assert_eq!(first.json(), again.json(), "{path}");
        assert_eq!(shop.front.get(path, &shop.token).await.json()["pagination"]["total"], before + 1, "{path}");
    }
}

#[tokio::test]
async fn a_secret_is_not_answered_again() {
    let shop = Shop::open().await;
    let body = || json!({"name": "Key", "scopes": ["account:read"]});
    let first = shop.front.post_once("/api/api-keys", &shop.token, "k", body()).await.data();
    let again = shop.front.post_once("/api/api-keys", &shop.token, "k", body()).await.data();
    assert!(first["key"].is_string());
    assert_eq!((&again["key"], &again["id"]), (&Value::Null, &first["id"]));
    let rotate = format!("/api/api-keys/{}/rotate", first["id"].as_str().unwrap());
    let rotated = shop.front.post_once(&rotate, &shop.token, "k", json!({})).await.data();
    let again = shop.front.post_once(&rotate, &shop.token, "k", json!({})).await.data();
    assert_eq!((&again["key"], &again["prefix"]), (&Value::Null, &rotated["prefix"]));
}

#[tokio::test]
async fn what_changed_nothing_may_be_tried_again() {
    let shop = Shop::open().await;
    let send = async || shop.front.post_once("/api/messages/send-text", &shop.token, "k", shop.text("Hello")).await;
    shop.front.sql("UPDATE sessions SET state = 'logged_out'").await;
    assert_eq!(send().await.status, 409);
    shop.front.sql("UPDATE sessions SET state = 'connected'").await;
    assert_eq!(send().await.status, 200);
    // Neither does a body that can not be read use its key up.
    let make = async |body| shop.front.post_once("/api/whatsapp", &shop.token, "k", body).await.status.as_u16();
    assert_eq!((make(json!({})).await, make(json!({"name": "Shop"})).await), (400, 201));
}

/// Whether something was written before our side failed is not known, so it is not done again.
#[tokio::test]
async fn what_failed_on_our_side_is_not_done_again() {
    let shop = Shop::open().await;
    let send = async || shop.front.post_once("/api/messages/send-text", &shop.token, "k", shop.text("Hello")).await;
    shop.front.sql("ALTER TABLE outbox RENAME TO outbox_away").await;
    assert_eq!(send().await.status, 500);
    shop.front.sql("ALTER TABLE outbox_away RENAME TO outbox").await;
    assert!(send().await.refusal().starts_with("409 CONFLICT: A request with this Idempotency-Key is under way"));
    assert_eq!(shop.n_messages().await, 0);
}

#[tokio::test]
async fn keys_are_checked() {
    let shop = Shop::open().await;
    let send = async |keys: &[&[u8]]| {
        let mut request = request("POST", "/api/messages/send-text", &shop.token);
        for key in keys {
            request = request.header("idempotency-key", *key);
        }
        shop.front.call(request.body(Body::from(shop.text("Hello").to_string())).unwrap()).await
    };
    let long = "x".repeat(129);
    for bad in [&b""[..], b"a b", "é".as_bytes(), b"\xff", b"a\tb", long.as_bytes()] {
        let refused = send(&[bad]).await;
        let problem = "must have 1 to 128 visible ASCII characters without spaces";
        assert_eq!((refused.status.as_u16(), &refused.json()["errors"]["Idempotency-Key"]), (400, &json!(problem)));
    }
    insta::assert_snapshot!(send(&[b"a", b"b"]).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    Idempotency-Key: must be given once
    ");
    assert_eq!(shop.n_messages().await, 0);
    let stranger = shop.front.post_once("/api/messages/send-text", "", "k", shop.text("Hello")).await;
    assert_eq!(stranger.status, 401);
    let large = json!({"sessionId": shop.session_id, "to": "919876543210", "text": "x".repeat(300_000)});
    let large = shop.front.post_once("/api/messages/send-text", &shop.token, "k", large).await;
    assert_eq!(large.status, 413);
    assert_eq!(send(&[&long.as_bytes()[..128]]).await.status, 200);
}

#[tokio::test]
async fn of_several_at_once_one_is_done() {
    let shop = Shop::open().await;
    let send = async || shop.front.post_once("/api/messages/send-text", &shop.token, "k", shop.text("Hello")).await;
    let answers = join_all((0..16).map(|_| send())).await;
    for answer in &answers {
        let under_way = "409 CONFLICT: A request with this Idempotency-Key is under way: ask again in a moment.";
        assert!(answer.status == 200 || answer.refusal() == under_way, "{}", answer.text());
    }
    assert!(answers.iter().any(|answer| answer.status == 200));
    assert_eq!(shop.n_messages().await, 1);
    assert_eq!(send().await.header("idempotent-replayed"), "true");
}

/// A client that hangs up in the middle leaves work that is done to its end, and asks again for the answer.
#[tokio::test]
async fn work_ends_without_its_client() {
    let shop = Shop::open().await;
    let send = || shop.front.post_once("/api/messages/send-text", &shop.token, "k", shop.text("Hello"));
    let mut first = Box::pin(send());
    // Asked for once and dropped at every place where it waits.
    for _ in 0..200 {
        if futures::poll!(&mut first).is_ready() {
            break;
        }
        tokio::task::yield_now().await;
        if 0 < shop.n_messages().await {
            break;
        }
    }
    drop(first);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    let again = loop {
        let again = send().await;
        if again.status == 200 {
            break again;
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", again.text());
        tokio::task::yield_now().await;
    };
    assert_eq!(again.data()["status"], "queued");
    assert_eq!(shop.n_messages().await, 1);
}

/// Large bodies are read once: they take one place each, also when they carry a key, and may be as large as without.
#[tokio::test]
async fn large_bodies_take_one_place() {
    let settings = ApiSettings { timeout: Duration::from_secs(60), ..ApiSettings::default() };
    let front = Front::start_with(settings).await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let campaign = json!({"name": "Sale", "sessionIds": [session_id], "message": {"type": "text", "text": "Hi"}});
    let body = campaign.to_string() + &" ".repeat(3 << 20);
    let make = async |n: usize| {
        let chunks =
            body.as_bytes().chunks(1 << 16).map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk)));
        let stream = Body::from_stream(futures::stream::iter(chunks.collect::<Vec<_>>()));
        let request = request("POST", "/api/campaigns", &token).header("idempotency-key", n.to_string());
        front.call(request.body(stream).unwrap()).await.status.as_u16()
    };
    let n_at_once = 2 * actiwapi_dispatcher::limits::LARGE_BODIES_MAX;
    assert!(join_all((0..n_at_once).map(make)).await.iter().all(|status| *status == 201));
}
