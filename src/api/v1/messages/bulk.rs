//! Several messages at once: all are queued, or none.

use serde::Deserialize;
use utoipa::ToSchema;

use super::views::BulkQueuedView;
use crate::api::CallContext;
use crate::api::envelope::{ApiResult, Envelope, ok};
use crate::api::error::{Failures, Guarded, OfBody, OfOne, OfState};
use crate::api::extract::{Fields, FromFields, Json};
use crate::api::v1::campaigns::message::MessageBody;
use crate::domain::id::SessionId;
use crate::domain::message::Variables;
use crate::service::message_bulk::{Bulk, BulkMessage, BulkRecipient};

/// Messages to send: `text` with `recipients`, or `messages`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "exists for the document only")]
pub struct SendBulkBody {
    /// Which session sends.
    #[schema(value_type = uuid::Uuid)]
    session_id: SessionId,
    /// One text for all recipients; `{{name}}`, `{{name|there}}` and `{hi|hello}` stand for variables, defaults and
    /// variants.
    #[schema(example = "Hello {{name|there}}, your order is on its way.")]
    text: Option<String>,
    /// Who gets the text, 1 to 200.
    recipients: Option<Vec<BulkRecipientBody>>,
    /// Messages of their own, 1 to 200, each sent as it is.
    messages: Option<Vec<BulkMessageBody>>,
}

/// Who gets the text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkRecipientBody {
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "+91 98765 43210")]
    to: String,
    /// Values for the text's variables.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>, example = json!({"name": "Ana"}))]
    variables: Variables,
}

/// A message and who gets it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkMessageBody {
    /// Number with country code; `+`, spaces and dashes may stand in it.
    #[schema(example = "+91 98765 43210")]
    to: String,
    /// What is sent, as it is.
    message: MessageBody,
}

/// Queues several messages through one session, all or none; they overtake its campaigns.
#[utoipa::path(post, path = "/messages/send-bulk", tag = "messages", security(("bearer" = [])),
    request_body = SendBulkBody,
    responses((status = 200, body = Envelope<BulkQueuedView>), Failures, Guarded, OfOne, OfBody, OfState))]
pub(super) async fn send_bulk(ctx: CallContext, Json(body): Json<(SessionId, Bulk)>) -> ApiResult<BulkQueuedView> {
    let (session_id, bulk) = body;
    ok(ctx.services.messages.send_bulk(ctx.caller.tenant_id, session_id, bulk).await?.into())
}

impl FromFields for (SessionId, Bulk) {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let session_id = fields.required("sessionId");
        let messages = fields.optional("messages");
        if let Some(Some(messages)) = messages {
            for field in ["text", "recipients"] {
                if fields.optional::<serde::de::IgnoredAny>(field).flatten().is_some() {
                    fields.refuse(field, "must not stand beside messages");
                }
            }
            let messages: Vec<BulkMessageBody> = messages;
            return Some((session_id?, Bulk::Messages(messages.into_iter().map(Into::into).collect())));
        }
        let text = fields.required("text");
        let recipients = fields.required::<Vec<BulkRecipientBody>>("recipients");
        messages?;
        let recipients = recipients?.into_iter().map(Into::into).collect();
        Some((session_id?, Bulk::Text { text: text?, recipients }))
    }
}

impl From<BulkRecipientBody> for BulkRecipient {
    fn from(body: BulkRecipientBody) -> Self {
        Self { to: body.to, variables: body.variables }
    }
}

impl From<BulkMessageBody> for BulkMessage {
    fn from(body: BulkMessageBody) -> Self {
        Self { to: body.to, message: body.message.into() }
    }
}
