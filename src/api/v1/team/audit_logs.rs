//! Who changed what a tenant has: as pages, and as a CSV stream.
//!
//! Lists look at the newest rows only and say how far back; the stream goes through all, one step at a time.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::CallContext;
use crate::api::csv::push_line;
use crate::api::error::{ApiError, Failures, Guarded};
use crate::api::page::{Page, PageQuery, Pagination};
use crate::api::timestamp::Timestamp;
use crate::error::Problems;
use crate::store::audit::AuditRecord;
use crate::store::audit_list::{AuditCursor, AuditFilter};

/// Characters of an action and of a subject, at most: longer ones are none of ours.
const WORD_CHARS_MAX: usize = 200;

const COLUMNS: &str = "id,at,actorType,actorId,action,subject,details,requestId\r\n";

/// Which rows are wanted.
#[derive(Debug, Clone)]
pub struct AuditSearch(AuditFilter);

/// The query of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only what this person or API key did.
    #[param(value_type = Option<uuid::Uuid>)]
    actor: Option<String>,
    /// Only this: the id of an operation, or what a service did.
    #[param(example = "delete_campaign")]
    action: Option<String>,
    /// Only what was done to this, by its id.
    #[param(example = "0198c0de-0000-7000-8000-0000000000bb")]
    subject: Option<String>,
    /// Only what was done at this time or later.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Only what was done at this time or earlier.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditLogView {
    /// Its id.
    id: Uuid,
    /// When.
    at: Timestamp,
    /// Who did it: `user`, `apiKey` or `system`.
    #[schema(example = "user")]
    actor_type: &'static str,
    /// Which person or key; null for the system.
    actor_id: Option<Uuid>,
    /// What was done: the id of the operation, or what its service did.
    #[schema(example = "duplicate_campaign")]
    action: String,
    /// To what: the id in the path, or the id of what was made.
    #[schema(example = "0198c0de-0000-7000-8000-0000000000bb")]
    subject: String,
    /// What else is to be known. For an operation: `before`, the ids of its path; `after`, the id of what there is now;
    /// `failedWith`, the status of an answer behind which it is not known whether it was done.
    #[schema(value_type = Object, example = json!({"before": {"id": "0198c0de-0000-7000-8000-0000000000bb"},
        "after": "0198c0de-0000-7000-8000-0000000000cc"}))]
    details: serde_json::Value,
    /// The request, by `x-request-id`; null for the system.
    request_id: Option<String>,
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditListView {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The rows of this page, newest first.
    data: Vec<AuditLogView>,
    /// Where this page lies in the list; `total` counts among the newest 10,000 of the subject, the action or the actor, or
    /// of all.
    pagination: Pagination,
    /// How far back the list looked, where there is more; give it as `to` to look further back.
    looked_back_to: Option<Timestamp>,
}

/// Lists who changed what, newest first: every call of the API that changed something, by whomever, and what operators and the
/// system did to what is yours.
#[utoipa::path(get, path = "/audit-logs", tag = "team", security(("bearer" = [])), params(PageQuery, AuditQuery),
    responses((status = 200, body = AuditListView), Failures, Guarded))]
pub(super) async fn list_audit_logs(
    ctx: CallContext,
    page: Page,
    search: AuditSearch,
) -> Result<axum::Json<AuditListView>, ApiError> {
    let found = ctx.store.audit_of_tenant(ctx.caller.tenant_id, &search.0, page.0).await?;
    Ok(axum::Json(AuditListView {
        success: true,
        data: found.items.into_iter().map(Into::into).collect(),
        pagination: Pagination::new(page.0, found.total),
        looked_back_to: found.looked_back_to_ms.map(Timestamp),
    }))
}

/// Exports who changed what, newest first, as CSV; with the filters of the list, and without its bound.
#[utoipa::path(get, path = "/audit-logs/export", tag = "team", security(("bearer" = [])), params(AuditQuery),
    responses((status = 200, description = "The file.", body = String, content_type = "text/csv",
        example = "id,at,actorType,…"), Failures, Guarded))]
pub(super) async fn export_audit_logs(ctx: CallContext, search: AuditSearch) -> Result<Response, ApiError> {
    let filter = search.0;
    let (beginning, next) = step(&ctx, COLUMNS.to_owned(), (&filter, None)).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit-logs.csv\"")),
    ];
    // A failed read breaks the stream off, so that half a file is seen as such.
    let rest = stream::try_unfold(next, move |after| {
        let (ctx, filter) = (ctx.clone(), filter.clone());
        async move {
            match after {
                Some(after) => step(&ctx, String::new(), (&filter, Some(after))).await.map(Some),
                None => Ok(None),
            }
        }
    });
    let file = Body::from_stream(futures::StreamExt::chain(stream::iter([Ok(beginning)]), rest));
    Ok((StatusCode::OK, headers, file).into_response())
}

/// Writes the next step of the file behind `text`, and says where the one after it begins.
async fn step(
    ctx: &CallContext,
    mut text: String,
    (filter, after): (&AuditFilter, Option<AuditCursor>),
) -> Result<(Bytes, Option<AuditCursor>), ApiError> {
    let (records, next) = ctx.store.export_audit(ctx.caller.tenant_id, filter, after).await?;
    for record in records {
        let row = AuditLogView::from(record);
        let at = serde_json::to_value(row.at).ok().and_then(|at| at.as_str().map(str::to_owned)).unwrap_or_default();
        let actor_id = row.actor_id.map(|id| id.to_string()).unwrap_or_default();
        let details = row.details.to_string();
        let cells = [
            row.id.to_string(),
            at,
            row.actor_type.to_owned(),
            actor_id,
            row.action,
            row.subject,
            details,
            row.request_id.unwrap_or_default(),
        ];
        push_line(&mut text, &cells);
    }
    Ok((text.into(), next))
}

impl TryFrom<AuditQuery> for AuditSearch {
    type Error = ApiError;

    fn try_from(query: AuditQuery) -> Result<Self, ApiError> {
        let mut problems = Problems::default();
        let mut filter = AuditFilter {
            action: word("action", query.action, &mut problems),
            subject: word("subject", query.subject, &mut problems),
            ..AuditFilter::default()
        };
        if let Some(text) = query.actor {
            filter.actor_id = Uuid::parse_str(&text).ok();
            if filter.actor_id.is_none() {
                problems.push("actor", "must be a UUID");
            }
        }
        for (field, text, bound) in [("from", query.from, &mut filter.from_ms), ("to", query.to, &mut filter.to_ms)] {
            let Some(text) = text else { continue };
            match serde_json::from_value::<Timestamp>(text.into()) {
                Ok(Timestamp(at_ms)) => *bound = at_ms,
                Err(_) => problems.push(field, "must be a time such as 2026-01-31T08:00:00Z"),
            }
        }
        problems.check()?;
        Ok(Self(filter))
    }
}

fn word(field: &'static str, text: Option<String>, problems: &mut Problems) -> Option<String> {
    let text = text?;
    if text.is_empty() || WORD_CHARS_MAX < text.chars().count() || text.chars().any(char::is_control) {
        problems.push(field, format!("must have 1 to {WORD_CHARS_MAX} plain characters"));
    }
    Some(text)
}

impl<S: Send + Sync> FromRequestParts<S> for AuditSearch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<AuditQuery>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Malformed("The query can not be read."))?;
        query.try_into()
    }
}

impl From<AuditRecord> for AuditLogView {
    fn from(record: AuditRecord) -> Self {
        let (actor_type, actor_id) = match (record.actor.key_id, record.actor.user_id) {
            (Some(key), _) => ("apiKey", Some(key.0)),
            (None, Some(user)) => ("user", Some(user.0)),
            (None, None) => ("system", None),
        };
        Self {
            id: record.id,
            at: Timestamp(record.at_ms),
            actor_type,
            actor_id,
            action: record.deed.action,
            subject: record.deed.subject,
            details: record.deed.details,
            request_id: record.actor.request_id,
        }
    }
}
