//! What became of every message of a campaign, as a CSV stream.
//!
//! Holds one step of rows at a time.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use crate::api::CallContext;
use crate::api::csv::push_line;
use crate::api::error::{ApiError, Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::api::timestamp::Timestamp;
use crate::domain::failure::{FailureClass, Reason};
use crate::domain::id::CampaignId;
use crate::error::Error;
use crate::store::messages::{DeliveryRecord, ExportCursor, ExportStep};

/// The columns of every export of messages.
pub(in crate::api::v1) const COLUMNS: &str = "id,phone,status,sessionId,attempts,failureCode,failureReason,providerCode,providerMessageId,createdAt,sentAt,\
     deliveredAt,readAt";

/// Exports every message of a campaign that was handed over so far, as CSV.
#[utoipa::path(get, path = "/campaigns/{id}/export", tag = "campaigns", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The campaign.")),
    responses((status = 200, description = "The file.", body = String, content_type = "text/csv",
        example = "id,phone,status,…"), Failures, Guarded, OfOne))]
pub(super) async fn export_campaign(ctx: CallContext, Path(id): Path<CampaignId>) -> Result<Response, ApiError> {
    let first = step(&ctx, id, ExportCursor::START).await?;
    let name = format!("attachment; filename=\"campaign-{id}.csv\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("a UUID is a valid header value")),
    ];
    Ok((StatusCode::OK, headers, file(ctx, id, first)).into_response())
}

/// Makes the file from the first step on; a failed read breaks the stream off, so that half a file is seen as such.
fn file(ctx: CallContext, id: CampaignId, first: ExportStep) -> Body {
    let next = first.next;
    let beginning = lines(format!("{COLUMNS}\r\n"), first.deliveries);
    let rest = stream::try_unfold(next, move |cursor| {
        let ctx = ctx.clone();
        async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let ExportStep { deliveries, next } = step(&ctx, id, cursor).await?;
            Ok::<_, ApiError>(Some((lines(String::new(), deliveries), next)))
        }
    });
    Body::from_stream(futures::StreamExt::chain(stream::iter([Ok(beginning)]), rest))
}

async fn step(ctx: &CallContext, id: CampaignId, cursor: ExportCursor) -> Result<ExportStep, ApiError> {
    let step = ctx.store.messages().export(ctx.caller.tenant_id, id, cursor).await?;
    Ok(step.ok_or(Error::NotFound("campaign"))?)
}

fn lines(mut text: String, deliveries: Vec<DeliveryRecord>) -> Bytes {
    for delivery in deliveries {
        push_line(&mut text, &cells(&delivery));
    }
    text.into()
}

/// Writes a message in these columns.
pub(in crate::api::v1) fn cells(delivery: &DeliveryRecord) -> [String; 13] {
    let time = |at_ms: Option<i64>| at_ms.map(|ms| Timestamp(ms).to_text()).unwrap_or_default();
    [
        delivery.id.to_string(),
        delivery.recipient.as_str().to_owned(),
        delivery.state.api_word().to_owned(),
        delivery.session_id.to_string(),
        delivery.n_attempts.to_string(),
        delivery.failure_class.map(FailureClass::as_str).unwrap_or_default().to_owned(),
        delivery.reason.map(Reason::as_str).unwrap_or_default().to_owned(),
        delivery.provider_code.clone().unwrap_or_default(),
        delivery.provider_message_id.clone().unwrap_or_default(),
        time(Some(delivery.created_at_ms)),
        time(delivery.sent_at_ms),
        time(delivery.delivered_at_ms),
        time(delivery.read_at_ms),
    ]
}
