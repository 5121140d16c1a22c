//! The audit log of a tenant: every call that changes something, by whomever, read and exported by owner and admins.

use actiwapi_dispatcher::api::ApiSettings;
use axum::body::Body;
use axum::http::header;
use serde_json::{Value, json};

use super::support::{Front, PASSWORD, request};
use super::team::join;

async fn rows(front: &Front, token: &str, query: &str) -> Vec<Value> {
    let answer = front.get(&format!("/api/v1/audit-logs?limit=100&{query}"), token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().as_array().unwrap().clone()
}

/// Returns the actions, oldest first.
async fn actions(front: &Front, token: &str) -> Vec<String> {
    rows(front, token, "").await.iter().rev().map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_call_that_changes_something_is_written_down() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let campaign = front.draft(&token, &session).await;
    let path = |rest: &str| format!("/api/campaigns/{campaign}{rest}");
    let named = request("POST", &path("/duplicate"), &token).header("x-request-id", "request-7");
    let copy = front.call(named.header(header::CONTENT_TYPE, "application/json").body(Body::from("{}")).unwrap()).await;
    assert_eq!(copy.status, 201, "{copy:?}");
    front.send("PUT", &path(""), &token, r#"{"name":"Winter"}"#).await.data();
    front.send("DELETE", &path(""), &token, "").await.data();
    // What only reads, is refused or not there, changes nothing.
    front.get(&path(""), &token).await;
    front.act(&path("/start"), &token).await;
    front.post("/api/v1/whatsapp", &token, json!({})).await;
    front.act(&path("/forecast"), &token).await;
    let login =
        front.post("/api/auth/login", "", json!({"email": "ana@example.com", "password": PASSWORD})).await.data();
    front.post("/api/auth/login", "", json!({"email": "ana@example.com", "password": "a guess"})).await;
    let refresh = json!({"refreshToken": login["refreshToken"]});
    front.post("/api/auth/logout", "", refresh.clone()).await.data();
    front.post("/api/auth/logout", "", refresh).await.data();
    front.key(&token, json!({"name": "Key", "scopes": ["account:read"]})).await;
    let expected = [
        "register",
        "create_session",
        "connect_session",
        "create_campaign",
        "duplicate_campaign",
        "update_campaign",
        "delete_campaign",
        "login",
        "logout",
        "api_key.created",
    ];
    assert_eq!(actions(&front, &token).await, expected);
    let mut copied = rows(&front, &token, "action=duplicate_campaign").await.remove(0);
    assert_eq!(copied["subject"], campaign.as_str());
    assert_eq!(copied["details"], json!({"before": {"id": campaign}, "after": copy.data()["id"]}));
    copied["actorId"] = "[id]".into();
    copied["subject"] = "[id]".into();
    copied["details"] = json!({});
    copied["id"] = "[id]".into();
    copied["at"] = "[time]".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&copied).unwrap(), @r#"
    {
      "action": "duplicate_campaign",
      "actorId": "[id]",
      "actorType": "user",
      "at": "[time]",
      "details": {},
      "id": "[id]",
      "requestId": "request-7",
      "subject": "[id]"
    }
    "#);
    let removed = rows(&front, &token, "action=delete_campaign").await.remove(0);
    assert_eq!(removed["details"], json!({"before": {"id": campaign}}), "nothing is there afterwards");
    let made = rows(&front, &token, &format!("subject={session}")).await;
    assert_eq!(made.len(), 2);
    assert_eq!((&made[1]["action"], &made[1]["details"]), (&json!("create_session"), &json!({"after": session})));
}

/// Sends are written in a moment, and by which key.
#[tokio::test]
async fn what_programs_do_is_written_down_as_theirs() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let key = front.mighty_key(&token).await;
    let key_id = front.get("/api/api-keys", &token).await.data()[0]["id"].clone();
    let body = json!({"sessionId": session, "to": "919876543210", "text": "Secret words"});
    let sent = front.with_key("POST", "/api/external/messages/send-text", &key, &body.to_string()).await.data();
    let by_person = front.post("/api/v1/messages/send-text", &token, body).await.data();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut sends = rows(&front, &token, "action=send_text").await;
    while sends.len() < 2 && tokio::time::Instant::now() < deadline {
        sends = rows(&front, &token, "action=send_text").await;
    }
    let shown = |row: &Value| (row["actorType"].clone(), row["subject"].clone());
    assert_eq!(shown(&sends[0]), (json!("user"), by_person["id"].clone()));
    assert_eq!(shown(&sends[1]), (json!("apiKey"), sent["id"].clone()));
    assert_eq!(sends[1]["actorId"], key_id);
    let of_key = rows(&front, &token, &format!("actor={}", key_id.as_str().unwrap())).await;
    assert_eq!(of_key.len(), 1);
    let everything = front.get("/api/v1/audit-logs?limit=100", &token).await.text();
    for secret in ["Secret words", "919876543210", "ana@example.com", key.as_str()] {
        assert!(!everything.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn what_is_done_once_is_written_once() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    for _ in 0..3 {
        assert_eq!(front.post_once("/api/v1/whatsapp", &token, "key-1", json!({"name": "Shop"})).await.status, 201);
    }
    assert_eq!(actions(&front, &token).await, ["register", "create_session"]);
}

/// An answer that does not tell whether the change was made leaves a row that says so.
#[tokio::test]
async fn what_may_have_been_done_is_written_too() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    front.sql("ALTER TABLE campaigns RENAME TO campaigns_away").await;
    let body = json!({"name": "Sale", "sessionIds": [session], "message": {"type": "text", "text": "Hi"}});
    assert_eq!(front.post("/api/v1/campaigns", &token, body).await.status, 500);
    let row = rows(&front, &token, "action=create_campaign").await.remove(0);
    assert_eq!(row["details"], json!({"failedWith": 500}));
}

#[tokio::test]
async fn owners_and_admins_of_the_tenant_read_it() {
    let front = Front::start().await;
    let (owner, other) = (front.register("ana@example.com").await, front.register("eve@example.com").await);
    let admin = join(&front, &owner, "bob@example.com", "admin").await;
    let agent = join(&front, &owner, "agent@example.com", "agent").await;
    assert_eq!(rows(&front, &admin, "").await, rows(&front, &owner, "").await);
    for path in ["/api/v1/audit-logs", "/api/v1/audit-logs/export"] {
        assert_eq!(front.get(path, &agent).await.refusal(), "403 FORBIDDEN: Your role does not allow this.");
    }
    assert_eq!(actions(&front, &other).await, ["register"], "nothing of others");
    assert_eq!(
        actions(&front, &owner).await,
        ["register", "team.invited", "team.joined", "team.invited", "team.joined"]
    );
    let now = "2001-01-01T00:00:00Z";
    assert_eq!(rows(&front, &owner, &format!("to={now}")).await.len(), 0);
    assert_eq!(rows(&front, &owner, &format!("from={now}")).await.len(), 5);
    let page = front.get("/api/v1/audit-logs?limit=2&page=3", &owner).await.json();
    assert_eq!((page["data"].as_array().unwrap().len(), &page["pagination"]["total"]), (1, &json!(5)));
    assert_eq!(page["lookedBackTo"], Value::Null);
    // What an operator does to a tenant stands in the tenant's log too.
    let operator = front.register_as("operator", "op@example.com").await;
    let tenant = front.get("/api/v1/tenant", &owner).await.data()["id"].as_str().unwrap().to_owned();
    front.post(&format!("/api/v1/ops/tenants/{tenant}/suspend"), &operator, json!({"reason": "Abuse."})).await.data();
    assert_eq!(rows(&front, &owner, "").await[0]["action"], "tenant.suspended");
}

#[tokio::test]
async fn the_log_is_exported() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    front.session(&token).await;
    let file = front.get("/api/v1/audit-logs/export", &token).await;
    assert_eq!((file.status.as_u16(), file.header("content-type")), (200, "text/csv; charset=utf-8"));
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"audit-logs.csv\"");
    let text = file.text();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!((lines.len(), lines[0]), (4, "id,at,actorType,actorId,action,subject,details,requestId"));
    assert!(lines[1].contains(",user,") && lines[1].contains(",connect_session,"), "{}", lines[1]);
    let few = front.get("/api/v1/audit-logs/export?action=register", &token).await.text();
    assert_eq!(few.split_terminator("\r\n").count(), 2);
}

/// Many in one transaction, and each has its row in the end.
#[tokio::test]
async fn every_send_has_its_row() {
    let n = 60;
    let front = Front::start_with(ApiSettings::default()).await;
    let token = front.register("ana@example.com").await;
    let session = front.session(&token).await;
    let body = json!({"sessionId": session, "to": "919876543210", "text": "Hi"});
    for _ in 0..n {
        assert_eq!(front.post("/api/v1/messages/send-text", &token, body.clone()).await.status, 200);
    }
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let total =
        async || front.get("/api/v1/audit-logs?action=send_text", &token).await.json()["pagination"]["total"].clone();
    while total().await != json!(n) {
        assert!(tokio::time::Instant::now() < deadline, "each send has its row");
    }
}
