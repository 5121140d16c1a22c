//! Registration, log-in and tokens, in their documented form.

use actiwapi_dispatcher::api::ApiSettings;
use actiwapi_dispatcher::store::Store;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::support::{Front, JWT_SECRET, JWT_SECRET_BEFORE, PASSWORD};
use crate::support::db::store_contract;

#[tokio::test]
async fn registration_logs_in_at_once() {
    let front = Front::start().await;
    let body =
        json!({"name": "Ana Rao", "email": "Ana@Example.com", "password": PASSWORD, "businessName": "Rao Textiles"});
    let answer = front.post("/api/auth/register", "", body).await;
    insta::assert_snapshot!(answer.golden(), @r#"
    201
    {
      "data": {
        "accessToken": "[token]",
        "expiresIn": "7d",
        "refreshToken": "[token]",
        "user": {
          "email": "ana@example.com",
          "id": "[id]",
          "name": "Ana Rao",
          "role": "owner",
          "tenantId": "[id]",
          "tenantName": "Rao Textiles"
        }
      },
      "success": true
    }
    "#);
    let data = answer.data();
    let me = front.get("/api/auth/me", data["accessToken"].as_str().unwrap()).await;
    insta::assert_snapshot!(me.golden(), @r#"
    200
    {
      "data": {
        "email": "ana@example.com",
        "emailVerified": false,
        "id": "[id]",
        "name": "Ana Rao",
        "role": "owner",
        "tenantId": "[id]",
        "tenantName": "Rao Textiles"
      },
      "success": true
    }
    "#);
    assert_eq!(me.data()["id"], data["user"]["id"]);
}

#[tokio::test]
async fn log_in_answers_as_registration_does() {
    let front = Front::start().await;
    front.register("ana@example.com").await;
    let answer = front.post("/api/auth/login", "", json!({"email": " ANA@example.com", "password": PASSWORD})).await;
    insta::assert_snapshot!(answer.golden(), @r#"
    200
    {
      "data": {
        "accessToken": "[token]",
        "expiresIn": "7d",
        "refreshToken": "[token]",
        "user": {
          "email": "ana@example.com",
          "id": "[id]",
          "name": "Ana Rao",
          "role": "owner",
          "tenantId": "[id]",
          "tenantName": "Rao Textiles"
        }
      },
      "success": true
    }
    "#);
    let token = answer.data()["accessToken"].as_str().unwrap().to_owned();
    assert_eq!(front.get("/api/v1/auth/me", &token).await.status, 200);
}

#[tokio::test]
async fn wrong_password_and_unknown_address_look_alike() {
    let front = Front::start().await;
    front.register("ana@example.com").await;
    let try_in = async |email: &str, password: &str| {
        front.post("/api/auth/login", "", json!({"email": email, "password": password})).await
    };
    let wrong = try_in("ana@example.com", "correct horse batterz").await;
    insta::assert_snapshot!(wrong.refusal(), @"401 UNAUTHORIZED: The credentials are missing, wrong or expired.");
    for (email, password) in
        [("bob@example.com", PASSWORD), ("", ""), ("ana@example.com", ""), ("ana@example.com", &"x".repeat(10_000))]
    {
        assert_eq!(try_in(email, password).await.body, wrong.body, "{email}");
    }
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_ends_the_family() {
    let front = Front::start().await;
    front.register("ana@example.com").await;
    let first =
        front.post("/api/auth/login", "", json!({"email": "ana@example.com", "password": PASSWORD})).await.data();
    let refresh =
        async |token: &serde_json::Value| front.post("/api/auth/refresh", "", json!({"refreshToken": token})).await;
    let second = refresh(&first["refreshToken"]).await;
    insta::assert_snapshot!(second.golden(), @r#"
    200
    {
      "data": {
        "accessToken": "[token]",
        "expiresIn": "7d",
        "refreshToken": "[token]",
        "user": {
          "email": "ana@example.com",
          "id": "[id]",
          "name": "Ana Rao",
          "role": "owner",
          "tenantId": "[id]",
          "tenantName": "Rao Textiles"
        }
      },
      "success": true
    }
    "#);
    let second = second.data();
    assert_ne!(second["refreshToken"], first["refreshToken"]);
    let third = refresh(&second["refreshToken"]).await.data();
    assert_eq!(refresh(&first["refreshToken"]).await.status, 401);
    assert_eq!(refresh(&third["refreshToken"]).await.status, 401);
    assert_eq!(refresh(&json!("rt_nonsense")).await.status, 401);
    assert_eq!(refresh(&third["accessToken"]).await.status, 401);
}

#[tokio::test]
async fn registrations_are_refused_with_every_problem() {
    let front = Front::start().await;
    let register = async |body: serde_json::Value| front.post("/api/auth/register", "", body).await.refusal();
    insta::assert_snapshot!(register(json!({})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    businessName: is required
    email: is required
    name: is required
    password: is required
    ");
    insta::assert_snapshot!(register(json!({"name": "", "email": "no", "password": "short", "businessName": " "})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    businessName: is required
    email: Valid email is required
    name: is required
    password: must have 8 to 128 characters
    ");
    front.register("ana@example.com").await;
    let again = json!({"name": "Eve", "email": "ANA@example.com", "password": PASSWORD, "businessName": "Other"});
    insta::assert_snapshot!(register(again).await, @r"
    409 CONFLICT: There is an account with this email already.
    email: There is an account with this email already.
    ");
}

#[tokio::test]
async fn whoever_was_removed_is_nobody() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    front.sql("DELETE FROM refresh_tokens").await;
    front.sql("DELETE FROM users").await;
    assert_eq!(front.get("/api/auth/me", &token).await.status, 401);
}

/// Two people who register one address at the same moment: one has it, the other is told.
async fn two_registrations_at_once(store: Store) {
    let front = Front::over(store, ApiSettings::default());
    let register = |name: &str| {
        let body = json!({"name": name, "email": "ana@example.com", "password": PASSWORD, "businessName": "Tea"});
        front.post("/api/auth/register", "", body)
    };
    let answers = futures::future::join_all(["Ana", "Bea", "Cy", "Di"].map(register)).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    let refused = answers.iter().find(|answer| answer.status == 409).unwrap();
    assert_eq!(refused.json()["errors"]["email"], "There is an account with this email already.");
}

store_contract!(two_registrations_at_once);

/// Tokens signed by hand, over the wire.
#[tokio::test]
async fn only_tokens_that_we_signed_are_taken() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let part = |at: usize| token.split('.').nth(at).unwrap().to_owned();
    let decoded = |at: usize| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part(at)).unwrap()).unwrap();
    assert_eq!((&decoded(0)["alg"], &decoded(0)["kid"]), (&json!("HS256"), &json!("k1")));
    let claims = decoded(1);
    let sign = |algorithm, kid: Option<&str>, secret: &str, claims: &Value| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let me = async |token: &str| front.get("/api/auth/me", token).await.status.as_u16();
    assert_eq!(me(&sign(Algorithm::HS256, Some("k1"), JWT_SECRET, &claims)).await, 200);
    assert_eq!(me(&sign(Algorithm::HS256, Some("k0"), JWT_SECRET_BEFORE, &claims)).await, 200, "a key of before");
    let other = front.register("bob@example.com").await;
    let unsigned = |header: &Value, claims: &str| format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header.to_string()));
    let with = |field: &str, value: Value| {
        let mut claims = claims.clone();
        claims[field] = value;
        claims
    };
    for (what, bad) in [
        ("an unknown name", sign(Algorithm::HS256, Some("k9"), JWT_SECRET, &claims)),
        ("no name", sign(Algorithm::HS256, None, JWT_SECRET, &claims)),
        ("another key", sign(Algorithm::HS256, Some("k1"), "somebody else's key of thirty-two bytes", &claims)),
        ("the key of another name", sign(Algorithm::HS256, Some("k1"), JWT_SECRET_BEFORE, &claims)),
        ("HS512", sign(Algorithm::HS512, Some("k1"), JWT_SECRET, &claims)),
        ("HS384", sign(Algorithm::HS384, Some("k1"), JWT_SECRET, &claims)),
        ("none", unsigned(&json!({"alg": "none", "kid": "k1"}), &part(1))),
        ("NONE", unsigned(&json!({"alg": "NONE", "typ": "JWT", "kid": "k1"}), &part(1))),
        ("RS256", unsigned(&json!({"alg": "RS256", "kid": "k1"}), &part(1)) + &part(2)),
        ("other claims", format!("{}.{}.{}", part(0), other.split('.').nth(1).unwrap(), part(2))),
        ("no signature", format!("{}.{}.", part(0), part(1))),
        ("expired", sign(Algorithm::HS256, Some("k1"), JWT_SECRET, &with("exp", json!(1)))),
        (
            "a log-in that never was",
            sign(Algorithm::HS256, Some("k1"), JWT_SECRET, &with("sid", json!(uuid::Uuid::now_v7()))),
        ),
        (
            "somebody else's log-in",
            sign(Algorithm::HS256, Some("k1"), JWT_SECRET, &with("sub", json!(uuid::Uuid::now_v7()))),
        ),
        (
            "another tenant",
            sign(Algorithm::HS256, Some("k1"), JWT_SECRET, &with("tenant", json!(uuid::Uuid::now_v7()))),
        ),
        ("no log-in", sign(Algorithm::HS256, Some("k1"), JWT_SECRET, &with("sid", Value::Null))),
    ] {
        assert_eq!(me(&bad).await, 401, "{what}");
    }
}
