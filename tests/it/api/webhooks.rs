//! Webhooks over HTTP: made, shown, changed, given secrets, tested, their history.

use serde_json::{Value, json};

use super::support::{Answer, Front};

const PATH: &str = "/api/v1/webhooks";

async fn made(front: &Front, token: &str, body: Value) -> Value {
    let answer = front.post(PATH, token, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.data()
}

fn hook(url: &str) -> Value {
    json!({"url": url, "events": ["message.sent"]})
}

#[tokio::test]
async fn events_are_public_and_the_documented_ones_come_first() {
    let front = Front::start().await;
    let answer = front.get("/api/v1/webhooks/events", "").await;
    assert_eq!((answer.status.as_u16(), answer.data()), (200, front.get("/api/webhooks/events", "").await.data()));
    insta::assert_snapshot!(answer.data().to_string(), @r#"["message.received","message.sent","session.connected","session.disconnected","campaign.completed","message.delivered","message.read","message.failed","message.unknown","session.qr","session.logged_out","campaign.started","campaign.paused","campaign.resumed","campaign.failed","contact.opted_out","subscription.updated","webhook.test"]"#);
}

#[tokio::test]
async fn a_webhook_from_its_making_to_its_end() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    // As documented.
    let body = json!({"url": "https://example.com/hook", "events": ["message.received"], "secret": "a secret of ours"});
    let made = made(&front, &token, body).await;
    assert_eq!((&made["isActive"], &made["secret"]), (&json!(true), &json!("a secret of ours")));
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let shown = front.get(&path, &token).await;
    let mut fields: Vec<String> = shown.data().as_object().unwrap().keys().cloned().collect();
    fields.sort_unstable();
    let expected =
        ["createdAt", "disabledReason", "events", "failingSince", "id", "isActive", "previousSecretUntil", "url"];
    assert_eq!(fields, expected);
    let list = front.get(PATH, &token).await;
    assert_eq!((&list.json()["pagination"]["total"], &list.json()["data"][0]), (&json!(1), &shown.data()));
    for method in ["PATCH", "PUT"] {
        let body = r#"{"url":"https://EXAMPLE.org:443/a b","events":["message.read","message.sent"],"isActive":false}"#;
        let answer = front.send(method, &path, &token, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.data()["url"], "https://example.org/a%20b");
        assert_eq!(answer.data()["events"], json!(["message.read", "message.sent"]));
        assert_eq!(answer.data()["isActive"], false);
    }
    assert_eq!(front.send("PATCH", &path, &token, "{}").await.data()["isActive"], false, "what is missing stays");
    for page in [front.get(&path, &token).await, front.get(PATH, &token).await] {
        assert!(!page.text().contains("a secret of ours"), "shown once");
    }
    let removed = front.send("DELETE", &path, &token, "").await.data();
    assert_eq!(Some(removed["id"].as_str().unwrap()), path.rsplit('/').next());
    for method in ["GET", "DELETE"] {
        let answer = front.send(method, &path, &token, "").await;
        assert_eq!(answer.refusal(), "404 NOT_FOUND: There is no such webhook.");
    }
    assert_eq!(front.get(PATH, &token).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn secrets_are_drawn_and_rotated() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let made = made(&front, &token, hook("https://example.com/")).await;
    let path = format!("{PATH}/{}/rotate-secret", made["id"].as_str().unwrap());
    let drawn = |value: &Value| {
        let secret = value["secret"].as_str().unwrap().to_owned();
        assert!(standardwebhooks::Webhook::new(&secret).is_ok() && secret.len() == 50, "{secret}");
        secret
    };
    let (first, second) = (drawn(&made), drawn(&front.act(&path, &token).await.data()));
    assert_ne!(first, second);
    let answer = front.post(&path, &token, json!({"secret": "another secret of ours"})).await;
    assert_eq!(answer.data()["secret"], "another secret of ours");
    assert!(answer.data()["previousSecretUntil"].is_string());
    let refused = front.post(&path, &token, json!({"secret": "short", "key": 1})).await;
    assert_eq!(refused.refusal(), "400 VALIDATION_ERROR: Some fields are not valid.\nkey: is not a known field");
    let refused = front.post(&path, &token, json!({"secret": "short"})).await;
    assert_eq!(
        refused.refusal(),
        "400 VALIDATION_ERROR: Some fields are not valid.\nsecret: must have 16 to 256 characters"
    );
}

#[tokio::test]
async fn a_test_is_in_the_history_and_can_be_told_again() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let id = front.webhook(&token).await;
    let (path, history) = (format!("{PATH}/{id}/test"), format!("{PATH}/{id}/history"));
    let queued = front.act(&path, &token).await;
    assert_eq!((queued.status.as_u16(), queued.data()["status"].as_str()), (200, Some("pending")));
    let list = front.get(&history, &token).await;
    assert_eq!(list.json()["pagination"]["total"], 1);
    let told = &list.json()["data"][0];
    assert_eq!((&told["id"], &told["event"]), (&queued.data()["deliveryId"], &json!("webhook.test")));
    assert_eq!(
        (&told["status"], &told["attempts"], &told["data"]["webhookId"]),
        (&json!("pending"), &json!(0), &json!(id))
    );
    let retry = format!("{history}/{}/retry", told["id"].as_str().unwrap());
    assert_eq!(front.act(&retry, &token).await.data()["status"], "pending");
    let unknown = front.act(&format!("{history}/{id}/retry"), &token).await;
    assert_eq!(unknown.refusal(), "404 NOT_FOUND: There is no such delivery.");
    front.send("PATCH", &format!("{PATH}/{id}"), &token, r#"{"isActive":false}"#).await;
    for path in [path, retry] {
        assert_eq!(front.act(&path, &token).await.refusal(), "409 CONFLICT: The webhook is not active.");
    }
}

#[tokio::test]
async fn every_problem_of_a_webhook_is_named() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let refusal = async |body: Value| front.post(PATH, &token, body).await.refusal();
    insta::assert_snapshot!(refusal(json!({})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    events: is required
    url: is required
    ");
    insta::assert_snapshot!(refusal(json!({"url": 1, "events": [1], "secret": [], "isActive": true})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    events[0]: invalid type: integer `1`, expected a string
    isActive: is not a known field
    secret: invalid type: sequence, expected a string
    url: invalid type: integer `1`, expected a string
    ");
    let odd = json!({"url": "nowhere", "events": ["message.sent", "message.sent", "x"], "secret": "whsec_AAAA"});
    insta::assert_snapshot!(refusal(odd).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    events: must name each event once
    events[2]: is not an event
    secret: must be whsec_ and 24 to 64 bytes in Base64
    url: must be an address such as https://example.com/hooks
    ");
    let many: Vec<String> = (0..10_000).map(|n| format!("event.{n}")).collect();
    let answer = refusal(json!({"url": "https://example.com", "events": many})).await;
    assert!(answer.ends_with("events: must name 1 to 18 events"), "{answer}");
    let answer = refusal(json!({"url": "https://example.com", "events": []})).await;
    assert!(answer.ends_with("events: must name 1 to 18 events"), "{answer}");
}

#[tokio::test]
async fn addresses_that_are_none_of_ours_to_call_are_refused() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let long = format!("https://example.com/{}", "x".repeat(2_048));
    let public = "must be an address of the public internet";
    for (url, problem) in [
        ("", "must be an address such as https://example.com/hooks"),
        ("https://", "must be an address such as https://example.com/hooks"),
        ("https://example.com:99999/", "must be an address such as https://example.com/hooks"),
        ("http://example.com/", "must begin with https://"),
        ("ftp://example.com/", "must begin with https://"),
        ("javascript:alert(1)", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("https://user@example.com/", "must not have a user or a password"),
        ("https://:word@example.com/", "must not have a user or a password"),
        ("https://exa\tmple.com/", "must not have control characters"),
        ("https://example.com/\r\nX-Evil: 1", "must not have control characters"),
        (long.as_str(), "must have at most 2048 characters"),
        ("https://localhost/", public),
        ("https://LOCALHOST.:8443/", public),
        ("https://127.0.0.1/", public),
        ("https://0x7f.1/", public),
        ("https://2130706433/", public),
        ("https://10.1.2.3/", public),
        ("https://169.254.169.254/latest/meta-data", public),
        ("https://[::1]/", public),
        ("https://[::ffff:10.0.0.1]/", public),
        ("https://[fe80::1]/", public),
    ] {
        let answer = front.post(PATH, &token, hook(url)).await;
        assert_eq!(
            answer.refusal(),
            format!("400 VALIDATION_ERROR: Some fields are not valid.\nurl: {problem}"),
            "{url}"
        );
    }
    assert_eq!(front.get(PATH, &token).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn a_tenant_has_so_many_and_no_more() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let mut last: Option<Answer> = None;
    for _ in 0..=100 {
        last = Some(front.post(PATH, &token, hook("https://example.com/")).await);
    }
    assert_eq!(last.unwrap().refusal(), "409 CONFLICT: There are 100 webhooks already.");
    assert_eq!(front.get(PATH, &token).await.json()["pagination"]["total"], 100);
}
