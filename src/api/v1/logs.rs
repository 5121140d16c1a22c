//! Requests that were made to this API in the tenant's name.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::analytics::query::read_id;
use super::analytics::requests::kind_of;
use crate::api::error::{ApiError, Failures, Guarded};
use crate::api::page::{Page, PageQuery, Pagination};
use crate::api::timestamp::Timestamp;
use crate::api::{CallContext, Shared};
use crate::error::Problems;
use crate::limits::OPERATION_CHARS_MAX;
use crate::store::analytics::request_log::RequestFilter;
use crate::store::analytics::requests::RequestEntry;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::default().routes(routes!(list_api_requests))
}

/// One request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiRequestView {
    /// Its id in the log.
    id: Uuid,
    /// When it was answered.
    at: Timestamp,
    /// Who made it: `apiKey` or `user`.
    #[schema(example = "apiKey")]
    caller_kind: &'static str,
    /// The key, or the person.
    caller_id: Uuid,
    /// The method.
    #[schema(example = "POST")]
    method: String,
    /// The pattern of the path.
    #[schema(example = "/api/v1/messages/send-text")]
    operation: String,
    /// The status of the answer.
    #[schema(example = 202)]
    status: u16,
    /// How long it took, in milliseconds.
    #[schema(example = 12)]
    duration_ms: i64,
    /// Its name: `x-request-id` of the answer.
    #[schema(example = "01993b1e-6f0e-7c22-8d6e-2b0a3c0f7a10")]
    request_id: String,
}

/// A page of requests.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiRequestListView {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The requests of this page, newest first.
    data: Vec<ApiRequestView>,
    /// Where this page lies in the list; `total` counts among the newest 10,000 of the time asked for.
    pagination: Pagination,
    /// How far back the list looked, where there is more; give it as `to` to look further back.
    looked_back_to: Option<Timestamp>,
}

/// The query of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct ApiRequestQuery {
    /// Only those answered at this time or later.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Only those answered at this time or earlier.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
    /// Only those of this key or person.
    #[param(value_type = Option<uuid::Uuid>)]
    caller_id: Option<String>,
    /// Only those of this method.
    #[param(example = "POST")]
    method: Option<String>,
    /// Only those of this pattern of a path.
    #[param(example = "/api/v1/messages/send-text")]
    operation: Option<String>,
    /// Only those answered with this status, such as `404`, or with one of its class, such as `4xx`.
    #[param(example = "4xx")]
    status: Option<String>,
}

/// Which requests are wanted.
#[derive(Debug, Clone)]
pub struct ApiRequestSearch(RequestFilter);

/// Lists requests that were made to this API with the tenant's keys and by its people, newest first.
/// It looks at the newest 10,000 of the time asked for; the next list can go on at `lookedBackTo`. Requests are listed a few
/// seconds later, for as long as they are kept, usually 30 days; when far too many come at once some are counted only.
#[utoipa::path(get, path = "/logs/api-requests", tag = "logs", security(("bearer" = [])), params(PageQuery, ApiRequestQuery),
    responses((status = 200, body = ApiRequestListView), Failures, Guarded))]
pub(super) async fn list_api_requests(
    ctx: CallContext,
    page: Page,
    ApiRequestSearch(filter): ApiRequestSearch,
) -> Result<axum::Json<ApiRequestListView>, ApiError> {
    let found = ctx.store.analytics().request_log(ctx.caller.tenant_id, &filter, page.0).await?;
    Ok(axum::Json(ApiRequestListView {
        success: true,
        data: found.items.into_iter().map(ApiRequestView::from).collect(),
        pagination: Pagination::new(page.0, found.total),
        looked_back_to: found.looked_back_to_ms.map(Timestamp),
    }))
}

impl From<RequestEntry> for ApiRequestView {
    fn from(entry: RequestEntry) -> Self {
        Self {
            id: entry.id,
            at: Timestamp(entry.at_ms),
            caller_kind: kind_of(entry.by.is_key),
            caller_id: entry.by.id,
            method: entry.method,
            operation: entry.operation,
            status: entry.status,
            duration_ms: entry.duration_ms,
            request_id: entry.request_id,
        }
    }
}

/// Reads a status or a class of them; returns the first and the last.
fn status_of(text: &str) -> Option<(u16, u16)> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    text.parse().ok().filter(|status| (100..=599).contains(status)).map(|status| (status, status))
}

impl TryFrom<ApiRequestQuery> for ApiRequestSearch {
    type Error = ApiError;

    fn try_from(query: ApiRequestQuery) -> Result<Self, ApiError> {
        let mut problems = Problems::default();
        let mut time = |field: &'static str, text: Option<String>| {
            let read: Option<Timestamp> = serde_json::from_value(text?.into()).ok();
            if read.is_none() {
                problems.push(field, "must be a time such as 2026-01-31T08:00:00Z");
            }
            read.map(|at| at.0)
        };
        let (from_ms, to_ms) = (time("from", query.from), time("to", query.to));
        let caller_id = read_id("callerId", query.caller_id.as_deref(), &mut problems);
        let mut plain = |field: &'static str, text: Option<String>| {
            let text = text?;
            let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_plain || !(1..=OPERATION_CHARS_MAX).contains(&text.len()) {
                problems.push(field, format!("must have 1 to {OPERATION_CHARS_MAX} visible ASCII characters"));
            }
            Some(text)
        };
        let (method, operation) = (plain("method", query.method), plain("operation", query.operation));
        let status = query.status.as_deref().map(status_of);
        if status == Some(None) {
            problems.push("status", "must be a status such as 404, or a class such as 4xx");
        }
        problems.check()?;
        Ok(Self(RequestFilter { from_ms, to_ms, caller_id, method, operation, status: status.flatten() }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ApiRequestSearch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<ApiRequestQuery>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Malformed("The query can not be read."))?;
        query.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_or_a_class() {
        assert_eq!((status_of("404"), status_of("4xx")), (Some((404, 404)), Some((400, 499))));
        for text in ["", "xx", "0xx", "6xx", "44xx", "99", "600", "-4", "4x", "65536", "4xxx"] {
            assert_eq!(status_of(text), None, "{text}");
        }
    }
}
