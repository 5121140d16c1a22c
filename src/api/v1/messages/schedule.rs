//! Messages for later: put off, listed, taken back.

use utoipa::ToSchema;

use super::views::{ListedMessageView, MessageView, ScheduledView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ListResult, Paged, ok, paged};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json, Path};
use crate::api::page::{Page, PageQuery};
use crate::api::timestamp::Timestamp;
use crate::api::v1::campaigns::message::MessageBody;
use crate::domain::id::{DeliveryId, SessionId};
use crate::service::messages::NewMessage;
use crate::store::message_list::MessageFilter;

/// A message to send later.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ScheduleBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// What is sent, as it is: nothing in it is a placeholder.
    message: MessageBody,
    /// When it goes, at the earliest; in the future, within a year.
    scheduled_at: Timestamp,
}

/// Keeps a message until its time; then it is queued like any other. It counts against the plan when it is.
#[utoipa::path(post, path = "/messages/schedule", tag = "messages", security(("bearer" = [])),
    request_body = ScheduleBody,
    responses((status = 200, body = Envelope<ScheduledView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn schedule_message(ctx: CallContext, Json(body): Json<ScheduleBody>) -> ApiResult<ScheduledView> {
    let at = body.scheduled_at.moment();
    let new =
        NewMessage { session_id: body.session_id, to: body.to, message: body.message.resolved(&ctx).await?.into() };
    ok(ctx.services.messages.schedule(ctx.caller.tenant_id, new, at).await?.into())
}

/// Lists the messages that wait for their time, the next one first.
#[utoipa::path(get, path = "/messages/scheduled", tag = "messages", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Paged<ListedMessageView>), Failures, Guarded))]
pub(super) async fn list_scheduled_messages(ctx: CallContext, page: Page) -> ListResult<ListedMessageView> {
    paged(page, ctx.store.messages().scheduled(ctx.caller.tenant_id, &MessageFilter::default(), page.0).await?)
}

/// Cancels a scheduled message, also when its time has just come, as long as it is not begun.
#[utoipa::path(delete, path = "/messages/scheduled/{id}", tag = "messages", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The message.")),
    responses((status = 200, body = Envelope<MessageView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn cancel_scheduled_message(ctx: CallContext, Path(id): Path<DeliveryId>) -> ApiResult<MessageView> {
    ok(MessageView::new(ctx.services.messages.cancel(ctx.caller.tenant_id, id).await?, None))
}

impl FromFields for ScheduleBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let to = fields.required("to");
        let message = fields.required("message");
        let scheduled_at = fields.required("scheduledAt");
        Some(Self { session_id: session_id?, to: to?, message: message?, scheduled_at: scheduled_at? })
    }
}
