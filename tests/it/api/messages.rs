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
    insta::assert_snapshot!(queued.golden(), @r#"
    200
    {
      "data": {
        "id": "[id]",
        "status": "queued",
        "to": "919876543210"
      },
      "success": true
    }
    "#);
    let path = format!("/api/messages/{}", queued.data()["id"].as_str().unwrap());
    let shown = front.get(&path, &token).await;
    insta::assert_snapshot!(shown.golden(), @r#"
    200
    {
      "data": {
        "attempts": 0,
        "campaignId": null,
        "createdAt": "[time]",
        "deliveredAt": null,
        "dueAt": null,
        "failure": null,
        "heldBy": {
          "by": "no_owner",
          "meaning": "No node drives the lane just now.",
          "since": null,
          "until": null
        },
        "id": "[id]",
        "providerMessageId": null,
        "readAt": null,
        "sentAt": null,
        "sessionId": "[id]",
        "status": "queued",
        "to": "919876543210"
      },
      "success": true
    }
    "#);
    assert_eq!(shown.data()["sessionId"], session_id);
    insta::assert_snapshot!(front.get(&format!("{path}/timeline"), &token).await.golden(), @r#"
    200
    {
      "data": [
        {
          "at": "[time]",
          "event": "queued"
        }
      ],
      "success": true
    }
    "#);
}

#[tokio::test]
async fn texts_are_refused_with_every_problem() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let send = async |body: serde_json::Value| front.post("/api/messages/send-text", &token, body).await.refusal();
    insta::assert_snapshot!(send(json!({})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    sessionId: is required
    text: is required
    to: is required
    ");
    insta::assert_snapshot!(send(json!({"sessionId": "x", "to": 5, "text": null, "caption": "no"})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    caption: is not a known field
    sessionId: UUID parsing failed: invalid character: found `x` at 0
    text: invalid type: null, expected a string
    to: invalid type: integer `5`, expected a string
    ");
    insta::assert_snapshot!(send(json!({"sessionId": session_id, "to": "12", "text": " "})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    text: The text is empty.
    to: Valid phone number is required: it has too few digits for its country.
    ");
    insta::assert_snapshot!(send(json!({"sessionId": session_id, "to": "919876543210", "text": "x".repeat(4_097)})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    text: The text is longer than 4096 characters.
    ");
    insta::assert_snapshot!(send(json!({"sessionId": session_id, "to": "919876543210", "text": "a\u{0}b"})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    text: must not contain the character U+0000
    ");
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
    insta::assert_snapshot!(send().await.refusal(), @"409 CONFLICT: The session is disconnected; connect it first.");
    for state in ["logged_out", "banned", "qr_pending"] {
        front.sql(&format!("UPDATE sessions SET state = '{state}'")).await;
        assert_eq!(send().await.status, 409, "{state}");
    }
    for state in ["reconnecting", "connecting", "connected"] {
        front.sql(&format!("UPDATE sessions SET state = '{state}'")).await;
        assert_eq!(send().await.status, 200, "{state}");
    }
}
