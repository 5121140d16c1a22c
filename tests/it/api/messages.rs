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
        "scheduledAt": null,
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

#[tokio::test]
async fn places_and_cards_are_queued() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let body = json!({"sessionId": session_id, "to": "919876543210", "latitude": 18.5204, "longitude": 73,
        "name": "Rao Textiles", "address": "12 MG Road, Pune"});
    let queued = front.post("/api/messages/send-location", &token, body).await;
    assert_eq!((queued.status.as_u16(), &queued.data()["status"]), (200, &json!("queued")));
    let body = json!({"sessionId": session_id, "to": "919876543210", "name": "Ana", "phones": ["+91 98765 43211"]});
    let queued = front.post("/api/messages/send-contact", &token, body).await;
    assert_eq!((queued.status.as_u16(), &queued.data()["to"]), (200, &json!("919876543210")));

    let refused = async |kind: &str, body: serde_json::Value| {
        front.post(&format!("/api/messages/send-{kind}"), &token, body).await.refusal()
    };
    let body = json!({"sessionId": session_id, "to": "12", "latitude": 91, "longitude": 0});
    insta::assert_snapshot!(refused("location", body).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    latitude: The latitude must be from -90 to 90 degrees.
    to: Valid phone number is required: it has too few digits for its country.
    ");
    let body =
        json!({"sessionId": session_id, "to": 1, "latitude": 1e308, "longitude": "0", "name": "\u{0}", "zoom": 3});
    insta::assert_snapshot!(refused("location", body).await, @r#"
    400 VALIDATION_ERROR: Some fields are not valid.
    latitude: must be a number of degrees from -180 to 180
    longitude: invalid type: string "0", expected f64
    name: must not contain the character U+0000
    to: invalid type: integer `1`, expected a string
    zoom: is not a known field
    "#);
    let body = json!({"sessionId": session_id, "to": "919876543210", "name": "a\nb", "phones": []});
    insta::assert_snapshot!(refused("contact", body).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    name: The name must have 1 to 200 characters.
    ");
    let body = json!({"sessionId": session_id, "to": "919876543210", "name": "Ana", "phones": ["12"]});
    insta::assert_snapshot!(refused("contact", body).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    phones: Valid phone number is required at place 1.
    ");
}

#[tokio::test]
async fn messages_wait_for_their_time() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let at = |days| {
        let time = time::OffsetDateTime::now_utc() + time::Duration::days(days);
        time.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let body = |days, message: serde_json::Value| json!({"sessionId": session_id, "to": "919876543210", "message": message, "scheduledAt": at(days)});
    let text = json!({"type": "text", "text": "Hello {{name}}"});
    let place = json!({"type": "location", "latitude": 1, "longitude": 2});
    let kept = front.post("/api/messages/schedule", &token, body(2, text.clone())).await;
    insta::assert_snapshot!(kept.golden(), @r#"
    200
    {
      "data": {
        "id": "[id]",
        "scheduledAt": "[time]",
        "status": "scheduled",
        "to": "919876543210"
      },
      "success": true
    }
    "#);
    let sooner = front.post("/api/messages/schedule", &token, body(1, place)).await.data()["id"].clone();
    let list = front.get("/api/messages/scheduled", &token).await.json();
    assert_eq!(list["pagination"]["total"], 2);
    assert_eq!((&list["data"][0]["id"], &list["data"][0]["status"]), (&sooner, &json!("scheduled")));
    assert_eq!(list["data"][1]["scheduledAt"], kept.data()["scheduledAt"]);
    assert_eq!(front.get("/api/messages", &token).await.json()["pagination"]["total"], 0);
    assert_eq!(front.get("/api/messages?status=scheduled", &token).await.json()["pagination"]["total"], 2);
    let path = format!("/api/messages/{}", sooner.as_str().unwrap());
    let shown = front.get(&path, &token).await.data();
    assert_eq!((&shown["status"], &shown["heldBy"]), (&json!("scheduled"), &serde_json::Value::Null));
    assert_eq!(front.get(&format!("{path}/timeline"), &token).await.data()[0]["event"], "scheduled");

    let cancel = format!("/api/messages/scheduled/{}", sooner.as_str().unwrap());
    for _ in 0..2 {
        let cancelled = front.send("DELETE", &cancel, &token, "").await;
        assert_eq!((cancelled.status.as_u16(), &cancelled.data()["status"]), (200, &json!("cancelled")));
    }
    assert_eq!(front.get("/api/messages/scheduled", &token).await.json()["pagination"]["total"], 1);
    assert_eq!(front.get("/api/messages?status=cancelled", &token).await.json()["data"][0]["id"], sooner);

    let refused = async |body| front.post("/api/messages/schedule", &token, body).await.refusal();
    insta::assert_snapshot!(refused(body(-1, text.clone())).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    scheduledAt: must be in the future, within a year
    ");
    assert!(refused(body(367, text.clone())).await.contains("scheduledAt: must be in the future"));
    let bad =
        json!({"sessionId": session_id, "to": "919876543210", "message": {"type": "poem"}, "scheduledAt": "soon"});
    insta::assert_snapshot!(refused(bad).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    message.type: unknown variant `poem`, expected one of `text`, `template`, `buttons`, `list`, `link`, `reaction`, `location`, `contact`, `image`, `video`, `audio`, `sticker`, `document`
    scheduledAt: must be a time such as 2026-01-31T08:00:00Z
    ");
    assert!(refused(body(1, json!({"type": "text", "text": " "}))).await.ends_with("message.text: The text is empty."));
}

#[tokio::test]
async fn several_messages_are_queued_or_none() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let send = async |mut body: serde_json::Value| {
        body["sessionId"] = json!(session_id);
        front.post("/api/messages/send-bulk", &token, body).await
    };
    let recipients = json!([{"to": "919876543210", "variables": {"name": "Ana"}}, {"to": "919876543211"}]);
    let queued = send(json!({"text": "Hello {{name|there}}", "recipients": recipients})).await;
    assert_eq!(queued.status, 200);
    assert_eq!((&queued.data()["accepted"], &queued.data()["messages"][1]["to"]), (&json!(2), &json!("919876543211")));
    let message = json!({"type": "contact", "name": "Ana", "phones": ["919876543211"]});
    let queued = send(json!({"messages": [{"to": "919876543212", "message": message}]})).await;
    assert_eq!(queued.data()["messages"][0]["status"], "queued");
    let list = front.get("/api/messages", &token).await.json();
    assert_eq!(list["pagination"]["total"], 3);
    assert_eq!(list["data"][0]["to"], "919876543212", "newest first");

    let refused = async |body| send(body).await.refusal();
    insta::assert_snapshot!(refused(json!({})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    recipients: is required
    text: is required
    ");
    insta::assert_snapshot!(refused(json!({"messages": [], "text": "x", "recipients": []})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    recipients: must not stand beside messages
    text: must not stand beside messages
    ");
    insta::assert_snapshot!(refused(json!({"messages": []})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    messages: must have 1 to 200 entries
    ");
    let recipients = json!([{"to": "919876543210"}, {"to": "12"}, {"to": "919876543211", "name": "x"}]);
    insta::assert_snapshot!(refused(json!({"text": "Hello {{name}}", "recipients": recipients})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    recipients[2].name: unknown field `name`, expected `to` or `variables`
    ");
    let recipients = json!([{"to": "919876543210"}, {"to": "12"}]);
    insta::assert_snapshot!(refused(json!({"text": "Hello {{name}}", "recipients": recipients})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    recipients[0].variables: The variable name has no value and no default.
    recipients[1].to: Valid phone number is required: it has too few digits for its country.
    ");
    assert_eq!(front.get("/api/messages", &token).await.json()["pagination"]["total"], 3);
}

#[tokio::test]
async fn a_key_of_ones_own_queues_once() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let text = json!({"type": "text", "text": "Hi"});
    for (path, rest) in [
        ("send-location", json!({"to": "919876543210", "latitude": 1, "longitude": 2})),
        ("send-contact", json!({"to": "919876543210", "name": "Ana", "phones": ["919876543211"]})),
        ("send-bulk", json!({"messages": [{"to": "919876543210", "message": text}]})),
        ("schedule", json!({"to": "919876543210", "message": text, "scheduledAt": later()})),
    ] {
        let mut body = rest.clone();
        body["sessionId"] = json!(session_id);
        let path = format!("/api/messages/{path}");
        let [first, second] = [
            front.post_once(&path, &token, &path, body.clone()).await,
            front.post_once(&path, &token, &path, body).await,
        ];
        assert_eq!((first.status.as_u16(), second.data()), (200, first.data()), "{path}");
        assert_eq!(second.header("idempotent-replayed"), "true");
    }
    assert_eq!(front.get("/api/messages", &token).await.json()["pagination"]["total"], 3);
    assert_eq!(front.get("/api/messages/scheduled", &token).await.json()["pagination"]["total"], 1);
}

/// A time in a day.
fn later() -> String {
    let time = time::OffsetDateTime::now_utc() + time::Duration::days(1);
    time.format(&time::format_description::well_known::Rfc3339).unwrap()
}

#[tokio::test]
async fn messages_are_listed_exported_cancelled_and_tried_again() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let send = async |to: &str| {
        let body = json!({"sessionId": session_id, "to": to, "text": "Hi"});
        front.post("/api/messages/send-text", &token, body).await.data()["id"].as_str().unwrap().to_owned()
    };
    let [first, second] = [send("919876543210").await, send("919876543211").await];
    // As intake would, without any lane.
    front
        .sql(
            "INSERT INTO jobs (job_id, tenant_id, session_id, campaign_id, traffic_class, on_unknown, message, created_at_ms)
             SELECT outbox_id, tenant_id, session_id, campaign_id, 'transactional', 'quarantine', '{}', 1 FROM outbox",
        )
        .await;
    front
        .sql(
            "INSERT INTO deliveries (delivery_id, tenant_id, session_id, campaign_id, job_id, seq, recipient, variables,
                 created_at_ms, state, provider_code, settled_at_ms)
             SELECT outbox_id, tenant_id, session_id, campaign_id, outbox_id, 1, recipient, '{}', 1769846400000, 'failed',
                 '=1+1', 1769846400000 FROM outbox WHERE recipient = '919876543210'",
        )
        .await;
    front.sql("DELETE FROM outbox WHERE recipient = '919876543210'").await;
    front.sql("INSERT INTO campaign_counters (campaign_id, accepted, failed_unavailable) SELECT campaign_id, 1, 1 FROM outbox").await;

    let ids = async |query: &str| {
        let list = front.get(&format!("/api/messages?{query}"), &token).await.json();
        let data = list["data"].as_array().unwrap_or_else(|| panic!("{query}: {list}")).clone();
        assert_eq!((&list["pagination"]["total"], &list["lookedBackTo"]), (&json!(data.len()), &json!(null)));
        data.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids("").await, [second.clone(), first.clone()]);
    assert_eq!(ids("status=failed").await, [first.as_str()]);
    assert_eq!(ids("status=queued").await, [second.as_str()]);
    assert_eq!(ids("to=%2B91 98765-43210".replace(' ', "%20").as_str()).await, [first.as_str()]);
    assert_eq!(ids("until=2026-01-31T08:00:00Z&since=2026-01-31T13:30:00%2B05:30").await, [first.as_str()]);
    assert_eq!(ids(&format!("sessionId={session_id}&status=failed")).await, [first.as_str()]);
    assert_eq!(ids("campaignId=00000000-0000-7000-8000-000000000001").await, Vec::<String>::new());
    let refused = front.get("/api/messages?status=x&sessionId=1&campaignId=&to=12&since=now&until=1", &token).await;
    insta::assert_snapshot!(refused.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    campaignId: must be a UUID
    sessionId: must be a UUID
    since: must be a time such as 2026-01-31T08:00:00Z
    status: is not a status of messages
    to: Valid phone number is required: it has too few digits for its country.
    until: must be a time such as 2026-01-31T08:00:00Z
    ");
    assert_eq!(front.get("/api/messages?page=5001&limit=100", &token).await.status, 400);

    let file = front.get("/api/messages/export?status=failed", &token).await;
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"messages.csv\"");
    let text = file.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("id,phone,status,") && lines[0].ends_with(",readAt,campaignId"));
    assert!(lines[1].starts_with(&format!("{first},919876543210,failed,")) && lines[1].contains("\"'=1+1\""));
    assert_eq!(front.get("/api/messages/export?status=scheduled", &token).await.status, 400);

    let cancelled = front.send("DELETE", &format!("/api/messages/{second}"), &token, "").await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.data()["status"]), (200, &json!("cancelled")));
    let refused = front.send("DELETE", &format!("/api/messages/{first}"), &token, "").await;
    assert_eq!(refused.refusal(), "409 CONFLICT: The message is failed already.");
    let retry = async |id: &str| front.act(&format!("/api/messages/{id}/retry"), &token).await;
    assert_eq!(retry(&second).await.refusal(), "409 CONFLICT: The message is cancelled and has not failed.");
    for _ in 0..2 {
        let retried = retry(&first).await;
        assert_eq!((retried.status.as_u16(), &retried.data()["status"]), (200, &json!("queued")));
    }
}
