//! What surrounds every operation: request ids, headers for browsers, unknown paths and methods.

use std::time::Duration;

use actiwapi_dispatcher::api::ApiSettings;
use actiwapi_dispatcher::limits::{LOGIN_BURST_MAX, LOGIN_INTERVAL};
use axum::body::{Body, Bytes};
use axum::http::Request;

use super::support::{Front, Mood, request};

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
        front.call(request.body(Body::empty()).unwrap()).await.header("x-request-id").to_owned()
    };
    assert_eq!(check("order-17.a_B").await, "order-17.a_B");
    for refused in ["", "a b", "a\"b", &"x".repeat(65)] {
        assert_ne!(check(refused).await, refused);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_our_form() {
    let front = Front::start().await;
    for path in ["/", "/api", "/api/v1", "/api/v1/nothing", "/api/whatsapp/x/y/z", "/metrics", "/api/v1/whatsapp/"] {
        assert_eq!(front.get(path, "").await.refusal(), "404 NOT_FOUND: There is nothing at this path.", "{path}");
    }
    for (method, path) in [
        ("DELETE", "/api/v1/whatsapp"),
        ("GET", "/api/auth/login"),
        ("PUT", "/api/health"),
        ("TRACE", "/api/v1/campaigns"),
    ] {
        let answer = front.call(request(method, path, "").body(Body::empty()).unwrap()).await;
        assert_eq!(answer.refusal(), "405 METHOD_NOT_ALLOWED: This path does not take this method.", "{method} {path}");
        assert_ne!(answer.header("allow"), "-", "{method} {path}");
    }
}

#[tokio::test]
async fn browsers_are_told_what_they_may() {
    let front = Front::start().await;
    let answer = front.get("/api/v1/whatsapp", "").await;
    let shown: Vec<String> =
        ["x-content-type-options", "x-frame-options", "referrer-policy", "cache-control", "content-security-policy"]
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
    assert_eq!((known.status.as_u16(), known.header("access-control-allow-origin")), (200, "https://desk.example"));
    assert!(known.header("access-control-allow-methods").contains("PATCH"));
    for name in ["authorization", "content-type", "x-api-key", "idempotency-key"] {
        assert!(known.header("access-control-allow-headers").contains(name), "{name}");
    }
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), "-");
    let refused = request("GET", "/api/v1/campaigns", "").header("origin", "https://desk.example");
    let refused = front.call(refused.body(Body::empty()).unwrap()).await;
    assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (401, "https://desk.example"));
    for name in
        ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "idempotent-replayed"]
    {
        assert!(refused.header("access-control-expose-headers").contains(name), "{name}");
    }
}

#[tokio::test]
async fn handlers_that_hang_or_panic_are_answered() {
    let settings = ApiSettings { timeout: Duration::from_millis(20), ..ApiSettings::default() };
    let front = Front::start_with(settings).await;
    *front.readiness.0.lock().unwrap() = Mood::Hangs;
    let answer = front.get("/api/ready", "").await;
    assert_eq!(answer.refusal(), "503 SERVICE_UNAVAILABLE: The request took too long.");
    assert_ne!(answer.header("retry-after"), "-");
    *front.readiness.0.lock().unwrap() = Mood::Panics;
    let answer = front.get("/api/ready", "").await;
    assert_eq!(answer.refusal(), "500 INTERNAL_ERROR: Something went wrong on our side.");
    assert_ne!(answer.header("x-request-id"), "-");
    assert_eq!(answer.header("x-frame-options"), "DENY");
}

#[tokio::test]
async fn bodies_that_stand_still_end() {
    let settings = ApiSettings { timeout: Duration::from_millis(20), ..ApiSettings::default() };
    let front = Front::start_with(settings).await;
    for path in ["/api/auth/login", "/api/provider/cloud/webhook"] {
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let request = request("POST", path, "").header("x-hub-signature-256", "sha256=00");
        let status = front.call(request.body(body).unwrap()).await.status.as_u16();
        assert!([503, 401].contains(&status), "{path} {status}");
    }
}

#[tokio::test]
async fn a_lost_database_is_said_to_be_passing() {
    let front = Front::start().await;
    let token = front.register("ana@example.com").await;
    front.store.close().await;
    let answer = front.get("/api/v1/whatsapp", &token).await;
    assert_eq!(answer.refusal(), "503 SERVICE_UNAVAILABLE: The service is not available now.");
    assert_eq!(answer.header("retry-after"), "5");
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let front = Front::start().await;
    front.get("/api/v1/whatsapp/not-an-id", "").await;
    front.get("/api/whatsapp/another", "").await;
    front.get("/api/health", "").await;
    front.get("/no/such/path", "").await;
    let text = String::from_utf8(front.metrics.encode().unwrap()).unwrap();
    let counts: Vec<_> = text.lines().filter(|line| line.starts_with("dispatcher_api_requests_total{")).collect();
    insta::assert_snapshot!(counts.join("\n"), @r#"
    dispatcher_api_requests_total{method="GET",route="/api/health",status="2xx"} 1
    dispatcher_api_requests_total{method="GET",route="/api/v1/whatsapp/{id}",status="4xx"} 1
    dispatcher_api_requests_total{method="GET",route="/api/whatsapp/{id}",status="4xx"} 1
    dispatcher_api_requests_total{method="GET",route="none",status="4xx"} 1
    "#);
}

#[tokio::test]
async fn a_request_is_open_until_it_is_answered_or_given_up() {
    let front = Front::start().await;
    let body = serde_json::json!({"email": "ana@example.com", "password": "password1"});
    // Passwords are compared on another thread, so it is not answered at once.
    let mut asked = Box::pin(front.post("/api/auth/login", "", body.clone()));
    assert!(futures::poll!(asked.as_mut()).is_pending());
    assert_eq!(front.metrics.api.in_flight.get(), 1);
    drop(asked);
    assert_eq!(front.metrics.api.in_flight.get(), 0);
    front.post("/api/auth/login", "", body).await;
    assert_eq!(front.metrics.api.in_flight.get(), 0);
}

#[tokio::test]
async fn those_who_guess_are_held_back() {
    let front = Front::start().await;
    let guess = async || {
        let body = serde_json::json!({"email": "ana@example.com", "password": "password1"});
        front.post("/api/auth/login", "", body).await
    };
    let mut statuses = Vec::new();
    for _ in 0..LOGIN_BURST_MAX.get() {
        statuses.push(guess().await.status.as_u16());
    }
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    let answer = guess().await;
    assert_eq!(answer.refusal(), "429 RATE_LIMITED: Too many requests.");
    assert_eq!(front.metrics.api.rate_limited.get(), 1);
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=LOGIN_INTERVAL.as_secs()).contains(&wait));
    assert_eq!(
        (answer.header("x-ratelimit-remaining"), answer.header("x-ratelimit-reset")),
        ("0", answer.header("retry-after"))
    );
    assert_eq!(
        front.post("/api/auth/login", "", serde_json::json!({"email": "b@example.com", "password": "x"})).await.status,
        401
    );
}
