//! Operations for programs: a key instead of a token, a scope for each, the same answers.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use serde_json::{Value, json};

use super::support::{Answer, Front, request};
use actiwapi_dispatcher::api::ApiSettings;

/// Every operation for programs with its scope, as the document says.
fn operations() -> Vec<(String, String, String)> {
    let document = serde_json::to_value(actiwapi_dispatcher::api::document()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, body) in item.as_object().unwrap().iter().filter(|_| path.starts_with("/api/v1/external/")) {
            let scope = body["security"][0]["apiKey"][0].as_str().unwrap().to_owned();
            assert!(body["operationId"].as_str().unwrap().starts_with("external_"), "{path}");
            operations.push((method.to_uppercase(), path.clone(), scope));
        }
    }
    assert!(13 <= operations.len(), "{operations:?}");
    operations
}

#[tokio::test]
async fn every_operation_needs_its_scope() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let mighty = front.mighty_key(&token).await;
    for (method, path, scope) in operations() {
        let others = actiwapi_dispatcher::domain::api_key::Scope::ALL.iter().map(|scope| scope.as_str());
        let others: Vec<&str> = others.filter(|other| *other != scope).collect();
        let (_, poor) = front.key(&token, json!({"name": "Poor", "scopes": others})).await;
        let path = path.replace("{id}", &uuid::Uuid::now_v7().to_string());
        for path in [path.clone(), path.replace("/api/v1/", "/api/")] {
            let refused = front.with_key(&method, &path, &poor, "{").await.refusal();
            assert_eq!(refused, format!("403 FORBIDDEN: The key lacks the scope `{scope}`."), "{method} {path}");
            let answer = front.with_key(&method, &path, &mighty, "{}").await;
            assert!([200, 400, 404].contains(&answer.status.as_u16()), "{method} {path} {}", answer.text());
        }
    }
}

#[tokio::test]
async fn tokens_and_keys_are_good_at_their_own_mount_only() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let key = front.mighty_key(&token).await;
    for (method, path, _) in operations() {
        let path = path.replace("{id}", &uuid::Uuid::now_v7().to_string());
        assert_eq!(front.send(&method, &path, &token, "{}").await.status, 401, "{method} {path}");
        assert_eq!(front.send(&method, &path, &key, "{}").await.status, 401, "{method} {path}");
    }
    for path in ["/api/whatsapp", "/api/campaigns", "/api/v1/auth/me", "/api/v1/api-keys", "/api/v1/ops/lanes"] {
        assert_eq!(front.with_key("GET", path, &key, "").await.status, 401, "{path}");
        assert_eq!(front.get(path, &key).await.status, 401, "{path}");
    }
    let twice = request("GET", "/api/external/me", "").header("x-api-key", &key).header("x-api-key", &key);
    assert_eq!(front.call(twice.body(Body::empty()).unwrap()).await.status, 401);
    for bad in ["", "awp_", "awp_0f", &key.to_uppercase(), &format!("{key}0"), &key.replacen("awp", "xyz", 1)] {
        assert_eq!(front.with_key("GET", "/api/external/me", bad, "").await.status, 401, "{bad}");
    }
    // The right beginning with another secret.
    let guessed = format!("{}{}", &key[..20], "0".repeat(64));
    assert_eq!(front.with_key("GET", "/api/external/me", &guessed, "").await.status, 401);
}

#[tokio::test]
async fn a_program_does_what_people_do() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let key = front.mighty_key(&token).await;
    let call = async |method: &str, path: &str, body: Value| {
        let answer = front.with_key(method, &format!("/api/external{path}"), &key, &body.to_string()).await;
        assert!(answer.status.is_success(), "{method} {path} {}", answer.text());
        answer.data()
    };
    let me = call("GET", "/me", Value::Null).await;
    assert_eq!((&me["tenantName"], &me["apiKey"]["name"]), (&json!("Rao Textiles"), &json!("All")));
    assert_eq!(call("GET", "/sessions", Value::Null).await[0]["id"], session_id);
    let status = call("GET", &format!("/sessions/{session_id}/status"), Value::Null).await;
    assert_eq!(status["status"], "connected");
    let text = json!({"sessionId": session_id, "to": "919876543210", "text": "Hello"});
    let message = call("POST", "/messages/send-text", text).await;
    let path = format!("/messages/{}", message["id"].as_str().unwrap());
    assert_eq!(call("GET", &path, Value::Null).await["status"], "queued");
    let place = json!({"sessionId": session_id, "to": "919876543210", "latitude": 18.5, "longitude": 73.8});
    assert_eq!(call("POST", "/messages/send-location", place).await["status"], "queued");
    let bulk = json!({"sessionId": session_id, "text": "Hi", "recipients": [{"to": "919876543210"}]});
    assert_eq!(call("POST", "/messages/send-bulk", bulk).await["accepted"], 1);
    assert_eq!(call("GET", "/messages?status=queued", Value::Null).await.as_array().unwrap().len(), 3);
    let campaign = json!({"name": "Sale", "sessionIds": [session_id], "message": {"type": "text", "text": "Hi"},
        "recipients": [{"phone": "919876543210"}]});
    let campaign = call("POST", "/campaigns", campaign).await;
    let path = format!("/campaigns/{}", campaign["id"].as_str().unwrap());
    for (verb, status) in [("start", "running"), ("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")] {
        assert_eq!(call("POST", &format!("{path}/{verb}"), Value::Null).await["status"], status);
        assert_eq!(call("GET", &path, Value::Null).await["status"], status);
    }
    assert_eq!(call("GET", "/campaigns?status=cancelled", Value::Null).await.as_array().unwrap().len(), 1);
    let contact = call("POST", "/contacts", json!({"phone": "919876543211", "name": "Ben"})).await;
    let contact = format!("/contacts/{}", contact["id"].as_str().unwrap());
    for (method, name) in [("PATCH", "Ben Iyer"), ("PUT", "B. Iyer")] {
        assert_eq!(call(method, &contact, json!({ "name": name })).await["name"], name);
    }
    let usage = call("GET", "/usage", Value::Null).await;
    assert_eq!(usage["sessions"], json!({"used": 1, "limit": null}));
    // The same things, seen by the people.
    assert_eq!(front.get(&format!("/api{path}"), &token).await.data()["status"], "cancelled");
    assert_eq!(front.get("/api/billing/usage", &token).await.data(), usage);
}

#[tokio::test]
async fn requests_of_programs_count_for_the_plan() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let key = front.mighty_key(&token).await;
    let tenant = front.get("/api/v1/auth/me", &token).await.data()["tenantId"].as_str().unwrap().to_owned();
    let operator = front.register_as("operator", "ops@example.com").await;
    let body = json!({"plan": "starter", "status": "active"}).to_string();
    front.send("PUT", &format!("/api/v1/ops/tenants/{tenant}/subscription"), &operator, &body).await.data();
    front.send("PATCH", "/api/v1/ops/plans/starter", &operator, r#"{"maxApiRequests":3}"#).await.data();
    let usage = async || front.with_key("GET", "/api/v1/external/usage", &key, "").await;
    assert_eq!(usage().await.data()["apiRequests"], json!({"used": 1, "limit": 3}));
    // What is refused before it is done does not count.
    front.with_key("GET", "/api/v1/external/usage", "awp_", "").await;
    assert_eq!(usage().await.data()["apiRequests"]["used"], 2);
    assert_eq!(usage().await.data()["apiRequests"]["used"], 3);
    let refused = usage().await;
    assert_eq!(refused.refusal(), "403 LIMIT_EXCEEDED: The requests of your plan are used up.");
    assert_eq!(front.get("/api/billing/usage", &token).await.data()["apiRequests"]["used"], 3);
}

/// Asks from an address, past proxies that say what they were told.
async fn from(front: &Front, key: &str, peer: &str, forwarded: Option<&str>) -> Answer {
    let request = request("GET", "/api/external/me", "").header("x-api-key", key);
    let request = if let Some(text) = forwarded { request.header("x-forwarded-for", text) } else { request };
    let mut request = request.body(Body::empty()).unwrap();
    let peer: SocketAddr = format!("{peer}:5000").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    front.call(request).await
}

#[tokio::test]
async fn a_key_is_used_from_its_networks_only() {
    let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let front = Front::start_with(ApiSettings { trusted_proxies, ..ApiSettings::default() }).await;
    let token = front.register("ana@example.com").await;
    let body = json!({"name": "Office", "scopes": ["account:read"], "allowedIps": ["203.0.113.0/24", "2001:db8::/32"]});
    let (_, key) = front.key(&token, body).await;
    for (peer, forwarded, status) in [
        ("203.0.113.9", None, 200),
        ("[2001:db8::1]", None, 200),
        ("[::ffff:203.0.113.9]", None, 200),
        ("203.0.114.9", None, 403),
        ("127.0.0.1", None, 403),
        // Anybody can write that.
        ("198.51.100.1", Some("203.0.113.9"), 403),
        ("10.0.0.1", Some("203.0.113.9"), 200),
        ("10.0.0.1", Some("203.0.113.9, 198.51.100.1"), 403),
        ("10.0.0.1", None, 403),
    ] {
        let answer = from(&front, &key, peer, forwarded).await;
        assert_eq!(answer.status, status, "{peer} {forwarded:?}");
        if status == 403 {
            assert_eq!(answer.refusal(), "403 FORBIDDEN: The key is not to be used from this address.");
        }
    }
    assert_eq!(front.with_key("GET", "/api/external/me", &key, "").await.status, 403, "without a socket");
}
