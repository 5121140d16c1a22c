//! All messages of a tenant: as pages, and as a CSV stream.
//!
//! Lists look at the newest ones only and say how far back; the stream goes through all, one step at a time.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::views::ListedMessageView;
use crate::api::CallContext;
use crate::api::csv::push_line;
use crate::api::error::{ApiError, Failures, Guarded};
use crate::api::page::{Page, PageQuery, Pagination};
use crate::api::timestamp::Timestamp;
use crate::api::v1::campaigns::export;
use crate::domain::delivery::DeliveryState;
use crate::domain::recipient::Recipient;
use crate::error::Problems;
use crate::store::message_list::{MessageCursor, MessageFilter, MessagePage};
use crate::store::messages::DeliveryRecord;
use crate::store::page::Page as Rows;

/// The word for messages whose time has not come; they are in no state yet.
const SCHEDULED: &str = "scheduled";

/// Which messages are wanted.
#[derive(Debug, Clone)]
pub struct MessageSearch {
    filter: MessageFilter,
    is_scheduled: bool,
}

/// The query of the list of messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct MessageQuery {
    /// Only those in this status. With `scheduled`, those whose time has not come; otherwise these are not among them.
    #[param(example = "failed")]
    status: Option<String>,
    /// Only those of this session.
    #[param(value_type = Option<uuid::Uuid>)]
    session_id: Option<String>,
    /// Only those of this campaign.
    #[param(value_type = Option<uuid::Uuid>)]
    campaign_id: Option<String>,
    /// Only those to this number, with country code.
    #[param(example = "919876543210")]
    to: Option<String>,
    /// Only those accepted at this time or later.
    #[param(value_type = Option<Timestamp>)]
    since: Option<String>,
    /// Only those accepted at this time or earlier.
    #[param(value_type = Option<Timestamp>)]
    until: Option<String>,
}

/// A page of messages.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageListView {
    /// Always `true`.
    #[schema(example = true)]
    success: bool,
    /// The messages of this page, newest first.
    data: Vec<ListedMessageView>,
    /// Where this page lies in the list. `total` counts among the newest 10,000 messages of the number, the campaign or the
    /// session, or of all, and among 2,500 where more than one of these or the status is given; pages reach as far.
    pagination: Pagination,
    /// How far back the list looked, where there is more; give it as `until` to look further back.
    looked_back_to: Option<Timestamp>,
}

/// Lists messages, newest first. It looks at the newest 10,000 of the number, the campaign or the session, at 2,500 where more
/// than one of these or the status is given; the next list can go on at `lookedBackTo`.
#[utoipa::path(get, path = "/messages", tag = "messages", security(("bearer" = [])), params(PageQuery, MessageQuery),
    responses((status = 200, body = MessageListView), Failures, Guarded))]
pub(super) async fn list_messages(
    ctx: CallContext,
    page: Page,
    search: MessageSearch,
) -> Result<axum::Json<MessageListView>, ApiError> {
    let messages = ctx.store.messages();
    let found = if search.is_scheduled {
        let Rows { items, total } = messages.scheduled(ctx.caller.tenant_id, &search.filter, page.0).await?;
        MessagePage { items, total, looked_back_to_ms: None }
    } else {
        messages.list(ctx.caller.tenant_id, &search.filter, page.0).await?
    };
    Ok(axum::Json(MessageListView {
        success: true,
        data: found.items.into_iter().map(Into::into).collect(),
        pagination: Pagination::new(page.0, found.total),
        looked_back_to: found.looked_back_to_ms.map(Timestamp),
    }))
}

/// Exports every message that was handed over so far, newest first, as CSV; with the filters of the list, and without its
/// bound.
#[utoipa::path(get, path = "/messages/export", tag = "messages", security(("bearer" = [])), params(MessageQuery),
    responses((status = 200, description = "The file.", body = String, content_type = "text/csv",
        example = "id,phone,status,…"), Failures, Guarded))]
pub(super) async fn export_messages(ctx: CallContext, search: MessageSearch) -> Result<Response, ApiError> {
    if search.is_scheduled {
        return Err(ApiError::invalid("status", "is not a status of messages that were handed over"));
    }
    let filter = search.filter;
    let header = format!("{},campaignId\r\n", export::COLUMNS);
    let (beginning, next) = step(&ctx, header, (&filter, None)).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"messages.csv\"")),
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
    (filter, after): (&MessageFilter, Option<MessageCursor>),
) -> Result<(Bytes, Option<MessageCursor>), ApiError> {
    let (messages, next) = ctx.store.messages().export_all(ctx.caller.tenant_id, filter, after).await?;
    for message in &messages {
        push_line(&mut text, &cells(message));
    }
    Ok((text.into(), next))
}

fn cells(message: &DeliveryRecord) -> Vec<String> {
    let mut cells = export::cells(message).to_vec();
    let campaign_id = Some(message.campaign_id).filter(|id| !id.is_direct());
    cells.push(campaign_id.map(|id| id.to_string()).unwrap_or_default());
    cells
}

impl TryFrom<MessageQuery> for MessageSearch {
    type Error = ApiError;

    fn try_from(query: MessageQuery) -> Result<Self, ApiError> {
        let mut problems = Problems::default();
        let is_scheduled = query.status.as_deref() == Some(SCHEDULED);
        let mut filter = MessageFilter::default();
        if let Some(word) = query.status.filter(|_| !is_scheduled) {
            filter.state = state_of(&word);
            if filter.state.is_none() {
                problems.push("status", "is not a status of messages");
            }
        }
        filter.session_id = read("sessionId", query.session_id, "must be a UUID", &mut problems);
        filter.campaign_id = read("campaignId", query.campaign_id, "must be a UUID", &mut problems);
        if let Some(to) = query.to {
            match Recipient::parse(&to) {
                Ok(to) => filter.recipient = Some(to),
                Err(problem) => problems.push("to", problem.to_string()),
            }
        }
        let time = "must be a time such as 2026-01-31T08:00:00Z";
        if let Some(Timestamp(at_ms)) = read("since", query.since, time, &mut problems) {
            filter.from_ms = at_ms;
        }
        if let Some(Timestamp(at_ms)) = read("until", query.until, time, &mut problems) {
            filter.to_ms = at_ms;
        }
        problems.check()?;
        Ok(Self { filter, is_scheduled })
    }
}

fn state_of(word: &str) -> Option<DeliveryState> {
    DeliveryState::ALL.into_iter().find(|state| state.api_word() == word)
}

/// Reads a parameter in the form in which it stands in bodies.
fn read<T: serde::de::DeserializeOwned>(
    field: &'static str,
    text: Option<String>,
    problem: &'static str,
    problems: &mut Problems,
) -> Option<T> {
    let read = serde_json::from_value(text?.into()).ok();
    if read.is_none() {
        problems.push(field, problem);
    }
    read
}

impl<S: Send + Sync> FromRequestParts<S> for MessageSearch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<MessageQuery>::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Malformed("The query can not be read."))?;
        query.try_into()
    }
}
