//! Campaigns that are changed, scheduled, copied and removed, as clients do it.

use serde_json::{Value, json};

use super::support::Front;

const TIME: &str = "2999-01-01T00:00:00Z";

/// Makes a draft with two recipients and returns its path.
async fn draft(front: &Front, token: &str) -> String {
    let session_id = front.session(token).await;
    let path = format!("/api/v1/campaigns/{}", front.draft(token, &session_id).await);
    let recipients = json!({"recipients": [{"phone": "919876543210"}, {"phone": "919876543211"}]});
    front.post(&format!("{path}/recipients"), token, recipients).await.data();
    path
}

/// Returns a time so many seconds from now, as clients write it.
fn in_seconds(seconds: i64) -> String {
    let at = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    at.format(&time::format_description::well_known::Rfc3339).unwrap()
}

#[tokio::test]
async fn drafts_are_changed_by_patch_and_put() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = draft(&front, &token).await;
    for (method, name) in [("PATCH", "One"), ("PUT", "Two")] {
        let body = json!({"name": name, "message": {"type": "text", "text": "Bye"}, "expiresAt": TIME, "canary": {"first": 1}});
        let data = front.send(method, &path, &token, &body.to_string()).await.data();
        assert_eq!(
            (&data["name"], &data["message"]["text"], &data["canary"]["first"]),
            (&json!(name), &json!("Bye"), &json!(1))
        );
        assert_eq!(data["counters"]["total"], 2);
    }
    let data = front.send("PATCH", &path, &token, r#"{"expiresAt":null,"canary":null,"pacing":null}"#).await.data();
    assert_eq!((&data["expiresAt"], &data["canary"], &data["name"]), (&Value::Null, &Value::Null, &json!("Two")));
    assert_eq!(front.get(&path, &token).await.data(), data);
    front.act(&format!("{path}/start"), &token).await.data();
    let refused = front.send("PATCH", &path, &token, r#"{"message":{"type":"text","text":"Other"}}"#).await;
    let told = "The campaign is running; this can not be changed any more.";
    assert_eq!(refused.refusal(), format!("409 CONFLICT: {told}\nmessage: {told}"));
}

#[tokio::test]
async fn bad_changes_are_refused_by_their_fields() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = draft(&front, &token).await;
    let refused = async |method: &str, path: &str, body: &str| front.send(method, path, &token, body).await.refusal();
    let invalid = |problems: &str| format!("400 VALIDATION_ERROR: Some fields are not valid.\n{problems}");
    for (body, problems) in [
        (r#"{"name":5}"#, "name: invalid type: integer `5`, expected a string"),
        (r#"{"name":""}"#, "name: is required"),
        (r#"{"name":"a\u0000"}"#, "name: must not contain the character U+0000"),
        (r#"{"name":"a\u0007"}"#, "name: must not have control characters"),
        (r#"{"recipients":[]}"#, "recipients: is not a known field"),
        (r#"{"sessionIds":[]}"#, "sessionIds: must name 1 to 1000 sessions"),
        (r#"{"scheduledAt":"tomorrow"}"#, "scheduledAt: must be a time such as 2026-01-31T08:00:00Z"),
        (r#"{"scheduledAt":"2001-01-01T00:00:00Z"}"#, "scheduledAt: must be in the future"),
        (r#"{"timezone":"Asia/Kolkata"}"#, "timezone: goes with scheduledAt"),
        (
            r#"{"skipDuplicatesHours":99999999999}"#,
            "skipDuplicatesHours: invalid value: integer `99999999999`, expected u32",
        ),
    ] {
        assert_eq!(refused("PATCH", &path, body).await, invalid(problems), "{body}");
    }
    let schedule = format!("{path}/schedule");
    let tomorrow = in_seconds(86_400);
    for (body, problems) in [
        (json!({}), "scheduledAt: is required"),
        (json!({"scheduledAt": 5}), "scheduledAt: invalid type: integer `5`, expected a string"),
        (json!({"scheduledAt": TIME}), "scheduledAt: must be within a year"),
        (
            json!({"scheduledAt": tomorrow, "timezone": "Moon/Sea"}),
            "timezone: must be a time zone such as Asia/Kolkata, or a country such as IN",
        ),
        (json!({"scheduledAt": tomorrow, "at": 1}), "at: is not a known field"),
    ] {
        assert_eq!(refused("POST", &schedule, &body.to_string()).await, invalid(problems), "{body}");
    }
    let duplicate = format!("{path}/duplicate");
    assert_eq!(refused("POST", &duplicate, r#"{"name":" "}"#).await, invalid("name: is required"));
    let wrong = refused("POST", &duplicate, r#"{"recipients":"all"}"#).await;
    assert_eq!(wrong, invalid("recipients: invalid type: string \"all\", expected a boolean"));
    let wrong = refused("DELETE", &format!("{path}/recipients/7"), "").await;
    assert_eq!(wrong, invalid("id: must be a UUID"));
}

#[tokio::test]
async fn a_campaign_is_scheduled_shown_and_taken_back() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = draft(&front, &token).await;
    let body = json!({"scheduledAt": in_seconds(86_400), "timezone": "Asia/Kolkata"});
    let data = front.post(&format!("{path}/schedule"), &token, body.clone()).await.data();
    assert_eq!(
        (&data["status"], &data["timezone"], &data["scheduleProblem"]),
        (&json!("scheduled"), &json!("Asia/Kolkata"), &Value::Null)
    );
    assert!(data["scheduledAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(front.act(&format!("{path}/pause"), &token).await.data()["status"], "draft");
    front.post(&format!("{path}/schedule"), &token, body).await.data();
    let data = front.send("PATCH", &path, &token, r#"{"scheduledAt":null}"#).await.data();
    assert_eq!(
        (&data["status"], &data["scheduledAt"], &data["timezone"]),
        (&json!("draft"), &Value::Null, &Value::Null)
    );

    let session_id = data["sessionIds"][0].clone();
    let body = json!({
        "name": "Sale", "sessionIds": [session_id], "message": {"type": "text", "text": "Hello"},
        "recipients": [{"phone": "919876543210"}], "scheduledAt": in_seconds(86_400), "timezone": "IN",
    });
    let made = front.post("/api/v1/campaigns", &token, body.clone()).await;
    assert_eq!((made.status.as_u16(), &made.data()["status"]), (201, &json!("scheduled")));
    let mut empty = body;
    empty["recipients"] = json!([]);
    let refused = front.post("/api/v1/campaigns", &token, empty).await.refusal();
    assert!(refused.ends_with("scheduledAt: goes with recipients, groupIds or contactIds"), "{refused}");
}

#[tokio::test]
async fn campaigns_are_copied_once_and_removed() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = draft(&front, &token).await;
    let duplicate = format!("{path}/duplicate");
    let first = front.post_once(&duplicate, &token, "k1", json!({"recipients": true})).await;
    assert_eq!((first.status.as_u16(), &first.data()["name"]), (201, &json!("Sale (copy)")));
    assert_eq!(first.data()["counters"]["total"], 2);
    let again = front.post_once(&duplicate, &token, "k1", json!({"recipients": true})).await;
    assert_eq!(again.data()["id"], first.data()["id"]);
    assert_eq!(front.act(&duplicate, &token).await.data()["counters"]["total"], 0);

    let listed = front.get(&format!("{path}/recipients"), &token).await.json()["data"].clone();
    let recipient = format!("{path}/recipients/{}", listed[0]["id"].as_str().unwrap());
    assert_eq!(front.send("DELETE", &recipient, &token, "").await.data()["id"], listed[0]["id"]);
    assert_eq!(
        front.send("DELETE", &recipient, &token, "").await.refusal(),
        "404 NOT_FOUND: There is no such recipient."
    );
    assert_eq!(front.get(&path, &token).await.data()["counters"]["total"], 1);
    front.act(&format!("{path}/start"), &token).await.data();
    assert_eq!(front.send("DELETE", &path, &token, "").await.status, 409);
    front.act(&format!("{path}/cancel"), &token).await.data();
    front.send("DELETE", &path, &token, "").await.data();
    assert_eq!(front.get(&path, &token).await.refusal(), "404 NOT_FOUND: There is no such campaign.");
    for of in ["recipients", "stats", "held-by", "export", "events"] {
        assert_eq!(front.get(&format!("{path}/{of}"), &token).await.status, 404, "{of}");
    }
}

#[tokio::test]
async fn two_starts_at_once_are_one() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let path = format!("{}/start", draft(&front, &token).await);
    let (a, b) = tokio::join!(front.act(&path, &token), front.act(&path, &token));
    for answer in [a, b] {
        assert_eq!((answer.status.as_u16(), &answer.data()["status"]), (200, &json!("running")));
    }
    assert_eq!(crate::support::seed::count(&front.store, "outbox").await, 1);
}
