//! What became of a message.

use super::views::{MessageView, TimelineEventView};
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne};
use crate::api::extract::Path;
use crate::domain::id::DeliveryId;
use crate::error::Error;

/// Shows a message and where it stands.
#[utoipa::path(get, path = "/messages/{id}", tag = "messages", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The message.")),
    responses((status = 200, body = Envelope<MessageView>), Failures, Guarded, OfOne))]
pub(super) async fn get_message(ctx: CallContext, Path(id): Path<DeliveryId>) -> ApiResult<MessageView> {
    let message = ctx.store.messages().find(ctx.caller.tenant_id, id).await?;
    let message = message.ok_or(Error::NotFound("message"))?;
    let waiting = ctx.services.waiting.of_message(&message).await?;
    ok(MessageView::new(message, waiting))
}

/// Tells everything that happened to a message, oldest first.
#[utoipa::path(get, path = "/messages/{id}/timeline", tag = "messages", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The message.")),
    responses((status = 200, body = Envelope<Vec<TimelineEventView>>), Failures, Guarded, OfOne))]
pub(super) async fn get_message_timeline(
    ctx: CallContext,
    Path(id): Path<DeliveryId>,
) -> ApiResult<Vec<TimelineEventView>> {
    let events = ctx.store.messages().timeline(ctx.caller.tenant_id, id).await?;
    let events = events.ok_or(Error::NotFound("message"))?;
    ok(events.into_iter().map(Into::into).collect())
}
