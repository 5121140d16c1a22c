//! What the service says about itself, to everybody.

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{ApiError, Failures};
use crate::error::Error;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default()
        .routes(routes!(get_health))
        .routes(routes!(get_ready))
        .routes(routes!(list_versions))
        .routes(routes!(get_openapi))
}

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// That the service can work.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyView {
    /// Always `ready`; what is not answers 503.
    #[schema(example = "ready")]
    status: &'static str,
    /// The parts that were looked at.
    #[schema(example = json!(["database"]))]
    parts: Vec<&'static str>,
}

/// One version of the operations.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    /// Its name.
    #[schema(example = "v1")]
    version: &'static str,
    /// Where it is mounted.
    #[schema(example = "/api/v1")]
    path: &'static str,
    /// `current`, `deprecated` or `retired`.
    #[schema(example = "current")]
    status: &'static str,
    /// The build that answers.
    #[schema(example = "0.1.0")]
    build: &'static str,
}

/// Tells that the process answers.
#[utoipa::path(get, path = "/health", tag = "system",
    responses((status = 200, body = Envelope<HealthView>), Failures))]
async fn get_health() -> ApiResult<HealthView> {
    ok(HealthView { status: "ok" })
}

/// Tells whether the service can work; 503 names the parts that can not.
#[utoipa::path(get, path = "/ready", tag = "system",
    responses((status = 200, body = Envelope<ReadyView>), Failures))]
async fn get_ready(State(state): State<Shared>) -> ApiResult<ReadyView> {
    let parts = state.readiness.parts().await;
    let broken: Vec<_> = parts.iter().filter_map(|part| Some((part.part, part.problem?))).collect();
    if !broken.is_empty() {
        return Err(ApiError::NotReady(broken));
    }
    ok(ReadyView { status: "ready", parts: parts.iter().map(|part| part.part).collect() })
}

/// Lists the versions of the operations.
#[utoipa::path(get, path = "/versions", tag = "system",
    responses((status = 200, body = Envelope<Vec<VersionView>>), Failures))]
async fn list_versions() -> ApiResult<Vec<VersionView>> {
    let build = env!("CARGO_PKG_VERSION");
    ok(vec![VersionView { version: "v1", path: crate::api::mounts::V1, status: "current", build }])
}

/// Returns this document, without an envelope.
#[utoipa::path(get, path = "/openapi.json", tag = "system",
    responses((status = 200, description = "The OpenAPI document.", body = serde_json::Value), Failures))]
async fn get_openapi() -> Result<Response, ApiError> {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = match TEXT.get() {
        Some(text) => text.clone(),
        None => {
            let made = crate::api::document().to_json().map_err(Error::internal("write the document"))?;
            TEXT.get_or_init(|| made.into()).clone()
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}
