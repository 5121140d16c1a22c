//! Single messages, in their documented form.

use serde_json::json;

use super::support::Front;

#[tokio::test]
async fn texts_are_queued_and_shown() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let body = json!({"sessionId": session_id, "to": "+91 98765-43210", "text": "Hello {{name}}"});
    let queued = front.post("/api/messages/send-text", &token, body).await;
    insta::assert_snapshot!(queued.golden(), @"");
    let path = format!("/api/messages/{}", queued.data()["id"].as_str().unwrap());
    let shown = front.get(&path, &token).await;
    insta::assert_snapshot!(shown.golden(), @"");
    assert_eq!(shown.data()["sessionId"], session_id);
    insta::assert_snapshot!(front.get(&format!("{path}/timeline"), &token).await.golden(), @"");
}

#[tokio::test]
async fn texts_are_refused_with_every_problem() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let send = async |body: serde_json::Value| front.post("/api/messages/send-text", &token, body).await.refusal();
    insta::assert_snapshot!(send(json!({})).await, @"");
    insta::assert_snapshot!(send(json!({"sessionId": "x", "to": 5, "text": null, "caption": "no"})).await, @"");
    insta::assert_snapshot!(send(json!({"sessionId": session_id, "to": "12", "text": " "})).await, @"");
    insta::assert_snapshot!(send(json!({"sessionId": session_id, "to": "919876543210", "text": "x".repeat(4_097)})).await, @"");
    insta::assert_snapshot!(send(json!({"sessionId": session_id, "to": "919876543210", "text": "a\u{0}b"})).await, @"");
}

#[tokio::test]
async fn sessions_that_can_not_send_refuse() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let made = front.post("/api/whatsapp", &token, json!({"name": "Shop"})).await;
    let send = async || {
        let body = json!({"sessionId": made.data()["id"], "to": "919876543210", "text": "Hi"});
        front.post("/api/messages/send-text", &token, body).await
    };
    insta::assert_snapshot!(send().await.refusal(), @"");
    for state in ["logged_out", "banned", "qr_pending"] {
        front.sql(&format!("UPDATE sessions SET state = '{state}'")).await;
        assert_eq!(send().await.status, 409, "{state}");
    }
    for state in ["reconnecting", "connecting", "connected"] {
        front.sql(&format!("UPDATE sessions SET state = '{state}'")).await;
        assert_eq!(send().await.status, 200, "{state}");
    }
}
