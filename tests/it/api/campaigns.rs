//! Campaigns: put together, started and stopped, counted.

use serde_json::{Value, json};

use super::support::Front;

fn template() -> Value {
    json!({"type": "template", "name": "sale_begins", "language": "en_US", "parameters": ["{{name}}"]})
}

#[tokio::test]
async fn campaigns_are_made_and_shown() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let (first, second) = (front.session(&token).await, front.session(&token).await);
    let body = json!({
        "name": "Sale", "sessionIds": [second, first], "message": template(), "onUnknown": "resend",
        "expiresAt": "2199-01-31T13:30:00+05:30",
        "recipients": [{"phone": "+91 98765 43210", "variables": {"name": "Ana"}}, {"phone": "919876543210"}],
    });
    let made = front.post("/api/v1/campaigns", &token, body).await;
    insta::assert_snapshot!(made.golden(), @r#"
    201
    {
      "data": {
        "canary": null,
        "canaryStatus": null,
        "counters": {
          "cancelled": 0,
          "delivered": 0,
          "failed": 0,
          "queued": 0,
          "read": 0,
          "sending": 0,
          "sent": 0,
          "skipped": 0,
          "total": 1,
          "unknown": 0
        },
        "createdAt": "[time]",
        "expiresAt": "[time]",
        "failover": false,
        "finishedAt": null,
        "guardrails": null,
        "id": "[id]",
        "message": {
          "language": "en_US",
          "name": "sale_begins",
          "parameters": [
            "{{name}}"
          ],
          "type": "template"
        },
        "name": "Sale",
        "onLimit": "hold",
        "onUnknown": "resend",
        "pacing": {},
        "pauseReason": null,
        "respectOptIn": true,
        "scheduleProblem": null,
        "scheduledAt": null,
        "sessionIds": [
          "[id]",
          "[id]"
        ],
        "skipDuplicatesHours": null,
        "startedAt": null,
        "status": "draft",
        "timezone": null
      },
      "success": true
    }
    "#);
    assert_eq!(made.data()["sessionIds"], json!([second, first]));
    assert_eq!(made.data()["expiresAt"], "2199-01-31T08:00:00.000Z");
    let path = format!("/api/campaigns/{}", made.data()["id"].as_str().unwrap());
    assert_eq!(front.get(&path, &token).await.data(), made.data());
    let recipients = front.get(&format!("{path}/recipients"), &token).await.json();
    let shown = recipients["data"].as_array().unwrap().iter().map(|row| json!([row["phone"], row["variables"]]));
    assert_eq!(shown.collect::<Vec<_>>(), [json!(["919876543210", {"name": "Ana"}])]);
    assert_eq!(recipients["pagination"]["total"], 1);
    is_listed(&front.get("/api/campaigns", &token).await.json(), made.data());
}

/// The list shows a campaign without what only its own page has.
fn is_listed(listed: &Value, mut campaign: Value) {
    for of_detail in
        ["sessionIds", "failover", "canary", "canaryStatus", "guardrails", "respectOptIn", "skipDuplicatesHours"]
    {
        campaign.as_object_mut().unwrap().remove(of_detail);
    }
    assert_eq!(listed["data"], json!([campaign]));
    assert_eq!(listed["pagination"], json!({"page": 1, "limit": 20, "total": 1, "totalPages": 1}));
}

#[tokio::test]
async fn campaigns_may_set_a_pace_of_their_own() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let make = async |pacing: Value| {
        let body = json!({"name": "Sale", "sessionIds": [session], "message": template(), "pacing": pacing});
        front.post("/api/v1/campaigns", &token, body).await
    };
    let slow = json!({
        "ratePerMinute": 5.0, "dailyCap": 100, "hours": [{"days": ["sat"], "from": "10:00", "to": "12:30"}],
    });
    let made = make(slow.clone()).await.data();
    assert_eq!(made["pacing"], slow);
    let path = format!("/api/v1/campaigns/{}", made["id"].as_str().unwrap());
    assert_eq!(front.get(&path, &token).await.data()["pacing"], slow);
    insta::assert_snapshot!(make(json!({"ratePerMinute": 0, "dailyCap": 0})).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    pacing.dailyCap: must be between 1 and 100000000
    pacing.ratePerMinute: must be between 0.0007 (one a day) and 60000 (1,000 a second)
    ");
    insta::assert_snapshot!(make(json!({"burst": 3})).await.refusal(), @"
    400 VALIDATION_ERROR: Some fields are not valid.
    pacing.burst: unknown field `burst`, expected one of `ratePerMinute`, `dailyCap`, `hours`
    ");
}

#[tokio::test]
async fn campaigns_are_refused_with_every_problem() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let theirs = front.session(&front.register("bob@example.com").await).await;
    let make = async |body: Value| front.post("/api/v1/campaigns", &token, body).await.refusal();
    insta::assert_snapshot!(make(json!({})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    message: is required
    name: is required
    sessionIds: is required
    ");
    insta::assert_snapshot!(make(json!({
        "name": 5, "sessionIds": ["x"], "message": {"type": "voice"}, "onUnknown": "guess", "expiresAt": "soon", "groups": [],
    })).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    expiresAt: must be a time such as 2026-01-31T08:00:00Z
    groups: is not a known field
    message.type: unknown variant `voice`, expected one of `text`, `template`, `buttons`, `list`, `link`, `reaction`, `location`, `contact`, `image`, `video`, `audio`, `sticker`, `document`
    name: invalid type: integer `5`, expected a string
    onUnknown: unknown variant `guess`, expected `quarantine` or `resend`
    sessionIds[0]: UUID parsing failed: invalid character: found `x` at 0
    ");
    insta::assert_snapshot!(make(json!({
        "name": " ", "sessionIds": [], "message": {"type": "text", "text": "Hello {{name"}, "expiresAt": "2001-01-01T00:00:00Z",
        "recipients": [{"phone": "919876543210"}, {"phone": "12"}, {"phone": ""}],
    })).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    expiresAt: must be in the future
    message: Text, position 7: the variable that begins here is not closed by }}.
    name: is required
    recipients[1].phone: Valid phone number is required: it has too few digits for its country.
    recipients[2].phone: Valid phone number is required: it is empty.
    sessionIds: must name 1 to 1000 sessions
    ");
    insta::assert_snapshot!(make(json!({
        "name": "Sale", "sessionIds": [theirs], "message": {"type": "text", "text": "Hello"},
    })).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    sessionIds[0]: There is no such session
    ");
    assert_eq!(front.get("/api/v1/campaigns", &token).await.json()["pagination"]["total"], 0);
}

#[tokio::test]
async fn lists_are_narrowed_by_status() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let running = front.draft(&token, &session_id).await;
    front.draft(&token, &session_id).await;
    front
        .post(
            &format!("/api/campaigns/{running}/recipients"),
            &token,
            json!({"recipients": [{"phone": "919876543210"}]}),
        )
        .await;
    front.act(&format!("/api/campaigns/{running}/start"), &token).await;
    let total = async |status: &str| {
        front.get(&format!("/api/campaigns?status={status}"), &token).await.json()["pagination"]["total"].clone()
    };
    assert_eq!((total("running").await, total("draft").await, total("failed").await), (json!(1), json!(1), json!(0)));
    insta::assert_snapshot!(front.get("/api/campaigns?status=done", &token).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    status: is not a status of campaigns
    ");
}

/// One line for each call of a life: action, status, and the state after it.
#[tokio::test]
async fn actions_follow_the_life_cycle_and_are_idempotent() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let path = format!("/api/v1/campaigns/{}", front.draft(&token, &session_id).await);
    let mut life = String::new();
    let recipients = json!({"recipients": [{"phone": "919876543210"}]}).to_string();
    for action in [
        "start",
        "pause",
        "recipients",
        "start",
        "start",
        "recipients",
        "pause",
        "pause",
        "resume",
        "resume",
        "cancel",
        "cancel",
        "start",
        "resume",
    ] {
        let body = if action == "recipients" { recipients.as_str() } else { "" };
        let answer = front.send("POST", &format!("{path}/{action}"), &token, body).await;
        let said = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        let state = front.get(&path, &token).await.data()["status"].as_str().unwrap().to_owned();
        life += format!("{action:10} {} {state:9} {said}", answer.status.as_u16()).trim_end();
        life += "\n";
    }
    insta::assert_snapshot!(life, @r"
    start      409 draft     The campaign has no recipients.
    pause      409 draft     The campaign is draft, so it can not be paused.
    recipients 200 draft
    start      200 running
    start      200 running
    recipients 409 running   The campaign is running; recipients can only be added to a draft.
    pause      200 paused
    pause      200 paused
    resume     200 running
    resume     200 running
    cancel     200 cancelled
    cancel     200 cancelled
    start      409 cancelled The campaign is cancelled, so it can not be started.
    resume     409 cancelled The campaign is cancelled, so it can not be resumed.
    ");
}

#[tokio::test]
async fn stats_add_up() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let path = format!("/api/v1/campaigns/{}", front.draft(&token, &session_id).await);
    let recipients: Vec<_> = (0..10).map(|at| json!({"phone": format!("91987654321{at}")})).collect();
    front.post(&format!("{path}/recipients"), &token, json!({"recipients": recipients})).await;
    front.act(&format!("{path}/start"), &token).await;
    let answer = front.get(&format!("{path}/stats"), &token).await;
    insta::assert_snapshot!(answer.golden(), @r#"
    200
    {
      "data": {
        "cancelled": 0,
        "delivered": 0,
        "failed": 0,
        "failedByCode": {
          "LIMIT_EXCEEDED": 0,
          "WHATSAPP_UNAVAILABLE": 0
        },
        "failedByReason": {},
        "finishedAt": null,
        "id": "[id]",
        "ledgerDrift": 0,
        "queued": 10,
        "read": 0,
        "sending": 0,
        "sent": 0,
        "skipped": 0,
        "startedAt": "[time]",
        "status": "running",
        "total": 10,
        "unknown": 0
      },
      "success": true
    }
    "#);
    let stats = answer.data();
    let states = ["queued", "sending", "sent", "delivered", "read", "failed", "skipped", "cancelled", "unknown"];
    let sum: i64 = states.iter().map(|state| stats[*state].as_i64().unwrap()).sum();
    assert_eq!(sum, stats["total"].as_i64().unwrap());
}

#[tokio::test]
async fn messages_that_came_to_an_end_are_taken_up_again() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let id = front.draft(&token, &front.session(&token).await).await;
    let path = |verb: &str| format!("/api/v1/campaigns/{id}/{verb}");
    let draft = front.act(&path("retry-failed"), &token).await.refusal();
    assert_eq!(draft, "409 CONFLICT: The campaign is draft, so it can not be taken up again.");
    front.sql("UPDATE campaigns SET state = 'completed'").await;
    assert_eq!(front.act(&path("retry-failed"), &token).await.data(), json!({"moved": 0, "done": true}));
    let given = front.post(&path("retry-failed"), &token, json!({"reasons": ["NETWORK"]})).await;
    assert_eq!(given.data(), json!({"moved": 0, "done": true}));
    for to in ["sent", "retry"] {
        let answer = front.post(&path("resolve-unknown"), &token, json!({"to": to})).await;
        assert_eq!(answer.data(), json!({"moved": 0, "done": true}));
    }
    let bad = front.post(&path("retry-failed"), &token, json!({"reasons": ["x"], "all": true})).await;
    assert_eq!(bad.refusal(), "400 VALIDATION_ERROR: Some fields are not valid.\nall: is not a known field");
    let bad = front.post(&path("retry-failed"), &token, json!({"reasons": ["x", "RENDER_FAILED"]})).await;
    let expected = "400 VALIDATION_ERROR: Some fields are not valid.\nreasons[0]: is not a reason of failures\n\
                    reasons[1]: is final for the recipient";
    assert_eq!(bad.refusal(), expected);
    assert_eq!(front.post(&path("resolve-unknown"), &token, json!({"to": "nowhere"})).await.status, 400);
    assert_eq!(front.act(&path("resolve-unknown"), &token).await.status, 400);
    let thief = front.register("thief@example.com").await;
    assert_eq!(front.act(&path("retry-failed"), &thief).await.status, 404);
    assert_eq!(front.post(&path("resolve-unknown"), &thief, json!({"to": "sent"})).await.status, 404);
    let viewer = front.register_as("viewer", "viewer@example.com").await;
    assert_eq!(front.act(&path("retry-failed"), &viewer).await.status, 403);
}

#[tokio::test]
async fn safeguards_are_taken_and_shown() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let create = async |extra: serde_json::Value| {
        let mut body = json!({"name": "Sale", "sessionIds": [session], "message": {"type": "text", "text": "Hello"}});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        front.post("/api/v1/campaigns", &token, body).await
    };
    let plain = create(json!({})).await.data();
    assert_eq!(
        (&plain["failover"], &plain["canary"], &plain["guardrails"]),
        (&json!(false), &json!(null), &json!(null))
    );
    let made = create(json!({
        "failover": true, "canary": {"percent": 5.0}, "guardrails": {"maxFailureRate": 0.05},
    }));
    let made = made.await.data();
    assert_eq!((&made["failover"], &made["canary"]), (&json!(true), &json!({"percent": 5.0})));
    let guardrails = json!({"maxFailureRate": 0.05, "minSample": 50, "noReceiptAfterSeconds": 60});
    assert_eq!((&made["guardrails"], &made["canaryStatus"]), (&guardrails, &json!(null)));
    let bad = create(json!({"canary": {"first": 1, "percent": 1.0}, "guardrails": {"maxOptOutRate": 2.0}})).await;
    let expected = "400 VALIDATION_ERROR: Some fields are not valid.\ncanary: must have either first or percent\n\
                    guardrails.maxOptOutRate: must be 0 to 1";
    assert_eq!(bad.refusal(), expected);
    let bad = create(json!({"guardrails": {"maxRate": 1}})).await.refusal();
    assert!(
        bad.starts_with("400 VALIDATION_ERROR: Some fields are not valid.\nguardrails.maxRate: unknown field"),
        "{bad}"
    );
}

#[tokio::test]
async fn why_a_campaign_paused_itself_and_why_messages_failed_is_shown() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let id = front.draft(&token, &front.session(&token).await).await;
    let reason = "guardrail: failure rate 12 % above 5 %";
    front.sql(&format!("UPDATE campaigns SET state = 'paused', pause_reason = '{reason}'")).await;
    front.sql("INSERT INTO campaign_reasons SELECT campaign_id, 'NETWORK', 7 FROM campaigns").await;
    front.sql("INSERT INTO campaign_reasons SELECT campaign_id, 'EXPIRED', 0 FROM campaigns").await;
    let path = format!("/api/v1/campaigns/{id}");
    assert_eq!(front.get(&path, &token).await.data()["pauseReason"], reason);
    assert_eq!(front.get(&format!("{path}/stats"), &token).await.data()["failedByReason"], json!({"NETWORK": 7}));
    assert_eq!(front.act(&format!("{path}/resume"), &token).await.data()["pauseReason"], json!(null));
}
