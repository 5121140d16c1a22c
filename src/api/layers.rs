//! What surrounds every handler: request id, log, counts, limits of time, panics, and the headers of browsers.
//!
//! Knows no operation. The order matters and is written down in [`surround`].

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;

use super::auth::API_KEY;
use super::error::ApiError;
use super::idempotency::{IDEMPOTENCY_KEY, REPLAYED};
use super::rates::{RATE_HEADERS, show_rate};
use super::requests::{Answered, Recorder, RequestNote};

/// The header that names a request, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The route of paths that lead nowhere, in metrics.
const NO_ROUTE: &str = "none";
/// Bytes of a request id that we take over from a client.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// How long browsers may keep the answer to a preflight.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3_600);

/// Puts the layers around all routes; the first named is the innermost.
///
/// A panic becomes an answer inside the log's span, so that the log names the request; the request id lies outside
/// of all, so that every answer carries it.
pub(super) fn surround<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    cors_origins: &[HeaderValue],
    recorder: Recorder,
) -> Router<S> {
    router
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn(show_rate))
        .layer(from_fn(browser_headers))
        .layer(cors(cors_origins))
        .layer(from_fn(move |request, next| name_and_count(recorder.clone(), request, next)))
}

/// Ends handlers that take longer than `limit` to answer, the reading of their body included.
pub async fn end_late(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::TimedOut.into_response(),
    }
}

/// Marks requests that count for the plan of whoever makes them.
#[derive(Debug, Clone, Copy)]
pub struct CountsForPlan;

/// Lets a request count for the plan of whoever makes it.
pub async fn count_for_plan(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(CountsForPlan);
    next.run(request).await
}

async fn name_and_count(recorder: Recorder, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    // For whoever writes down what was asked.
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let call = RequestNote::default();
    request.extensions_mut().insert(call.clone());
    let (method, matched) = (method_of(&request), request.extensions().get::<MatchedPath>().cloned());
    // The pattern of the path is one of a few; the path itself is anybody's.
    let route = matched.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let name = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("request", request.id = name, http.method = method, http.route = route);
    let started_at = tokio::time::Instant::now();
    let _open = recorder.open();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), started_at.elapsed());
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::debug!(http.status = status, duration_ms, "request answered"));
    recorder.note(&call, &Answered { method, route, status, took, request_id: name });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Returns the method if it is one that we know.
fn method_of(request: &Request) -> &'static str {
    let known = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|method| request.method() == method).unwrap_or("other")
}

/// Takes over the client's name of the request when it is short and plain, or makes one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    headers.get(REQUEST_ID).filter(plain).cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::now_v7().to_string();
        HeaderValue::from_str(&id).expect("a UUID is a valid header value")
    })
}

async fn browser_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Lets the pages of Swagger UI load their own scripts and styles; nothing else of the front is a page.
pub async fn page_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn answer_panic(_panic: Box<dyn Any + Send>) -> Response<Body> {
    ApiError::Panicked.into_response()
}

/// Lets pages of the named origins call the front; `*` stands for all, which is safe since no cookie counts here.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().cloned())
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, REQUEST_ID, API_KEY, IDEMPOTENCY_KEY])
        .expose_headers(
            [REQUEST_ID, header::RETRY_AFTER, header::CONTENT_DISPOSITION, REPLAYED]
                .into_iter()
                .chain(RATE_HEADERS)
                .collect::<Vec<_>>(),
        )
        .max_age(PREFLIGHT_AGE)
}
