//! Messages to send; answered when they are durable, not when they are sent.

use utoipa::ToSchema;

use super::views::QueuedView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json};
use crate::domain::id::SessionId;
use crate::service::messages::NewText;

/// A text to send.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SendTextBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "919876543210")]
    to: String,
    /// 1 to 4,096 characters, sent as they are.
    #[schema(example = "Your order is on its way.")]
    text: String,
}

/// Queues a text; it overtakes the campaigns of its session.
#[utoipa::path(post, path = "/messages/send-text", tag = "messages", security(("bearer" = [])),
    request_body = SendTextBody,
    responses((status = 200, body = Envelope<QueuedView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_text(ctx: CallContext, Json(body): Json<SendTextBody>) -> ApiResult<QueuedView> {
    ok(ctx.services.messages.send_text(ctx.caller.tenant_id, body.into()).await?.into())
}

impl FromFields for SendTextBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let to = fields.required("to");
        let text = fields.required("text");
        Some(Self { session_id: session_id?, to: to?, text: text? })
    }
}

impl From<SendTextBody> for NewText {
    fn from(body: SendTextBody) -> Self {
        Self { session_id: body.session_id, to: body.to, text: body.text }
    }
}
