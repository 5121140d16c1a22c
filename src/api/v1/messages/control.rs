//! One message taken back, or tried again.

use super::views::MessageView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfOne, OfState};
use crate::api::extract::Path;
use crate::domain::id::DeliveryId;

/// Cancels a message that is not begun, single or of a campaign; the plan has it back.
#[utoipa::path(delete, path = "/messages/{id}", tag = "messages", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The message.")),
    responses((status = 200, body = Envelope<MessageView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn cancel_message(ctx: CallContext, Path(id): Path<DeliveryId>) -> ApiResult<MessageView> {
    ok(MessageView::new(ctx.services.messages.cancel(ctx.caller.tenant_id, id).await?, None))
}

/// Puts a failed message back in line. One whose outcome is unknown is not tried again: it may have been sent.
#[utoipa::path(post, path = "/messages/{id}/retry", tag = "messages", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The message.")),
    responses((status = 200, body = Envelope<MessageView>), Failures, Guarded, OfOne, OfState))]
pub(super) async fn retry_message(ctx: CallContext, Path(id): Path<DeliveryId>) -> ApiResult<MessageView> {
    let message = ctx.services.messages.retry(ctx.caller.tenant_id, id).await?;
    let waiting = ctx.services.waiting.of_message(&message).await?;
    ok(MessageView::new(message, waiting))
}
