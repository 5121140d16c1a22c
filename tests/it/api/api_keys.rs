//! Keys of programs: made by those who manage the tenant, shown once, taken back.

use serde_json::{Value, json};

use super::support::{Answer, Front};

async fn whoami(front: &Front, key: &str) -> Answer {
    front.with_key("GET", "/api/external/me", key, "").await
}

fn usual() -> Value {
    json!({"name": "Shop backend", "scopes": ["account:read", "messages:send"]})
}

#[tokio::test]
async fn a_key_is_shown_once() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let body = json!({
        "name": " Shop backend ", "scopes": ["messages:send", "account:read", "messages:send"],
        "allowedIps": ["203.0.113.7", "10.1.2.3/8"], "expiresAt": "2099-01-01T00:00:00Z",
    });
    let made = front.post("/api/api-keys", &token, body).await;
    assert_eq!(made.status, 201);
    let data = made.data();
    let key = data["key"].as_str().unwrap();
    assert_eq!((key.len(), &key[..20]), (84, data["prefix"].as_str().unwrap()));
    let path = format!("/api/api-keys/{}", data["id"].as_str().unwrap());
    let mut shown = front.get(&path, &token).await.data();
    assert!(!front.get(&path, &token).await.text().contains(key));
    assert!(!front.get("/api/api-keys", &token).await.text().contains(key));
    shown["id"] = "[id]".into();
    shown["createdAt"] = "[time]".into();
    shown["prefix"] = "[prefix]".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&shown).unwrap(), @r#"
    {
      "allowedIps": [
        "203.0.113.7/32",
        "10.0.0.0/8"
      ],
      "createdAt": "[time]",
      "expiresAt": "2099-01-01T00:00:00.000Z",
      "id": "[id]",
      "lastUsedAt": null,
      "name": "Shop backend",
      "prefix": "[prefix]",
      "scopes": [
        "account:read",
        "messages:send"
      ]
    }
    "#);
    let list = front.get("/api/api-keys", &token).await;
    assert_eq!((list.data().as_array().unwrap().len(), &list.json()["pagination"]["total"]), (1, &json!(1)));
}

#[tokio::test]
async fn a_key_is_refused_with_every_problem() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let make = async |body: Value| front.post("/api/api-keys", &token, body).await.refusal();
    insta::assert_snapshot!(make(json!({})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    name: is required
    scopes: is required
    ");
    insta::assert_snapshot!(make(json!({"name": 1, "scopes": ["messages:send", "root"], "expiresAt": "soon"})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    expiresAt: must be a time such as 2026-01-31T08:00:00Z
    name: invalid type: integer `1`, expected a string
    scopes[1]: unknown variant `root`, expected one of `account:read`, `sessions:read`, `messages:read`, `messages:send`, `contacts:read`, `contacts:write`, `campaigns:read`, `campaigns:write`
    ");
    let body =
        json!({"name": " ", "scopes": [], "allowedIps": ["10.0.0.0/8", "x"], "expiresAt": "2001-01-01T00:00:00Z"});
    insta::assert_snapshot!(make(body).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    allowedIps[1]: must be an address or a network such as 203.0.113.0/24
    expiresAt: must be in the future
    name: is required
    scopes: must name at least one scope
    ");
    insta::assert_snapshot!(make(json!({"name": "x".repeat(101), "scopes": ["account:read"]})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    name: must have at most 100 characters
    ");
}

#[tokio::test]
async fn only_those_who_manage_make_keys() {
    let front = Front::start().await;
    let owner = front.register("ana@example.com").await;
    let (id, _) = front.key(&owner, usual()).await;
    let agent = front.register_as("agent", "agent@example.com").await;
    let admin = front.register_as("admin", "admin@example.com").await;
    assert_eq!(front.post("/api/api-keys", &agent, usual()).await.status, 403);
    assert_eq!(front.act(&format!("/api/api-keys/{id}/rotate"), &agent).await.status, 403);
    assert_eq!(front.send("DELETE", &format!("/api/api-keys/{id}"), &agent, "").await.status, 403);
    assert_eq!(front.send("PATCH", &format!("/api/api-keys/{id}"), &agent, "{}").await.status, 403);
    assert_eq!(front.post("/api/api-keys", &admin, usual()).await.status, 201);
    // What the token says may be days old.
    front.sql("UPDATE users SET role = 'agent' WHERE email = 'ana@example.com'").await;
    assert_eq!(front.post("/api/api-keys", &owner, usual()).await.status, 403);
}

#[tokio::test]
async fn a_tenant_has_a_hundred_keys() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    for _ in 0..100 {
        front.key(&token, usual()).await;
    }
    let refused = front.post("/api/api-keys", &token, usual()).await.refusal();
    assert_eq!(refused, "409 CONFLICT: There are 100 keys already: delete one that is not used.");
}

#[tokio::test]
async fn a_key_ends_when_it_is_deleted_rotated_or_expired() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let (id, first) = front.key(&token, usual()).await;
    assert_eq!(whoami(&front, &first).await.status, 200);
    let rotated = front.act(&format!("/api/api-keys/{id}/rotate"), &token).await.data();
    let second = rotated["key"].as_str().unwrap();
    assert_eq!((rotated["id"].as_str().unwrap(), rotated["name"].as_str().unwrap()), (&*id, "Shop backend"));
    let refused = whoami(&front, &first).await;
    assert_eq!(refused.refusal(), "401 UNAUTHORIZED: The credentials are missing, wrong or expired.");
    assert_eq!(refused.header("www-authenticate"), "ApiKey");
    assert_eq!(whoami(&front, second).await.status, 200);
    let path = format!("/api/api-keys/{id}");
    let deleted = front.send("DELETE", &path, &token, "").await;
    assert_eq!((deleted.status.as_u16(), deleted.data()), (200, json!({"id": id})));
    assert_eq!(whoami(&front, second).await.status, 401);
    assert_eq!(front.send("DELETE", &path, &token, "").await.status, 404);

    let (id, third) = front.key(&token, usual()).await;
    assert_eq!(whoami(&front, &third).await.status, 200);
    let path = format!("/api/api-keys/{id}");
    front.sql("UPDATE api_keys SET expires_at_ms = 1").await;
    front.send("PATCH", &path, &token, r#"{"name":"Old"}"#).await.data();
    assert_eq!(whoami(&front, &third).await.status, 401);
    let back = front.send("PUT", &path, &token, r#"{"expiresAt":null}"#).await.data();
    assert_eq!((&back["expiresAt"], &back["name"]), (&Value::Null, &json!("Old")));
    assert_eq!(whoami(&front, &third).await.status, 200);
}

#[tokio::test]
async fn the_use_of_a_key_is_written_down_later() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let (id, key) = front.key(&token, usual()).await;
    let used = async || front.get(&format!("/api/api-keys/{id}"), &token).await.data()["lastUsedAt"].clone();
    whoami(&front, &key).await;
    assert_eq!(used().await, Value::Null);
    front.state.services.api_keys.write_uses().await.unwrap();
    let first = used().await;
    assert!(first.is_string());
    // Without another use there is nothing to write.
    front.sql("UPDATE api_keys SET last_used_at_ms = 5").await;
    front.state.services.api_keys.write_uses().await.unwrap();
    assert_eq!(used().await, "1970-01-01T00:00:00.005Z");
}
