//! People's own accounts: logged out, changed, and recovered by mail; tries at passwords held back.

use actiwapi_dispatcher::domain::mail::MailKind;
use actiwapi_dispatcher::limits::LOGIN_BURST_MAX;
use serde_json::{Value, json};

use super::support::{Answer, Front, PASSWORD};

async fn log_in(front: &Front, password: &str) -> Answer {
    front.post("/api/auth/login", "", json!({"email": "ana@example.com", "password": password})).await
}

fn text<'a>(data: &'a Value, field: &str) -> &'a str {
    data[field].as_str().unwrap()
}

#[tokio::test]
async fn a_log_out_ends_tokens_and_is_done_once() {
    let front = Front::start().await;
    front.register("ana@example.com").await;
    let (phone, laptop) = (log_in(&front, PASSWORD).await.data(), log_in(&front, PASSWORD).await.data());
    let me = async |data: &Value| front.get("/api/auth/me", text(data, "accessToken")).await.status.as_u16();
    assert_eq!((me(&phone).await, me(&laptop).await), (200, 200));
    for token in [&phone["refreshToken"], &phone["refreshToken"], &json!("rt_nonsense"), &json!("")] {
        let answer = front.post("/api/auth/logout", "", json!({"refreshToken": token})).await;
        assert_eq!((answer.status.as_u16(), answer.data()), (200, json!({"loggedOut": true})), "{token}");
    }
    assert_eq!((me(&phone).await, me(&laptop).await), (401, 200));
    assert_eq!(front.post("/api/auth/refresh", "", json!({"refreshToken": phone["refreshToken"]})).await.status, 401);
    let answer = front.act("/api/v1/auth/logout-all", text(&laptop, "accessToken")).await;
    assert_eq!(answer.data(), json!({"loggedOut": true}));
    assert_eq!(me(&laptop).await, 401);
    assert_eq!(front.act("/api/v1/auth/logout-all", text(&laptop, "accessToken")).await.status, 401);
    assert_eq!(front.post("/api/auth/refresh", "", json!({"refreshToken": laptop["refreshToken"]})).await.status, 401);
}

/// A stolen token is not enough: whoever has the address can set another password by mail.
#[tokio::test]
async fn another_address_takes_the_password() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let change = async |body: Value| front.send("PATCH", "/api/auth/me", &token, &body.to_string()).await.refusal();
    insta::assert_snapshot!(change(json!({"email": "eve@example.com"})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    currentPassword: goes with another email
    ");
    insta::assert_snapshot!(change(json!({"email": "eve@example.com", "currentPassword": "a guess"})).await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    currentPassword: is not your password
    ");
    assert_eq!(front.get("/api/auth/me", &token).await.data()["email"], "ana@example.com");
}

#[tokio::test]
async fn people_change_their_profile() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    front.register("bob@example.com").await;
    let verify = json!({"token": front.token_of("ana@example.com", MailKind::VerifyEmail).await});
    assert_eq!(front.post("/api/auth/verify-email", "", verify.clone()).await.data(), json!({"emailVerified": true}));
    insta::assert_snapshot!(front.post("/api/auth/verify-email", "", verify).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    token: is unknown, expired, or was used before
    ");
    let change = async |method: &str, body: Value| front.send(method, "/api/auth/me", &token, &body.to_string()).await;
    insta::assert_snapshot!(change("PATCH", json!({"name": " Ana Maria Rao "})).await.golden(), @r#"
    200
    {
      "data": {
        "email": "ana@example.com",
        "emailVerified": true,
        "id": "[id]",
        "name": "Ana Maria Rao",
        "role": "owner",
        "tenantId": "[id]",
        "tenantName": "Rao Textiles"
      },
      "success": true
    }
    "#);
    let moved = change("PUT", json!({"email": "Ana.Rao@example.com", "currentPassword": PASSWORD})).await.data();
    assert_eq!((text(&moved, "email"), &moved["emailVerified"]), ("ana.rao@example.com", &json!(false)));
    assert_eq!(front.get("/api/auth/me", &token).await.data(), moved);
    assert_eq!(change("PATCH", json!({})).await.data(), moved);
    insta::assert_snapshot!(change("PATCH", json!({"email": "BOB@example.com", "name": "Eve", "currentPassword": PASSWORD})).await.refusal(), @r"
    409 CONFLICT: There is an account with this email already.
    email: There is an account with this email already.
    ");
    insta::assert_snapshot!(change("PATCH", json!({"name": "", "email": "a@b.co\r\nBcc: c@d.co", "role": "owner"})).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    role: is not a known field
    ");
    insta::assert_snapshot!(change("PATCH", json!({"name": "A\nB", "email": "a@b.co\r\nBcc: c@d.co"})).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    email: Valid email is required
    name: must not have control characters
    ");
    let resent = front.act("/api/auth/resend-verification", &token).await;
    assert_eq!(resent.data(), json!({"emailVerified": false}));
    let verify = json!({"token": front.token_of("ana.rao@example.com", MailKind::VerifyEmail).await});
    front.post("/api/auth/verify-email", "", verify).await.data();
    assert_eq!(front.act("/api/auth/resend-verification", &token).await.data(), json!({"emailVerified": true}));
    assert_eq!(front.get("/api/auth/me", &token).await.data()["emailVerified"], true);
}

#[tokio::test]
async fn people_change_their_password() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let other = log_in(&front, PASSWORD).await.data();
    let change = async |current: &str, new: &str| {
        let body = json!({"currentPassword": current, "newPassword": new});
        front.post("/api/auth/change-password", &token, body).await
    };
    insta::assert_snapshot!(change("wrong", "staple battery").await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    currentPassword: is not your password
    ");
    insta::assert_snapshot!(change(PASSWORD, "short").await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    newPassword: must have 8 to 128 characters
    ");
    assert_eq!(change(PASSWORD, "staple battery").await.data(), json!({"passwordChanged": true}));
    assert_eq!(front.get("/api/auth/me", &token).await.status, 200);
    assert_eq!(front.get("/api/auth/me", text(&other, "accessToken")).await.status, 401);
    assert_eq!(log_in(&front, PASSWORD).await.status, 401);
    assert_eq!(log_in(&front, "staple battery").await.status, 200);
    let mut last = change("wrong", "staple battery").await;
    for _ in 0..LOGIN_BURST_MAX.get() {
        last = change("wrong", "staple battery").await;
    }
    assert_eq!(last.status, 429, "whoever has a token can not try passwords at will");
    assert_ne!(last.header("retry-after"), "-");
}

#[tokio::test]
async fn a_forgotten_password_is_answered_alike_for_everybody() {
    let front = Front::start().await;
    front.register("ana@example.com").await;
    let forgot = async |email: &str| front.post("/api/auth/forgot-password", "", json!({"email": email})).await;
    let known = forgot(" Ana@example.com").await;
    insta::assert_snapshot!(known.golden(), @r#"
    200
    {
      "data": {
        "accepted": true
      },
      "success": true
    }
    "#);
    let unknown = forgot("eve@example.com").await;
    assert_eq!((unknown.status, &unknown.body), (known.status, &known.body));
    insta::assert_snapshot!(forgot("nobody").await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    email: Valid email is required
    ");
    // The limit is the same for both, too.
    let n_taken = async |email: &str| {
        let mut n = 0;
        while forgot(email).await.status == 200 {
            n += 1;
        }
        n
    };
    assert_eq!((n_taken("ana@example.com").await, n_taken("eve@example.com").await), (4, 4));
    assert_ne!(forgot("ana@example.com").await.header("retry-after"), "-");

    let token = front.token_of("ana@example.com", MailKind::ResetPassword).await;
    let reset = async |token: &str, password: &str| {
        front.post("/api/auth/reset-password", "", json!({"token": token, "password": password})).await
    };
    insta::assert_snapshot!(reset(&token, "short").await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    password: must have 8 to 128 characters
    ");
    assert_eq!(reset(&token, "staple battery").await.data(), json!({"passwordChanged": true}));
    for bad in [token.as_str(), "", "'; DROP TABLE users; --", &"0".repeat(64), &"x".repeat(10_000)] {
        let refused = reset(bad, "staple battery").await;
        let refusal =
            "400 VALIDATION_ERROR: Some fields are not valid.\ntoken: is unknown, expired, or was used before";
        assert_eq!(refused.refusal(), refusal, "{bad}");
    }
    assert_eq!(log_in(&front, "staple battery").await.status, 200);
}

/// Whoever only looks has an account of their own all the same.
#[tokio::test]
async fn viewers_manage_their_own_account() {
    let front = Front::start().await;
    let viewer = front.register_as("viewer", "ana@example.com").await;
    assert_eq!(front.send("PATCH", "/api/auth/me", &viewer, r#"{"name":"Viv"}"#).await.data()["name"], "Viv");
    let body = json!({"currentPassword": PASSWORD, "newPassword": "staple battery"});
    assert_eq!(front.post("/api/auth/change-password", &viewer, body).await.status, 200);
    assert_eq!(front.act("/api/auth/resend-verification", &viewer).await.status, 200);
    assert_eq!(front.act("/api/auth/logout-all", &viewer).await.status, 200);
    assert_eq!(front.get("/api/auth/me", &viewer).await.status, 401);
}

#[tokio::test]
async fn log_ins_to_one_account_are_spaced() {
    let front = Front::start().await;
    front.register("ana@example.com").await;
    let n_taken = async |email: &str| {
        let mut n = 0;
        loop {
            let answer = front.post("/api/auth/login", "", json!({"email": email, "password": "wrong password"})).await;
            if answer.status != 401 {
                return (n, answer);
            }
            n += 1;
        }
    };
    let (n, refused) = n_taken("ana@example.com").await;
    assert_eq!((n, refused.refusal().as_str()), (LOGIN_BURST_MAX.get(), "429 RATE_LIMITED: Too many requests."));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=15).contains(&wait), "{wait}");
    assert_eq!(log_in(&front, PASSWORD).await.status, 429, "the right one too");
    // Nobody can tell from the limit whether there is an account.
    assert_eq!(n_taken("eve@example.com").await.0, LOGIN_BURST_MAX.get());
}

#[tokio::test]
async fn a_log_in_takes_back_what_was_counted() {
    let front = Front::start().await;
    front.register("ana@example.com").await;
    for _ in 0..3 {
        for _ in 1..LOGIN_BURST_MAX.get() {
            assert_eq!(log_in(&front, "wrong password").await.status, 401);
        }
        assert_eq!(log_in(&front, PASSWORD).await.status, 200);
    }
}
