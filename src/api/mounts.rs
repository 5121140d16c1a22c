//! Where the operations are mounted: `/api/v1` as documented, and `/api` for the same handlers.

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// The prefix of the document.
pub const V1: &str = "/api/v1";
/// The prefix that clients of the documented part use as well.
pub const ALIAS: &str = "/api";

/// Mounts the operations at both prefixes and documents them once.
pub fn mount<S: Clone + Send + Sync + 'static>(
    operations: OpenApiRouter<S>,
    document: OpenApi,
) -> (Router<S>, OpenApi) {
    let (again, _) = operations.clone().split_for_parts();
    let (router, document) = OpenApiRouter::with_openapi(document).nest(V1, operations).split_for_parts();
    (router.nest(ALIAS, again), document)
}
