//! Forecasts of campaigns over HTTP: before the start, while they run, and of those that wait.

use actiwapi_dispatcher::domain::id::CampaignId;
use serde_json::{Value, json};

use super::support::Front;

/// A campaign to so many recipients in India, one after the other, over these sessions.
async fn campaign(front: &Front, token: &str, sessions: &[&str], n: u64) -> String {
    let recipients: Vec<Value> = (0..n).map(|n| json!({"phone": (919_800_000_000 + n).to_string()})).collect();
    let body = json!({"name": "Sale", "sessionIds": sessions, "message": {"type": "text", "text": "Hello"},
        "recipients": recipients});
    let answer = front.post("/api/v1/campaigns", token, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.data()["id"].as_str().unwrap().to_owned()
}

async fn forecast(front: &Front, token: &str, id: &str) -> Value {
    let answer = front.act(&format!("/api/v1/campaigns/{id}/forecast"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data()
}

/// Makes jobs of the first recipients and admits them, as the daemon would.
async fn admit(front: &Front, id: &str, n: u32) {
    let campaign_id = CampaignId(id.parse().unwrap());
    let expansion = front.store.expand_campaign(campaign_id, 0, n).await.unwrap();
    let jobs: Vec<_> = expansion.jobs.iter().collect();
    front.store.admit_jobs(&jobs, 1_800_000_000_000_000).await.unwrap();
}

/// A time, so many seconds after a full minute.
fn after(minute: &Value, seconds: u32) -> String {
    minute.as_str().unwrap().replace(":00.000Z", &format!(":{seconds:02}.000Z"))
}

#[tokio::test]
async fn a_draft_is_forecast_as_if_it_started_now() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let id = campaign(&front, &token, &[&session], 10).await;
    let made = forecast(&front, &token, &id).await;
    let now = &made["computedAt"];
    // 20 a minute: the last one goes 9 × 3 s after the first; with one more session each has 5.
    let finish = after(now, 27);
    let date = &finish[..10];
    let expected = json!({
        "finishAt": finish, "n": 10, "perDay": [{"date": date, "n": 10}], "boundBy": "pace", "truncated": false,
        "perSession": [{"sessionId": session, "n": 10, "unsent": 0, "finishAt": finish, "boundBy": "pace"}],
        "withOneMoreSession": {"finishAt": after(now, 12)}, "computedAt": now,
    });
    assert_eq!(made, expected);
    // The minute may end between two of them, but not twice.
    let reads = [forecast(&front, &token, &id).await, forecast(&front, &token, &id).await, made];
    assert!(reads[0] == reads[1] || reads[0] == reads[2], "{reads:?}");
    let other = front.register("bo@example.com").await;
    let answer = front.act(&format!("/api/v1/campaigns/{id}/forecast"), &other).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (404, &json!("NOT_FOUND")));
}

#[tokio::test]
async fn a_running_campaign_is_forecast_from_what_is_left() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let (first, second) = (front.session(&token).await, front.session(&token).await);
    let id = campaign(&front, &token, &[&first, &second], 10).await;
    front.act(&format!("/api/v1/campaigns/{id}/start"), &token).await;
    let before = forecast(&front, &token, &id).await;
    assert_eq!((&before["n"], &before["finishAt"]), (&json!(10), &json!(after(&before["computedAt"], 12))));
    // Six have their deliveries, of which one was sent; the others are still to be handed out.
    admit(&front, &id, 6).await;
    front.sql("UPDATE deliveries SET state = 'sent' WHERE recipient = '919800000000'").await;
    front.sql("UPDATE campaign_counters SET pending = pending - 1, sent = sent + 1").await;
    let made = forecast(&front, &token, &id).await;
    let shares: Vec<_> = made["perSession"].as_array().unwrap().iter().map(|of| of["n"].as_u64().unwrap()).collect();
    assert_eq!((&made["n"], shares), (&json!(9), vec![4, 5]));
    assert_eq!(made["finishAt"], json!(after(&made["computedAt"], 12)));
    // Another campaign takes every second turn of the first session, until its three are out.
    let beside = campaign(&front, &token, &[&first], 3).await;
    front.act(&format!("/api/v1/campaigns/{beside}/start"), &token).await;
    admit(&front, &beside, 3).await;
    let made = forecast(&front, &token, &id).await;
    assert_eq!((&made["n"], &made["finishAt"]), (&json!(9), &json!(after(&made["computedAt"], 18))));
}

#[tokio::test]
async fn what_holds_without_an_end_is_named() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let id = campaign(&front, &token, &[&session], 4).await;
    front.sql("UPDATE sessions SET state = 'banned'").await;
    let made = forecast(&front, &token, &id).await;
    assert_eq!((&made["finishAt"], &made["boundBy"], &made["n"]), (&Value::Null, &json!("session_lost"), &json!(0)));
    assert_eq!(made["perSession"][0]["unsent"], 4);
    assert_eq!(made["withOneMoreSession"], Value::Null);
    front.sql("UPDATE sessions SET state = 'connected'").await;
    front.act(&format!("/api/v1/campaigns/{id}/start"), &token).await;
    front.act(&format!("/api/v1/campaigns/{id}/pause"), &token).await;
    assert_eq!(forecast(&front, &token, &id).await["boundBy"], "campaign_paused");
    front.act(&format!("/api/v1/campaigns/{id}/cancel"), &token).await;
    let over = front.act(&format!("/api/v1/campaigns/{id}/forecast"), &token).await;
    insta::assert_snapshot!(over.refusal(), @"409 CONFLICT: The campaign is cancelled; nothing of it is to come.");
}

#[tokio::test]
async fn a_plan_without_room_binds() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let tenant = front.get("/api/v1/auth/me", &token).await.data()["tenantId"].as_str().unwrap().to_owned();
    let id = campaign(&front, &token, &[&session], 10).await;
    let operator = front.register_as("operator", "ops@example.com").await;
    let path = format!("/api/v1/ops/tenants/{tenant}/subscription");
    let body = json!({"plan": "starter", "status": "active"}).to_string();
    assert_eq!(front.send("PUT", &path, &operator, &body).await.status, 200);
    front.sql("UPDATE usage SET max_messages = 6").await;
    let made = forecast(&front, &token, &id).await;
    assert_eq!((&made["n"], &made["boundBy"]), (&json!(10), &json!("plan_messages")));
    let days: Vec<_> = made["perDay"].as_array().unwrap().iter().map(|day| day["n"].as_u64().unwrap()).collect();
    assert_eq!(days, [6, 4]);
}
