//! Bodies that no operation takes, tried on every operation that takes one.

use std::time::Duration;

use actiwapi_dispatcher::api::ApiSettings;
use actiwapi_dispatcher::limits::{LARGE_BODIES_MAX, SMALL_BODY_BYTES_MAX};
use axum::body::{Body, Bytes};
use axum::http::header;

use super::support::{Front, request};

/// Every operation with a JSON body; `{s}` stands for a session, `{c}` for a draft, `{k}` for a key or any other id and `{w}` for a webhook.
const WITH_BODY: &[(&str, &str)] = &[
    ("POST", "/api/v1/auth/register"),
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/logout"),
    ("PATCH", "/api/v1/auth/me"),
    ("PUT", "/api/v1/auth/me"),
    ("POST", "/api/v1/auth/change-password"),
    ("POST", "/api/v1/auth/forgot-password"),
    ("POST", "/api/v1/auth/reset-password"),
    ("POST", "/api/v1/auth/verify-email"),
    ("PATCH", "/api/v1/tenant"),
    ("PUT", "/api/v1/tenant"),
    ("POST", "/api/v1/team/invite"),
    ("POST", "/api/v1/team/accept-invite"),
    ("PATCH", "/api/v1/team/{k}"),
    ("PUT", "/api/v1/team/{k}"),
    ("POST", "/api/v1/team/{k}/make-owner"),
    ("POST", "/api/v1/whatsapp"),
    ("PATCH", "/api/v1/whatsapp/{s}"),
    ("POST", "/api/v1/whatsapp/{s}/pairing-code"),
    ("POST", "/api/v1/whatsapp/{s}/check-number"),
    ("POST", "/api/v1/whatsapp/{s}/mark-read"),
    ("POST", "/api/v1/messages/send"),
    ("POST", "/api/v1/messages/send-text"),
    ("POST", "/api/v1/messages/send-location"),
    ("POST", "/api/v1/messages/send-contact"),
    ("POST", "/api/v1/messages/send-bulk"),
    ("POST", "/api/v1/messages/schedule"),
    ("POST", "/api/v1/messages/send-image"),
    ("POST", "/api/v1/messages/send-document"),
    ("POST", "/api/v1/messages/send-template"),
    ("POST", "/api/v1/templates"),
    ("PATCH", "/api/v1/templates/{k}"),
    ("POST", "/api/v1/campaigns"),
    ("POST", "/api/v1/campaigns/{c}/recipients"),
    ("POST", "/api/v1/api-keys"),
    ("PATCH", "/api/v1/api-keys/{k}"),
    ("POST", "/api/v1/webhooks"),
    ("PATCH", "/api/v1/webhooks/{w}"),
    ("POST", "/api/v1/contacts"),
    ("PATCH", "/api/v1/contacts/{k}"),
    ("PUT", "/api/v1/contacts/{k}"),
    ("POST", "/api/v1/contacts/bulk-delete"),
    ("POST", "/api/v1/contacts/validate"),
    ("POST", "/api/v1/contacts/groups"),
    ("PATCH", "/api/v1/contacts/groups/{k}"),
    ("POST", "/api/v1/contacts/groups/{k}/contacts"),
    ("POST", "/api/v1/billing/checkout"),
    ("POST", "/api/v1/billing/verify"),
    ("POST", "/api/v1/billing/addons/checkout"),
    ("POST", "/api/v1/billing/coupons/validate"),
];

/// The bodies, and what each is answered.
fn table() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("nothing", String::new(), "400 VALIDATION_ERROR: The body is not valid JSON (line 1, column 0)."),
        ("half", "{\"name\":".to_owned(), "400 VALIDATION_ERROR: The body is not valid JSON (line 1, column 8)."),
        ("words", "name=Ana".to_owned(), "400 VALIDATION_ERROR: The body is not valid JSON (line 1, column 2)."),
        (
            "raw null byte",
            "{\"name\":\"\u{0}\"}".to_owned(),
            "400 VALIDATION_ERROR: The body is not valid JSON (line 1, column 9).",
        ),
        ("a list", "[]".to_owned(), "400 VALIDATION_ERROR: The body must be a JSON object."),
        ("a text", "\"x\"".to_owned(), "400 VALIDATION_ERROR: The body must be a JSON object."),
        ("null", "null".to_owned(), "400 VALIDATION_ERROR: The body must be a JSON object."),
        ("deep", "[".repeat(10_000), "400 VALIDATION_ERROR: The body must be a JSON object."),
    ]
}

#[tokio::test]
async fn every_operation_refuses_what_is_no_body() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let session_id = front.session(&token).await;
    let campaign_id = front.draft(&token, &session_id).await;
    let (key_id, _) = front.key(&token, serde_json::json!({"name": "Key", "scopes": ["account:read"]})).await;
    let webhook_id = front.webhook(&token).await;
    for (method, path) in WITH_BODY {
        let path = path.replace("{s}", &session_id).replace("{c}", &campaign_id).replace("{k}", &key_id);
        let path = path.replace("{w}", &webhook_id);
        for (what, body, refusal) in table() {
            assert_eq!(front.send(method, &path, &token, &body).await.refusal(), refusal, "{method} {path} {what}");
        }
        let answer = front.send(method, &path, &token, r#"{"nobodyKnowsThis":1}"#).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["errors"]["nobodyKnowsThis"], "is not a known field", "{path}");
        let invalid = front.call(json_request(method, &path, &token, b"{\"name\":\"\xff\"}".to_vec())).await;
        assert_eq!(invalid.status, 400, "{path}");
        let form = request(method, &path, &token).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let form = front.call(form.body(Body::from("name=Ana")).unwrap()).await;
        assert_eq!(
            (form.status.as_u16(), form.json()["code"].as_str()),
            (415, Some("UNSUPPORTED_MEDIA_TYPE")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn bodies_over_the_bound_are_refused() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let (session_id, webhook_id) = (front.session(&token).await, front.webhook(&token).await);
    for (method, path) in WITH_BODY.iter().filter(|(_, path)| !path.contains("campaigns")) {
        let path = path.replace("{s}", &session_id).replace("{k}", &session_id).replace("{w}", &webhook_id);
        let fits = format!("{{\"x\":1{}}}", " ".repeat(SMALL_BODY_BYTES_MAX - 7));
        assert_eq!(fits.len(), SMALL_BODY_BYTES_MAX);
        assert_eq!(front.send(method, &path, &token, &fits).await.status, 400, "{path}");
        let answer = front.send(method, &path, &token, &(fits + " ")).await;
        assert_eq!(answer.refusal(), "413 PAYLOAD_TOO_LARGE: The body is larger than this operation takes.", "{path}");
    }
}

/// A body without a type is taken for JSON, as `curl` users expect of an API that knows nothing else.
#[tokio::test]
async fn the_type_may_be_left_out() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    let request = request("POST", "/api/whatsapp", &token).body(Body::from(r#"{"name":"Shop"}"#)).unwrap();
    assert_eq!(front.call(request).await.status, 201);
}

#[tokio::test]
async fn odd_paths_and_queries_are_refused() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    for path in
        ["/api/v1/whatsapp/%00", "/api/v1/whatsapp/%ff", "/api/v1/messages/1;DROP%20TABLE", "/api/v1/campaigns/.."]
    {
        assert_eq!(front.get(path, &token).await.status, 400, "{path}");
    }
    for query in ["page=1&page=2", "page=%ff", "limit=1e3", "limit= 5", "status=%00"] {
        let path = format!("/api/v1/campaigns?{}", query.replace(' ', "%20"));
        assert_eq!(front.get(&path, &token).await.status, 400, "{query}");
    }
    for query in
        ["status=%00", "to=%00", "sessionId=1'OR'1", "since=99999-01-01T00:00:00Z", "page=-1", "limit=101", "to=1&to=2"]
    {
        assert_eq!(front.get(&format!("/api/v1/messages?{query}"), &token).await.status, 400, "{query}");
    }
    for query in ["actor=1", "actor=%00", "action=%00", "action=", "subject=", "from=soon", "to=99999-01-01T00:00:00Z"]
    {
        for path in ["/api/v1/audit-logs", "/api/v1/audit-logs/export"] {
            let answer = front.get(&format!("{path}?{query}"), &token).await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()["code"].as_str()),
                (400, Some("VALIDATION_ERROR")),
                "{query}"
            );
        }
    }
    let long = format!("/api/v1/audit-logs?subject={}", "x".repeat(201));
    assert_eq!(front.get(&long, &token).await.status, 400);
    assert_eq!(front.get("/api/v1/campaigns?nobodyKnowsThis=1", &token).await.status, 200);
}

fn json_request(method: &str, path: &str, token: &str, body: Vec<u8>) -> axum::http::Request<Body> {
    let request = request(method, path, token).header(header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body)).unwrap()
}

/// Large bodies that stand still take all their places, and small ones pass by them.
#[tokio::test]
async fn small_bodies_do_not_wait_for_large_ones() {
    let settings = ApiSettings { timeout: Duration::from_secs(2), ..ApiSettings::default() };
    let front = Front::start_with(settings).await;
    let token = front.register("ana@example.com").await;
    let large = || {
        let begin = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; SMALL_BODY_BYTES_MAX + 1]))]);
        let body = Body::from_stream(futures::StreamExt::chain(begin, futures::stream::pending()));
        front.call(request("POST", "/api/v1/campaigns", &token).body(body).unwrap())
    };
    let standing = futures::future::join_all((0..=LARGE_BODIES_MAX).map(|_| large()));
    let passing = async {
        for at in 0..5 {
            let made = front.post("/api/whatsapp", &token, serde_json::json!({"name": format!("Shop {at}")})).await;
            assert_eq!(made.status, 201);
        }
        "passed"
    };
    futures::pin_mut!(passing, standing);
    match futures::future::select(passing, standing).await {
        futures::future::Either::Left((passed, standing)) => {
            assert_eq!(passed, "passed");
            assert!(standing.await.iter().all(|answer| answer.status == 503));
        }
        futures::future::Either::Right(_) => panic!("small bodies wait for large ones"),
    }
}
