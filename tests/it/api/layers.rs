//! What surrounds every operation: request ids, headers for browsers, unknown paths and methods.

use axum::body::Body;
use axum::http::Request;

use super::support::{Front, request};

#[tokio::test]
async fn every_answer_names_its_request() {
    let front = Front::start().await;
    for path in ["/api/health", "/api/v1/whatsapp", "/nothing", "/api/docs/"] {
        let answer = front.get(path, "").await;
        assert!(uuid::Uuid::parse_str(answer.header("x-request-id")).is_ok(), "{path}");
    }
}

#[tokio::test]
async fn plain_request_ids_are_taken_over() {
    let front = Front::start().await;
    let check = async |id: &str| {
        let request = request("GET", "/api/health", "").header("x-request-id", id);
        front
            .call(request.body(Body::empty()).unwrap())
            .await
            .header("x-request-id")
            .to_owned()
    };
    assert_eq!(check("order-17.a_B").await, "order-17.a_B");
    for refused in ["", "a b", "a\"b", &"x".repeat(65)] {
        assert_ne!(check(refused).await, refused);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_our_form() {
    let front = Front::start().await;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/nothing",
        "/api/whatsapp/x/y/z",
        "/metrics",
        "/api/v1/whatsapp/",
    ] {
        assert_eq!(
            front.get(path, "").await.refusal(),
            "404 NOT_FOUND: There is nothing at this path",
            "{path}"
        );
    }
    for (method, path) in [
        ("DELETE", "/api/v1/whatsapp"),
        ("GET", "/api/auth/login"),
        ("PUT", "/api/health"),
        ("TRACE", "/api/v1/campaigns"),
    ] {
        let answer = front.call(request(method, path, "").body(Body::empty()).unwrap()).await;
        assert_eq!(
            answer.refusal(),
            "405 METHOD_NOT_ALLOWED: This path does not take this method",
            "{method} {path}"
        );
        assert_ne!(answer.header("allow"), "-", "{method} {path}");
    }
}

#[tokio::test]
async fn browsers_are_told_what_they_may() {
    let front = Front::start().await;
    let answer = front.get("/api/v1/whatsapp", "").await;
    let shown: Vec<String> = [
        "x-content-type-options",
        "x-frame-options",
        "referrer-policy",
        "cache-control",
        "content-security-policy",
    ]
    .into_iter()
    .map(|name| format!("{name}: {}", answer.header(name)))
    .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    x-content-type-options: nosniff
    x-frame-options: DENY
    referrer-policy: no-referrer
    cache-control: no-store
    content-security-policy: default-src 'none'; frame-ancestors 'none'
    ");
}

#[tokio::test]
async fn only_named_origins_may_call() {
    let front = Front::start().await;
    let preflight = async |origin: &str| {
        let request = Request::builder()
            .method("OPTIONS")
            .uri("/api/v1/campaigns")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        front.call(request.body(Body::empty()).unwrap()).await
    };
    let known = preflight("https://desk.example").await;
    assert_eq!(
        (known.status.as_u16(), known.header("access-control-allow-origin")),
        (200, "https://desk.example")
    );
    assert!(known.header("access-control-allow-methods").contains("PATCH"));
    assert_eq!(
        preflight("https://evil.example")
            .await
            .header("access-control-allow-origin"),
        "-"
    );
    let refused = request("GET", "/api/v1/campaigns", "").header("origin", "https://desk.example");
    let refused = front.call(refused.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("access-control-allow-origin")),
        (401, "https://desk.example")
    );
}
