//! Operations for programs: the same handlers mounted again under `/external`, where a key takes the place of a token.
//!
//! Each resource lists its own in `external()`; one line each: `.routes(with_key(Scope::…, routes!(…)))`.

use axum::extract::Request;
use axum::handler::Handler;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodRouter, put};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::UtoipaMethodRouter;

use super::Shared;
use crate::domain::api_key::Scope;

/// The prefix, behind that of the version.
pub const EXTERNAL: &str = "/external";
/// The name of the key in the document.
pub const SECURITY_SCHEME: &str = "apiKey";
/// The tag of these operations.
const TAG: &str = "external";

/// Says that a request is to be made with a key, and what the key must be allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct NeedsScope(pub(super) Scope);

/// Lets operations be called with a key that has the scope, and no longer with a token.
pub(super) fn with_key(
    scope: Scope,
    (schemas, mut paths, router): UtoipaMethodRouter<Shared>,
) -> UtoipaMethodRouter<Shared> {
    for operation in paths.paths.values_mut().flat_map(operations) {
        operation.operation_id = operation.operation_id.take().map(|id| format!("{TAG}_{id}"));
        operation.tags = Some(vec![TAG.to_owned()]);
        operation.security = Some(vec![SecurityRequirement::new(SECURITY_SCHEME, [scope.as_str()])]);
    }
    (schemas, paths, router.layer(from_fn(move |request, next| need(scope, request, next))))
}

/// Lets `PUT` do with a key what `PATCH` does.
pub(super) fn put_with_key<H: Handler<T, Shared>, T: 'static>(scope: Scope, handler: H) -> MethodRouter<Shared> {
    put(handler).layer(from_fn(move |request, next| need(scope, request, next)))
}

/// Mounts operations at another path than the one that stands at their handlers.
pub(super) fn renamed(
    (from, to): (&str, &str),
    (schemas, mut paths, router): UtoipaMethodRouter<Shared>,
) -> UtoipaMethodRouter<Shared> {
    paths.paths = std::mem::take(&mut paths.paths)
        .into_iter()
        .map(|(path, item)| (path.strip_prefix(from).map_or_else(|| path.clone(), |rest| format!("{to}{rest}")), item))
        .collect();
    (schemas, paths, router)
}

/// Returns the operations of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch, &mut item.put, &mut item.delete].into_iter().flatten()
}

async fn need(scope: Scope, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(NeedsScope(scope));
    let mut response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
    }
    response
}
