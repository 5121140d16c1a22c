//! The tenant and its team: invited, joined, given roles, removed, handed over.

use actiwapi_dispatcher::domain::mail::MailKind;
use serde_json::{Value, json};

use super::support::{Front, PASSWORD};

/// Has somebody join the team of whoever holds the token, and returns that person's token.
pub(super) async fn join(front: &Front, token: &str, email: &str, role: &str) -> String {
    let invited = front.post("/api/v1/team/invite", token, json!({"email": email, "role": role})).await;
    assert_eq!(invited.status, 201, "{invited:?}");
    let shown = front.token_of(email, MailKind::Invitation).await;
    let body = json!({"token": shown, "name": "Bob Iyer", "password": PASSWORD});
    let joined = front.post("/api/v1/team/accept-invite", "", body).await;
    assert_eq!(joined.status, 200, "{joined:?}");
    joined.data()["accessToken"].as_str().unwrap().to_owned()
}

async fn id_of(front: &Front, token: &str) -> String {
    front.get("/api/v1/auth/me", token).await.data()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_tenant_is_shown_and_renamed() {
    let front = Front::start().await;
    let owner = front.register("ana@example.com").await;
    let admin = join(&front, &owner, "bob@example.com", "admin").await;
    insta::assert_snapshot!(front.get("/api/tenant", &admin).await.golden(), @r#"
    200
    {
      "data": {
        "createdAt": "[time]",
        "id": "[id]",
        "name": "Rao Textiles"
      },
      "success": true
    }
    "#);
    let change = async |token: &str, body: Value| front.send("PATCH", "/api/v1/tenant", token, &body.to_string()).await;
    assert_eq!(change(&owner, json!({"name": " Rao & Daughters "})).await.data()["name"], "Rao & Daughters");
    assert_eq!(change(&owner, json!({})).await.data()["name"], "Rao & Daughters");
    assert_eq!(front.get("/api/auth/me", &admin).await.data()["tenantName"], "Rao & Daughters");
    assert_eq!(front.send("PUT", "/api/tenant", &owner, r#"{"name":"Rao"}"#).await.data()["name"], "Rao");
    assert_eq!(
        change(&admin, json!({"name": "Bob's"})).await.refusal(),
        "403 FORBIDDEN: Your role does not allow this."
    );
    for bad in ["", " ", "a\nb", &"x".repeat(101)] {
        assert_eq!(change(&owner, json!({"name": bad})).await.status, 400, "{bad:?}");
    }
}

#[tokio::test]
async fn somebody_is_invited_and_joins() {
    let front = Front::start().await;
    let owner = front.register("ana@example.com").await;
    let invite = async |body: Value| front.post("/api/v1/team/invite", &owner, body).await;
    let invited = invite(json!({"email": " Bob@example.com", "role": "agent"})).await;
    insta::assert_snapshot!(invited.golden(), @r#"
    201
    {
      "data": {
        "createdAt": "[time]",
        "email": "bob@example.com",
        "expiresAt": "[time]",
        "id": "[id]",
        "invitedBy": "[id]",
        "role": "agent"
      },
      "success": true
    }
    "#);
    let listed = front.get("/api/v1/team/invitations", &owner).await;
    assert_eq!((&listed.data()[0], &listed.json()["pagination"]["total"]), (&invited.data(), &json!(1)));
    assert!(!listed.text().contains("token"));
    let token = front.token_of("bob@example.com", MailKind::Invitation).await;
    let accept = async |body: Value| front.post("/api/team/accept-invite", "", body).await;
    insta::assert_snapshot!(accept(json!({"token": token, "name": " ", "password": "short"})).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    name: is required
    password: must have 8 to 128 characters
    ");
    for bad in ["", "'; DROP TABLE users; --", &"0".repeat(64), &"x".repeat(10_000)] {
        let refused = accept(json!({"token": bad, "name": "Bob", "password": PASSWORD})).await.refusal();
        let refusal =
            "400 VALIDATION_ERROR: Some fields are not valid.\ntoken: is unknown, expired, or was used before";
        assert_eq!(refused, refusal, "{bad}");
    }
    let body = json!({"token": token, "name": "Bob Iyer", "password": PASSWORD});
    let joined = accept(body.clone()).await;
    insta::assert_snapshot!(joined.golden(), @r#"
    200
    {
      "data": {
        "accessToken": "[token]",
        "expiresIn": "7d",
        "refreshToken": "[token]",
        "user": {
          "email": "bob@example.com",
          "id": "[id]",
          "name": "Bob Iyer",
          "role": "agent",
          "tenantId": "[id]",
          "tenantName": "Rao Textiles"
        }
      },
      "success": true
    }
    "#);
    assert_eq!(accept(body).await.refusal(), "409 CONFLICT: The invitation was used already: log in.");
}

#[tokio::test]
async fn everybody_sees_the_team() {
    let front = Front::start().await;
    let owner = front.register("ana@example.com").await;
    let bob = join(&front, &owner, "bob@example.com", "agent").await;
    insta::assert_snapshot!(front.get("/api/v1/team?limit=1&page=2", &bob).await.golden(), @r#"
    200
    {
      "data": [
        {
          "createdAt": "[time]",
          "email": "bob@example.com",
          "emailVerified": true,
          "id": "[id]",
          "name": "Bob Iyer",
          "role": "agent"
        }
      ],
      "pagination": {
        "limit": 1,
        "page": 2,
        "total": 2,
        "totalPages": 2
      },
      "success": true
    }
    "#);
}

#[tokio::test]
async fn bad_invitations_are_refused_by_their_fields() {
    let front = Front::start().await;
    let owner = front.register("ana@example.com").await;
    front.register("eve@example.com").await;
    let invite = async |token: &str, email: &str, role: &str| {
        front.post("/api/v1/team/invite", token, json!({"email": email, "role": role})).await.refusal()
    };
    insta::assert_snapshot!(invite(&owner, "a@b.co\r\nBcc: c@d.co", "operator").await, @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    email: Valid email is required
    role: must be one of owner, admin, agent, viewer
    ");
    insta::assert_snapshot!(invite(&owner, "ANA@example.com", "agent").await, @r"
    409 CONFLICT: Somebody with this email is in your team already.
    email: Somebody with this email is in your team already.
    ");
    insta::assert_snapshot!(invite(&owner, "eve@example.com", "agent").await, @r"
    409 CONFLICT: There is an account with this email already.
    email: There is an account with this email already.
    ");
    let admin = join(&front, &owner, "bob@example.com", "admin").await;
    assert_eq!(invite(&admin, "new@example.com", "owner").await, "403 FORBIDDEN: Your role does not allow this.");
    insta::assert_snapshot!(front.post("/api/v1/team/invite", &owner, json!({"role": 1, "tenantId": "x"})).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    email: is required
    role: invalid type: integer `1`, expected a string
    tenantId: is not a known field
    ");
    // Nobody is flooded with mails.
    let mut n = 0;
    while front.post("/api/v1/team/invite", &owner, json!({"email": "new@example.com", "role": "agent"})).await.status
        == 201
    {
        n += 1;
    }
    assert!((1..=5).contains(&n), "{n}");
}

#[tokio::test]
async fn an_invitation_is_taken_back() {
    let front = Front::start().await;
    let owner = front.register("ana@example.com").await;
    let invited = front.post("/api/v1/team/invite", &owner, json!({"email": "bob@example.com", "role": "agent"})).await;
    let token = front.token_of("bob@example.com", MailKind::Invitation).await;
    let path = format!("/api/v1/team/invitations/{}", invited.data()["id"].as_str().unwrap());
    assert_eq!(front.send("DELETE", &path, &owner, "").await.data()["id"], invited.data()["id"]);
    assert_eq!(front.send("DELETE", &path, &owner, "").await.refusal(), "404 NOT_FOUND: There is no such invitation.");
    let body = json!({"token": token, "name": "Bob", "password": PASSWORD});
    let refused = front.post("/api/v1/team/accept-invite", "", body).await.refusal();
    assert_eq!(refused, "409 CONFLICT: The invitation was taken back: ask for another one.");
    assert_eq!(front.get("/api/v1/team/invitations", &owner).await.data(), json!([]));
}

#[tokio::test]
async fn members_get_roles_and_go() {
    let front = Front::start().await;
    let owner = front.register("ana@example.com").await;
    let bob = join(&front, &owner, "bob@example.com", "viewer").await;
    let path = format!("/api/v1/team/{}", id_of(&front, &bob).await);
    assert_eq!(front.post("/api/v1/whatsapp", &bob, json!({"name": "Shop"})).await.status, 403);
    let changed = front.send("PATCH", &path, &owner, r#"{"role":"agent"}"#).await;
    assert_eq!((changed.status.as_u16(), &changed.data()["role"]), (200, &json!("agent")));
    assert_eq!(front.post("/api/v1/whatsapp", &bob, json!({"name": "Shop"})).await.status, 201, "at once");
    assert_eq!(front.send("PUT", &path, &owner, r#"{"role":"admin"}"#).await.data()["role"], "admin");
    insta::assert_snapshot!(front.send("PATCH", &path, &owner, r#"{"role":"boss"}"#).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    role: must be one of owner, admin, agent, viewer
    ");
    let anas = format!("/api/v1/team/{}", id_of(&front, &owner).await);
    assert_eq!(front.send("DELETE", &anas, &bob, "").await.status, 403, "above the own role");
    assert_eq!(
        front.send("DELETE", &anas, &owner, "").await.refusal(),
        "409 CONFLICT: Somebody must own the tenant: make somebody else an owner first."
    );
    assert_eq!(front.send("PATCH", &anas, &owner, r#"{"role":"viewer"}"#).await.status, 409);
    assert_eq!(front.send("DELETE", &path, &owner, "").await.status, 200);
    assert_eq!(front.send("DELETE", &path, &owner, "").await.refusal(), "404 NOT_FOUND: There is no such member.");
    assert_eq!(front.get("/api/v1/auth/me", &bob).await.status, 401);
    assert_eq!(front.get("/api/v1/team", &owner).await.json()["pagination"]["total"], 1);
}

#[tokio::test]
async fn a_tenant_is_handed_over() {
    let front = Front::start().await;
    let owner = front.register("ana@example.com").await;
    let bob = join(&front, &owner, "bob@example.com", "agent").await;
    let path = format!("/api/v1/team/{}/make-owner", id_of(&front, &bob).await);
    insta::assert_snapshot!(front.post(&path, &owner, json!({"currentPassword": "a guess"})).await.refusal(), @r"
    400 VALIDATION_ERROR: Some fields are not valid.
    currentPassword: is not your password
    ");
    assert_eq!(front.post(&path, &bob, json!({"currentPassword": PASSWORD})).await.status, 403);
    let made = front.post(&path, &owner, json!({"currentPassword": PASSWORD})).await;
    assert_eq!((made.status.as_u16(), &made.data()["role"]), (200, &json!("owner")));
    let role = async |token: &str| front.get("/api/v1/auth/me", token).await.data()["role"].clone();
    assert_eq!((role(&owner).await, role(&bob).await), (json!("admin"), json!("owner")));
    assert_eq!(front.post(&path, &owner, json!({"currentPassword": PASSWORD})).await.status, 403, "given is given");
    // Whoever has a token can not try passwords at will.
    let bobs = format!("/api/v1/team/{}/make-owner", id_of(&front, &owner).await);
    let mut last = front.post(&bobs, &bob, json!({"currentPassword": "wrong"})).await;
    for _ in 0..20 {
        last = front.post(&bobs, &bob, json!({"currentPassword": "wrong"})).await;
    }
    assert_eq!(last.status, 429);
}
