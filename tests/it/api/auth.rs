//! Registration, log-in and tokens, in their documented form.

use serde_json::json;

use super::support::{Front, PASSWORD};

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
        "id": "[id]",
        "name": "Ana Rao",
        "role": "owner",
        "tenantId": "[id]",
        "tenantName": "Rao Textiles"
      },
      "success": true
    }
    "#);
    assert_eq!(me.data(), data["user"]);
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
